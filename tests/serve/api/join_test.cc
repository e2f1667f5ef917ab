// /v1/join/{impression_id} over HTTP: any id comes through its percent-encoding, what is not known
// is 404, and a join that gives no answer is 503.
#include "serve/api/join.h"

#include <gtest/gtest.h>

#include "tests/serve/expect_error.h"
#include "tests/serve/serving_fixture.h"
#include "tests/support/http_client.h"

namespace millrace {
namespace {

struct JoinRouteTest : ServingTest {
  std::string asked;
  Result<std::optional<std::string>> answer = std::optional<std::string>("{}\n");

  void serve() {
    ServeParts given = parts();
    given.join = [this](std::string_view id) {
      asked = id;
      return answer;
    };
    start(std::move(given));
  }
  HttpReply get(const std::string& target) {
    return fetch(server->port(), http_request("GET", target));
  }
};

TEST_F(JoinRouteTest, AnyIdIsAskedFor) {
  serve();
  const std::vector<std::pair<std::string, std::string>> cases{{"/v1/join/i1", "i1"},
                                                               {"/v1/join/i1?pretty", "i1"},
                                                               {"/v1/join/a%2Fb%20c", "a/b c"},
                                                               {"/v1/join/%c3%A9", "\xc3\xa9"},
                                                               {"/v1/join/%7B%25%7d", "{%}"}};
  for (const auto& [target, id] : cases) {
    const HttpReply reply = get(target);
    EXPECT_EQ(reply.status, 200) << target;
    EXPECT_EQ(reply.body, "{}\n");
    EXPECT_EQ(asked, id);
  }
}

TEST_F(JoinRouteTest, WhatIsNoIdIsRefused) {
  serve();
  for (const char* target : {"/v1/join/%", "/v1/join/a%2", "/v1/join/a%zz", "/v1/join/%+1"}) {
    expect_error(get(target), 400, target);
  }
  for (const char* target : {"/v1/join", "/v1/join/", "/v1/join/a/b"}) {
    expect_error(get(target), 404, target);
  }
  EXPECT_EQ(fetch(server->port(), http_request("POST", "/v1/join/a")).status, 405);
  EXPECT_EQ(asked, "");
}

TEST_F(JoinRouteTest, UnknownAndUnanswered) {
  answer = std::optional<std::string>();
  serve();
  expect_error(get("/v1/join/a"), 404, "not known");
  answer = Error{"the join is busy"};
  const HttpReply reply = get("/v1/join/a");
  expect_error(reply, 503, "no answer");
  EXPECT_NE(reply.body.find("the join is busy"), std::string::npos);
  EXPECT_EQ(reply.headers.count("retry-after"), 1u);
}

TEST_F(JoinRouteTest, WithoutAJoinItIsSaid) {
  start();
  expect_error(get("/v1/join/a"), 503, "no join");
}

}  // namespace
}  // namespace millrace
