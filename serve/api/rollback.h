#pragma once

#include "serve/http/message.h"
#include "serve/server.h"

namespace millrace {

/// POST /v1/admin/rollback, `{"snapshot": name or "latest", "offsets": "rewind" or "keep"}`: goes
/// back to a snapshot, and answers once its weights are served, with what became of what. Scores
/// are served from the weights before meanwhile. 404 where there is no such snapshot, 503 with the
/// reason where it was not done.
Answer answer_rollback(const ServeParts& parts, Request& request);

}  // namespace millrace
