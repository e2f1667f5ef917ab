#include "ops/join_text.h"

#include <cstddef>

#include "learner/base/time.h"
#include "serve/http/json_text.h"

namespace millrace {
namespace {

using State = JoinExplanation::State;
using Label = JoinExplanation::Label;

// "time": milliseconds, "time_text": RFC 3339. Null where there is none.
void write_time(JsonWriter& json, std::string_view key, std::optional<EventTime> time) {
  const bool finite = time && time->is_finite();
  json.key(key);
  json.raw(finite ? std::to_string(time->ms) : "null");
  json.key(std::string(key) + "_text");
  if (finite) {
    json.text(print_rfc3339(*time));
  } else {
    json.raw("null");
  }
}

void write_optional(JsonWriter& json, std::string_view key,
                    const std::optional<std::string>& text) {
  json.key(key);
  if (text) {
    json.text(*text);
  } else {
    json.raw("null");
  }
}

void write_number(JsonWriter& json, std::string_view key, const std::optional<double>& number) {
  json.key(key);
  if (number) {
    json.number(*number);
  } else {
    json.raw("null");
  }
}

const std::string& type_name(const EventTypes& types, int type) {
  return types.outcomes[static_cast<std::size_t>(type)].name;
}

void write_outcome(JsonWriter& json, const KeptOutcome& outcome, const EventTypes& types) {
  json.key("type");
  json.text(type_name(types, outcome.type));
  write_time(json, "time", outcome.time);
  write_number(json, "value", outcome.value);
  write_optional(json, "event_id", outcome.event_id);
}

void write_label(JsonWriter& json, const Label& label) {
  json.begin_object();
  json.key("state");
  json.text(label.state == Label::State::kAwaited   ? "awaited"
            : label.state == Label::State::kDecided ? "decided"
                                                    : "none");
  if (label.state != Label::State::kNone) write_time(json, "until", label.until);
  if (label.state == Label::State::kDecided) write_number(json, "label", label.label);
  json.end_object();
}

void write_refusal(JsonWriter& json, const Refusal& refusal, const EventTypes& types) {
  json.begin_object();
  json.key("type");
  json.text(refusal.type < 0 ? "impression" : type_name(types, refusal.type));
  write_time(json, "time", refusal.time);
  write_optional(json, "event_id", refusal.event_id);
  json.key("reason");
  json.text(refusal.reason);
  json.end_object();
}

}  // namespace

std::string join_text(std::string_view impression_id, const JoinExplanation& found,
                      const Schema& schema, const EventTypes& types) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.key("impression_id");
  json.text(impression_id);
  json.key("state");
  json.text(found.state == State::kWaiting    ? "waiting"
            : found.state == State::kFinished ? "finished"
                                              : "unknown");
  json.key("place");
  json.raw(found.state != State::kWaiting ? "null" : found.in_store ? "\"store\"" : "\"memory\"");
  write_time(json, "time", found.time);
  write_time(json, "watermark", found.watermark);
  json.key("tasks");
  json.begin_object();
  for (std::size_t k = 0; k < found.labels.size(); ++k) {
    json.key(schema.tasks()[k].name);
    write_label(json, found.labels[k]);
  }
  json.end_object();
  json.key("applied");
  json.begin_list();
  for (const KeptOutcome& outcome : found.applied) {
    json.begin_object();
    write_outcome(json, outcome, types);
    json.end_object();
  }
  json.end_list();
  json.key("waiting_outcomes");
  json.begin_list();
  for (std::size_t i = 0; i < found.waiting.size(); ++i) {
    json.begin_object();
    write_outcome(json, found.waiting[i], types);
    write_time(json, "until", found.waits_until[i]);
    json.end_object();
  }
  json.end_list();
  json.key("refused");
  json.begin_list();
  for (const Refusal& refusal : found.refused) write_refusal(json, refusal, types);
  json.end_list();
  json.end_object();
  return text + "\n";
}

}  // namespace millrace
