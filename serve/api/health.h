#pragma once

#include <string_view>

#include "learner/publish/serving_model.h"
#include "serve/http/message.h"
#include "serve/server.h"

namespace millrace {

/// GET /livez: the process answers. Nothing more is asked, so that a slow broker or disk never
/// makes an orchestrator kill a service that still scores.
Answer answer_livez();

/// GET /readyz: 200 once a version was published, until draining begins; else 503 with the reason.
/// It is about scores: while they are served it is 200 though learning may not run, which it says.
Answer answer_readyz(const ServeParts& parts, bool draining, std::string_view request_id);

/// GET /metrics: the text that ops makes.
Answer answer_metrics(const ServeParts& parts);

}  // namespace millrace
