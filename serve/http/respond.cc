#include "serve/http/respond.h"

#include <algorithm>
#include <cctype>
#include <cstdint>

#include "serve/http/json_text.h"

namespace millrace {
namespace {

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

}  // namespace

Answer error_answer(int status, std::string_view message, std::string_view request_id,
                    FaultPlace place) {
  Answer answer;
  answer.status = status;
  answer.body = "{\"error\":";
  append_json_string(answer.body, message);
  if (place.candidate >= 0) {
    answer.body += ",\"candidate\":";
    append_json_number(answer.body, static_cast<std::uint64_t>(place.candidate));
  }
  if (!place.feature.empty()) {
    answer.body += ",\"feature\":";
    append_json_string(answer.body, place.feature);
  }
  answer.body += ",\"request_id\":";
  append_json_string(answer.body, request_id);
  answer.body += "}\n";
  if (status == 503) answer.retry_after_seconds = 1;
  return answer;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Payload Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

bool is_read_as_json(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  std::transform(type.begin(), type.end(), type.begin(), lower);
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.pop_back();
  return type.empty() || type == "application/json" || type == "text/json" ||
         type == "text/plain" || type == "application/x-www-form-urlencoded" ||
         type == "application/octet-stream" || type == "*/*" || type.ends_with("+json");
}

bool is_plain_request_id(std::string_view id) {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
  });
}

}  // namespace millrace
