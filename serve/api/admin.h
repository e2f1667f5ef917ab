#pragma once

#include <string_view>

#include "serve/http/message.h"
#include "serve/server.h"

namespace millrace {

/// POST /v1/admin/snapshot: has a snapshot of the last commit made, and answers with its name,
/// commit, size and time. 503 with the reason where it could not be made.
Answer answer_snapshot(const ServeParts& parts, std::string_view request_id);

}  // namespace millrace
