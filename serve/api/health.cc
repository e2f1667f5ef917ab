#include "serve/api/health.h"

#include "serve/http/json_text.h"
#include "serve/http/respond.h"

namespace millrace {

Answer answer_livez() {
  Answer answer;
  answer.body = "{\"status\":\"alive\"}\n";
  return answer;
}

Answer answer_readyz(const ServeParts& parts, bool draining, std::string_view request_id) {
  const ServingModel& serving = *parts.serving;
  if (draining) return error_answer(503, "not ready: the service is stopping", request_id);
  if (!serving.has_version()) {
    const std::string reason = parts.learning ? parts.learning().reason : "";
    return error_answer(503,
                        "not ready: no version of the weights was published yet" +
                            (reason.empty() ? "" : ": " + reason),
                        request_id);
  }
  Answer answer;
  JsonWriter json(answer.body);
  json.begin_object();
  json.key("status");
  json.text("ready");
  json.key("version");
  json.text(print_version(serving.pin().version()));
  if (parts.learning) {
    const LearningStatus learning = parts.learning();
    json.key("learning");
    json.text(state_name(learning.state));
    if (!learning.reason.empty()) {
      json.key("reason");
      json.text(learning.reason);
    }
  }
  json.end_object();
  answer.body += '\n';
  return answer;
}

Answer answer_metrics(const ServeParts& parts) {
  Answer answer;
  answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
  answer.body = parts.metrics();
  return answer;
}

}  // namespace millrace
