#include "serve/api/rollback.h"

#include <simdjson.h>

#include <optional>
#include <string>

#include "serve/http/json_text.h"
#include "serve/http/respond.h"

namespace millrace {
namespace {

namespace ondemand = simdjson::ondemand;

struct Wanted {
  std::string snapshot;
  std::optional<Offsets> offsets;
};

// What is wrong with the body; empty where all is well.
std::string read(std::string& body, Wanted& wanted) {
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  ondemand::parser parser;
  ondemand::document document;
  ondemand::object object;
  const char* const kObject = "the body: expected {\"snapshot\": …, \"offsets\": …}";
  if (parser.iterate(body.data(), body.size(), body.capacity()).get(document) !=
          simdjson::SUCCESS ||
      document.get_object().get(object) != simdjson::SUCCESS) {
    return kObject;
  }
  for (auto item : object) {
    ondemand::field field;
    std::string_view key, text;
    if (std::move(item).get(field) != simdjson::SUCCESS ||
        field.unescaped_key().get(key) != simdjson::SUCCESS) {
      return kObject;
    }
    if (key != "snapshot" && key != "offsets") continue;
    const std::string name(key);
    if (field.value().get_string().get(text) != simdjson::SUCCESS) {
      return name + ": expected a string";
    }
    if (name == "snapshot") wanted.snapshot = text;
    if (name == "offsets" && text == "rewind") wanted.offsets = Offsets::kRewind;
    if (name == "offsets" && text == "keep") wanted.offsets = Offsets::kKeep;
  }
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) return kObject;
  if (wanted.snapshot.empty()) return "snapshot: expected a snapshot's name, or latest";
  if (!wanted.offsets) return "offsets: expected rewind or keep";
  return "";
}

}  // namespace

Answer answer_rollback(const ServeParts& parts, Request& request) {
  if (!parts.roll_back) return error_answer(501, "rollbacks are not offered here", request.id);
  Wanted wanted;
  if (const std::string wrong = read(request.body, wanted); !wrong.empty()) {
    return error_answer(400, wrong, request.id);
  }
  const auto done = parts.roll_back(wanted.snapshot, *wanted.offsets);
  if (!done) {
    const int status = done.error().no_such_snapshot ? 404 : 503;
    return error_answer(status, "no rollback: " + done.error().message, request.id);
  }
  Answer answer;
  JsonWriter json(answer.body);
  json.begin_object();
  json.key("snapshot");
  json.text(done->snapshot);
  json.key("offsets");
  json.text(done->offsets == Offsets::kKeep ? "keep" : "rewind");
  json.key("from_commit");
  json.number(done->from);
  json.key("to_commit");
  json.number(done->to);
  json.key("commit");
  json.number(done->commit);
  json.key("version");
  if (done->held.empty() && parts.serving->has_version()) {
    json.text(print_version(parts.serving->pin().version()));
  } else {
    json.raw("null");
    json.key("held");
    json.text(done->held);
  }
  json.end_object();
  answer.body += '\n';
  return answer;
}

}  // namespace millrace
