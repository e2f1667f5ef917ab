#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "tests/support/http_client.h"

namespace millrace {

// Every error is one object with a text and the request's id, and says its length and type.
inline void expect_error(const HttpReply& reply, int status, const std::string& context) {
  EXPECT_EQ(reply.status, status) << context << "\n" << reply.body;
  EXPECT_EQ(reply.headers.at("content-type"), "application/json") << context;
  boost::json::error_code broken;
  const auto body = boost::json::parse(reply.body, broken);
  ASSERT_TRUE(!broken && body.is_object()) << context << "\n" << reply.body;
  const auto& object = body.as_object();
  ASSERT_TRUE(object.contains("error") && object.at("error").is_string()) << reply.body;
  EXPECT_FALSE(object.at("error").as_string().empty());
  ASSERT_TRUE(object.contains("request_id") && object.at("request_id").is_string()) << reply.body;
  EXPECT_EQ(reply.headers.at("x-request-id"), object.at("request_id").as_string());
}

}  // namespace millrace
