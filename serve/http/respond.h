#pragma once

#include <string>
#include <string_view>

#include "serve/http/message.h"

namespace millrace {

/// Where in a scoring request a fault lies, for clients that want to act on it.
struct FaultPlace {
  int candidate = -1;          ///< Index from 0; −1: in none.
  std::string_view feature{};  ///< Empty: in none.
};

/// The one form of an error: {"error": …, "request_id": …}, with "candidate" and "feature" where
/// the fault has such a place.
Answer error_answer(int status, std::string_view message, std::string_view request_id,
                    FaultPlace place = {});

/// "Not Found" for 404, and so on for every status that we answer.
std::string_view reason_phrase(int status);

/// Whether a body of this Content-Type is read as JSON: JSON types, none at all, and what `curl -d`
/// and simple clients send without meaning it. A type that names another format is not.
bool is_read_as_json(std::string_view content_type);

/// Whether a client's X-Request-Id may be repeated: 1 to 64 letters, digits, ".", "_", "-".
bool is_plain_request_id(std::string_view id);

}  // namespace millrace
