#pragma once

#include <string_view>

#include "serve/http/message.h"
#include "serve/server.h"

namespace millrace {

/// POST /v1/admin/snapshot: has a snapshot of the last commit made, and answers with its name,
/// commit, size and time. 503 with the reason where it could not be made.
Answer answer_snapshot(const ServeParts& parts, std::string_view request_id);

/// POST /v1/admin/freeze {"task": optional, "reason": optional} and /v1/admin/resume {"task":
/// optional}: carried out between two steps, and part of the next commit. Without a task (no body
/// is fine) all of learning. Answers as `answer_status`, with what was done as "message". 400: the
/// body, or there is no such task; 503 with the reason where learning takes no commands.
Answer answer_command(const ServeParts& parts, bool freeze, const Request& request);

/// POST /v1/admin/champion {"model": name}: from now on that model's scores are served, once a
/// commit holds it; those of the one before until then. Answers as `answer_status`. 400: the body,
/// there is no such model, or it may not be the champion; 503 as above.
Answer answer_champion(const ServeParts& parts, const Request& request);

/// GET /v1/admin/status: the state of the guardrails of the champion, and which models there are.
Answer answer_status(const ServeParts& parts);

}  // namespace millrace
