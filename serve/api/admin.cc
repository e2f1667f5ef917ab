#include "serve/api/admin.h"

#include "serve/http/json_text.h"
#include "serve/http/respond.h"

namespace millrace {

Answer answer_snapshot(const ServeParts& parts, std::string_view request_id) {
  const Result<SnapshotInfo> made = parts.snapshot();
  if (!made) {
    return error_answer(503, "no snapshot was made: " + made.error().message, request_id);
  }
  Answer answer;
  JsonWriter json(answer.body);
  json.begin_object();
  json.key("name");
  json.text(made->name);
  json.key("commit");
  json.number(made->commit);
  json.key("bytes");
  json.number(made->bytes);
  json.key("taken");
  json.text(print_rfc3339(made->taken));
  json.end_object();
  answer.body += '\n';
  return answer;
}

}  // namespace millrace
