#include "serve/api/admin.h"

#include <optional>
#include <string>
#include <utility>

#include "ingest/encode/json_features_inner.h"
#include "learner/base/check.h"
#include "serve/api/insight.h"
#include "serve/http/json_text.h"
#include "serve/http/respond.h"

namespace millrace {
namespace {

void write_freeze(JsonWriter& json, const Freeze& freeze) {
  if (!freeze.on()) return json.raw("null");
  json.begin_object();
  json.key("reason");
  json.text(to_string(freeze.reason));
  json.key("text");
  json.text(freeze.text);
  json.key("since");
  if (freeze.since.is_finite()) {
    json.text(print_rfc3339(freeze.since));
  } else {
    json.raw("null");
  }
  json.key("rows");
  json.number(freeze.rows);
  json.end_object();
}

void write_quarantine(JsonWriter& json, const std::vector<SkippedBatch>& quarantine) {
  json.begin_list();
  for (const SkippedBatch& batch : quarantine) {
    json.begin_object();
    json.key("first");
    json.text(print_rfc3339(batch.first));
    json.key("last");
    json.text(print_rfc3339(batch.last));
    json.key("rows");
    json.number(batch.rows);
    json.key("task");
    if (batch.task.empty()) {
      json.raw("null");
    } else {
      json.text(batch.task);
    }
    json.key("reason");
    json.text(batch.reason);
    json.end_object();
  }
  json.end_list();
}

// Who answers for the champion, with which version: another model until a new champion's first
// version, and where its own weights are held and no good ones of it are there.
void write_served(const ServeParts& parts, const TrainerReport& champion, JsonWriter& json) {
  json.key("served");
  if (!parts.serving->has_version()) return json.raw("null");
  const ServingModel::Pin pin = parts.serving->pin();
  json.begin_object();
  json.key("model");
  json.text(pin.shape() == nullptr ? champion.model : pin.shape()->model);
  json.key("version");
  json.text(print_version(pin.version()));
  json.end_object();
}

// All models, and the version of each that answers by its name.
void write_models(const ServeParts& parts, JsonWriter& json) {
  const TrainerReports all = parts.models();
  json.key("models");
  json.begin_list();
  for (const TrainerReport& model : all.models) json.text(model.model);
  json.end_list();
  json.key("versions");
  json.begin_object();
  for (const TrainerReport& model : all.models) {
    const std::shared_ptr<const ServingModel> served = serving_of(parts, model.model);
    if (served == nullptr) continue;
    json.key(model.model);
    json.text(print_version(served->pin().version()));
  }
  json.end_object();
}

// The status of the champion, after `message` where something was done.
Answer status_answer(const ServeParts& parts, std::string_view message) {
  const TrainerReport report = parts.tasks();
  Answer answer;
  JsonWriter json(answer.body);
  json.begin_object();
  if (!message.empty()) {
    json.key("message");
    json.text(message);
  }
  const GuardrailReport& guards = report.guardrails;
  json.key("model");
  json.text(report.model);
  write_served(parts, report, json);
  json.key("learning");
  write_freeze(json, guards.learning);
  json.key("paused");
  write_freeze(json, guards.pause);
  json.key("tasks");
  json.begin_object();
  for (std::size_t k = 0; k < report.tasks.size(); ++k) {
    json.key(report.tasks[k].name);
    json.begin_object();
    json.key("frozen");
    write_freeze(json, guards.tasks[k]);
    json.key("passed_over");
    json.number(guards.passed_over[k]);
    json.end_object();
  }
  json.end_object();
  json.key("versions_held");
  json.raw(guards.held.empty() ? "false" : "true");
  json.key("steps_skipped");
  json.number(report.skipped);
  json.key("skipped_in_a_row");
  json.number(guards.skipped_in_a_row);
  json.key("quarantine");
  write_quarantine(json, guards.quarantine);
  if (parts.models) write_models(parts, json);
  json.end_object();
  answer.body += '\n';
  return answer;
}

Answer answer_of(const ServeParts& parts, TrainerCommand command, const Request& request) {
  const CommandAnswer done = parts.command(std::move(command));
  switch (done.status) {
    case CommandAnswer::Status::kDone:
      return status_answer(parts, done.message);
    case CommandAnswer::Status::kRefused:
      return error_answer(400, done.message, request.id);
    case CommandAnswer::Status::kUnavailable:
      return error_answer(503, "nothing was changed: " + done.message, request.id);
  }
  MILLRACE_CHECK(false);
}

Answer not_json(const Request& request) {
  return error_answer(415, "the body is read as JSON; Content-Type names another format",
                      request.id);
}

// Fills in the command from the body; returns what is wrong with it.
std::optional<std::string> read_command(const std::string& body, bool freeze,
                                        TrainerCommand& command) {
  if (body.find_first_not_of(" \t\r\n") == std::string::npos) return std::nullopt;
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  if (parser.parse(body).get(document) != simdjson::SUCCESS) return "the body is no JSON";
  simdjson::dom::object object;
  if (document.get(object) != simdjson::SUCCESS) return "the body: expected an object";
  for (const auto& field : object) {
    const std::string name(field.key);
    const bool known = name == "task" || (freeze && name == "reason");
    if (!known) {
      return '"' + shortened(name) + "\" is unknown; expected " +
             (freeze ? "task, reason" : "task");
    }
    if (field.value.is_null()) continue;
    std::string_view text;
    constexpr std::size_t kMost = 256;
    if (field.value.get(text) != simdjson::SUCCESS || text.size() > kMost) {
      return name + ": expected a text of at most 256 bytes";
    }
    (name == "task" ? command.task : command.reason) = text;
    if (name == "task" && text.empty()) return "there is no task without a name";
  }
  return std::nullopt;
}

// Fills in the model's name from the body; returns what is wrong with it.
std::optional<std::string> read_champion(const std::string& body, std::string& model) {
  constexpr const char* kExpected = "the body: expected an object like {\"model\": \"name\"}";
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  if (parser.parse(body).get(document) != simdjson::SUCCESS) return "the body is no JSON";
  simdjson::dom::object object;
  if (document.get(object) != simdjson::SUCCESS) return kExpected;
  for (const auto& field : object) {
    const std::string name(field.key);
    if (name != "model") return '"' + shortened(name) + "\" is unknown; expected model";
    std::string_view text;
    if (field.value.get(text) != simdjson::SUCCESS || text.size() > 64) {
      return "model: expected a name of at most 64 bytes";
    }
    model = text;
  }
  if (model.empty()) return kExpected;
  return std::nullopt;
}

}  // namespace

Answer answer_status(const ServeParts& parts) { return status_answer(parts, {}); }

Answer answer_command(const ServeParts& parts, bool freeze, const Request& request) {
  using Kind = TrainerCommand::Kind;
  if (!is_read_as_json(request.content_type)) return not_json(request);
  TrainerCommand command;
  command.kind = freeze ? Kind::kFreeze : Kind::kResume;
  if (const auto wrong = read_command(request.body, freeze, command)) {
    return error_answer(400, *wrong, request.id);
  }
  if (freeze && command.reason.empty()) command.reason = "asked for";
  return answer_of(parts, std::move(command), request);
}

Answer answer_champion(const ServeParts& parts, const Request& request) {
  if (!is_read_as_json(request.content_type)) return not_json(request);
  TrainerCommand command;
  command.kind = TrainerCommand::Kind::kChampion;
  if (const auto wrong = read_champion(request.body, command.model)) {
    return error_answer(400, *wrong, request.id);
  }
  return answer_of(parts, std::move(command), request);
}

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
