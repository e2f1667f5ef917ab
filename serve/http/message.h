#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// One HTTP request as the API sees it: read whole, its framing checked.
struct Request {
  std::string method;        ///< "HEAD" comes as "GET"; the connection leaves out the body.
  std::string path;          ///< Without the query.
  std::string query;         ///< What follows the path's question mark, as it came.
  std::string content_type;  ///< As it came; empty if absent.
  std::string body;
  std::string id;  ///< The client's X-Request-Id where it is a plain word, else one of ours.
};

/// What is answered. The connection adds length, request id and what concerns itself.
struct Answer {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string allow;            ///< The methods that the path has; of a 405.
  int retry_after_seconds = 0;  ///< 0: no such header.
};

}  // namespace millrace
