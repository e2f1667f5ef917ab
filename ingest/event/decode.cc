#include "ingest/event/decode.h"

#include <cstring>
#include <optional>
#include <vector>

#include "ingest/encode/json_check.h"
#include "ingest/event/event_types.h"
#include "ingest/event/record_inner.h"

namespace millrace {
namespace {

namespace ondemand = simdjson::ondemand;
using Kind = RecordType::Kind;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

Rejection not_json(std::string_view record) {
  std::string message = "the record is not JSON";
  if (record.empty()) {
    message = "the record is empty";
  } else if (record.starts_with(kByteOrderMark)) {
    message = "the record begins with a byte order mark";
  } else if (const auto fault = json_fault(record)) {
    message += *fault == record.size() ? ": it ends too early"
                                       : ": it breaks at byte " + std::to_string(*fault);
  }
  return {Reason::kNotJson, std::move(message)};
}

}  // namespace

struct Decoder::Parts {
  Parts(const Schema& schema, const EventTypes& event_types)
      : types(event_types), table(event_types), reader(schema, table) {}

  // `topic` is null for a line of a file.
  Result<Event, Rejection> decode(const TypeTable::Topic* topic, std::string_view record,
                                  std::size_t max_record);
  bool read(std::size_t size, std::optional<RecordType> type, bool& is_object);
  void judge(const TypeTable::Topic* topic);
  Event finish();

  const EventTypes& types;
  const TypeTable table;
  RecordReader reader;
  ondemand::parser parser;
  std::vector<char> padded;  // the record, and the room behind it that the parser reads
  DecodeCounts counts;
};

// One pass over the record in `padded`, by this type or again by the one that it declares. False:
// it is not JSON.
bool Decoder::Parts::read(std::size_t size, std::optional<RecordType> type, bool& is_object) {
  ondemand::document document;
  if (parser.iterate(padded.data(), size, padded.size()).get(document) != simdjson::SUCCESS) {
    return false;
  }
  ondemand::object object;
  const auto error = document.get_object().get(object);
  is_object = error != simdjson::INCORRECT_TYPE;
  if (!is_object) return true;
  if (error != simdjson::SUCCESS) return false;
  const char* const end = padded.data() + size;
  if (!(type ? reader.read(object, end, *type) : reader.read_again(object, end))) return false;
  // Behind the object there may be nothing more.
  return document.current_location().error() == simdjson::OUT_OF_BOUNDS;
}

Result<Event, Rejection> Decoder::Parts::decode(const TypeTable::Topic* topic,
                                                std::string_view record, std::size_t max_record) {
  if (record.size() > max_record) {
    return Rejection{Reason::kTooLarge, "the record has " + std::to_string(record.size()) +
                                            " bytes, more than " + std::to_string(max_record)};
  }
  if (record.empty() || record.starts_with(kByteOrderMark)) return not_json(record);
  if (padded.size() < record.size() + simdjson::SIMDJSON_PADDING) {
    padded.resize(2 * record.size() + simdjson::SIMDJSON_PADDING);
  }
  std::memcpy(padded.data(), record.data(), record.size());
  std::memset(padded.data() + record.size(), 0, simdjson::SIMDJSON_PADDING);

  bool is_object = true;
  if (!read(record.size(), topic != nullptr ? topic->only_type() : RecordType{}, is_object)) {
    return not_json(record);
  }
  if (!is_object) {
    if (json_fault(record)) return not_json(record);
    return Rejection{Reason::kWrongType, "the record is no object: " + shorten(record)};
  }
  if (reader.must_read_again() && !read(record.size(), std::nullopt, is_object)) {
    return not_json(record);
  }
  judge(topic);
  if (!reader.draft().verdict.is_clean()) {
    // What was left unread when the fault was found may be no JSON, which comes first.
    if (json_fault(record)) return not_json(record);
    return reader.draft().verdict.take();
  }
  if (!surrogates_are_paired(record)) return not_json(record);
  return finish();
}

// What only the whole record shows: fields that are not there, and a type that does not belong.
void Decoder::Parts::judge(const TypeTable::Topic* topic) {
  Draft& draft = reader.draft();
  const Kind kind = draft.type.kind;
  if (kind == Kind::kUnsettled && !draft.type_judged) draft.verdict.missing("type");
  if (!draft.has_id && kind != Kind::kSample) draft.verdict.missing("impression_id");
  if (!draft.has_time) draft.verdict.missing("time");
  if (!draft.has_labels && kind == Kind::kSample) draft.verdict.missing("labels");
  if (kind == Kind::kOutcome && !draft.has_value &&
      types.outcomes[static_cast<std::size_t>(draft.type.outcome)].needs_value) {
    draft.verdict.missing("value");
  }
  if (!draft.declared) return;
  const bool known = draft.declared->kind != Kind::kUnknown;
  if (known && (topic == nullptr || topic->carries(*draft.declared))) return;
  draft.verdict.refuse(
      known ? Reason::kTypeMismatch : Reason::kUnknownType,
      "field \"type\": \"" + draft.type_name + "\" is " +
          (known ? "not what the record's topic carries" : "no event of the configuration"),
      draft.time);
}

Event Decoder::Parts::finish() {
  Draft& draft = reader.draft();
  if (draft.type.kind == Kind::kOutcome) {
    return Outcome{std::move(draft.id), draft.type.outcome, draft.time, std::move(draft.event_id),
                   draft.value};
  }
  counts.missing_features += static_cast<std::uint64_t>(reader.features().missing());
  counts.unknown_features += draft.unknown_features;
  counts.unknown_labels += draft.unknown_labels;
  EncodedFeatures features;
  reader.features().finish(features);
  if (draft.slice != 0) append_slice(draft.slice, features);
  if (draft.type.kind == Kind::kImpression) {
    return Impression{std::move(draft.id), draft.time, std::move(features), draft.sampling_rate,
                      draft.user};
  }
  return Sample{std::move(draft.id),     draft.time, std::move(features), draft.sampling_rate,
                std::move(draft.labels), draft.user};
}

Decoder::Decoder(const Schema& schema, const EventTypes& types)
    : parts_(std::make_unique<Parts>(schema, types)) {}

Decoder::~Decoder() = default;

Result<Event, Rejection> Decoder::decode(std::string_view topic, std::string_view record,
                                         std::size_t max_record) {
  return parts_->decode(&parts_->table.topic(topic), record, max_record);
}

Result<Event, Rejection> Decoder::decode_line(std::string_view line, std::size_t max_record) {
  return parts_->decode(nullptr, line, max_record);
}

const DecodeCounts& Decoder::counts() const { return parts_->counts; }

}  // namespace millrace
