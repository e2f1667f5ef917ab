#include "ingest/event/record_inner.h"

#include <limits>

#include "ingest/encode/json_check.h"

namespace millrace {
namespace {

namespace ondemand = simdjson::ondemand;
using Kind = RecordType::Kind;
using ondemand::json_type;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <class Named>
std::vector<std::string> names_of(const std::vector<Named>& things) {
  std::vector<std::string> names;
  names.reserve(things.size());
  for (const Named& thing : things) names.push_back(thing.name);
  return names;
}

JsonRead read_null(ondemand::value& value) {
  bool null = false;
  const bool good = value.is_null().get(null) == simdjson::SUCCESS && null;
  return good ? JsonRead::kNull : JsonRead::kNotJson;
}

// A string, or an integer as its text.
JsonRead read_text(ondemand::value& value, std::string& text) {
  json_type type;
  if (value.type().get(type) != simdjson::SUCCESS) return JsonRead::kNotJson;
  if (type == json_type::null) return read_null(value);
  if (type == json_type::string) {
    std::string_view view;
    if (value.get_string().get(view) != simdjson::SUCCESS) return JsonRead::kNotJson;
    text = view;
    return JsonRead::kValue;
  }
  if (type != json_type::number) return JsonRead::kWrongType;
  JsonNumber number;
  if (const JsonRead read = read_number(value, number); read != JsonRead::kValue) return read;
  if (number.kind == JsonNumber::Kind::kFloat) return JsonRead::kWrongType;
  text = number.kind == JsonNumber::Kind::kInteger ? std::to_string(number.integer)
                                                   : std::to_string(number.unsigned_integer);
  return JsonRead::kValue;
}

// A text that names something: not empty.
JsonRead read_id(ondemand::value& value, std::string& id) {
  const JsonRead read = read_text(value, id);
  return read == JsonRead::kValue && id.empty() ? JsonRead::kWrongType : read;
}

}  // namespace

RecordReader::RecordReader(const Schema& schema, const TypeTable& types)
    : schema_(schema),
      types_(types),
      feature_names_(names_of(schema.features())),
      task_names_(names_of(schema.tasks())),
      features_(schema) {}

RecordReader::Field RecordReader::field_named(std::string_view key) {
  const auto is = [&](std::string_view name, Field field) {
    return key == name ? field : Field::kOther;
  };
  switch (key.size()) {
    case 4:
      if (key == "type") return Field::kType;
      return key == "time" ? Field::kTime : is("user", Field::kUser);
    case 5:
      return key == "value" ? Field::kValue : is("slice", Field::kSlice);
    case 6:
      return is("labels", Field::kLabels);
    case 8:
      if (key == "features") return Field::kFeatures;
      return key == "event_id" ? Field::kEventId : is("position", Field::kPosition);
    case 10:
      return is("propensity", Field::kPropensity);
    case 13:
      return key == "impression_id" ? Field::kImpressionId
                                    : is("sampling_rate", Field::kSamplingRate);
    default:
      return Field::kOther;
  }
}

bool RecordReader::belongs_to(Field field, Kind kind) {
  switch (field) {
    case Field::kType:
    case Field::kImpressionId:
    case Field::kTime:
      return true;
    case Field::kLabels:
      return kind == Kind::kSample;
    case Field::kValue:
    case Field::kEventId:
      return kind == Kind::kOutcome;
    case Field::kOther:
      return false;
    default:
      return kind == Kind::kImpression || kind == Kind::kSample;
  }
}

bool RecordReader::read(ondemand::object& object, const char* end, RecordType type) {
  draft_ = Draft{};
  draft_.type = type;
  fixed_ = saw_body_ = again_ = false;
  if (!read_fields(object, end)) return false;
  again_ = draft_.declared && (draft_.type != *draft_.declared || saw_body_);
  return true;
}

bool RecordReader::read_again(ondemand::object& object, const char* end) {
  Draft draft;
  draft.type = draft_.declared.value();
  draft.declared = draft_.declared;
  draft.type_name = std::move(draft_.type_name);
  draft.type_judged = true;
  draft_ = std::move(draft);
  fixed_ = true;
  saw_body_ = again_ = false;
  return read_fields(object, end);
}

bool RecordReader::read_fields(ondemand::object& object, const char* end) {
  features_.clear();
  end_ = end;
  for (auto item : object) {
    ondemand::field field;
    std::string_view key;
    if (std::move(item).get(field) != simdjson::SUCCESS || !read_key(field, key)) return false;
    if (!read_field(field_named(key), field.value())) return false;
  }
  return true;
}

bool RecordReader::read_field(Field field, Value& value) {
  switch (field) {
    case Field::kType:
    case Field::kImpressionId:
    case Field::kTime:
      return read_head(field, value);
    case Field::kOther:
      return skip(value);
    default:
      if (draft_.type.kind == Kind::kUnsettled) {
        saw_body_ = true;
        return true;
      }
      return belongs_to(field, draft_.type.kind) ? read_body(field, value) : skip(value);
  }
}

bool RecordReader::read_head(Field field, Value& value) {
  if (field == Field::kType) return fixed_ ? skip(value) : read_type(value);
  if (field == Field::kTime) return read_time(value);
  const JsonRead read = read_id(value, draft_.id);
  // A value of a wrong type is there, if wrong.
  draft_.has_id = read != JsonRead::kNull;
  return settle(read, "impression_id", value, "a non-empty string or an integer of 64 bits");
}

bool RecordReader::read_type(Value& value) {
  json_type type;
  if (value.type().get(type) != simdjson::SUCCESS) return false;
  if (type == json_type::null) return read_null(value) == JsonRead::kNull;
  draft_.type_judged = true;
  if (type != json_type::string) {
    return settle(JsonRead::kWrongType, "type", value, "the name of an event, a string");
  }
  std::string_view name;
  if (value.get_string().get(name) != simdjson::SUCCESS) return false;
  draft_.declared = types_.named(name);
  draft_.type_name = shorten(name);
  if (draft_.type.kind == Kind::kUnsettled && !saw_body_) draft_.type = *draft_.declared;
  return true;
}

bool RecordReader::read_time(Value& value) {
  constexpr std::string_view kExpected = "milliseconds (an integer) or an RFC 3339 time";
  json_type type;
  if (value.type().get(type) != simdjson::SUCCESS) return false;
  if (type == json_type::null) return read_null(value) == JsonRead::kNull;
  draft_.has_time = true;
  std::optional<EventTime> time;
  if (type == json_type::number) {
    JsonNumber number;
    const JsonRead read = read_number(value, number);
    if (read != JsonRead::kValue) return settle(read, "time", value, kExpected);
    if (number.kind == JsonNumber::Kind::kInteger) time = EventTime{number.integer};
    if (number.kind == JsonNumber::Kind::kUnsigned) time = EventTime::after_all();
  } else if (type == json_type::string) {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) return false;
    time = parse_rfc3339_any_year(text);
  }
  if (!time) return settle(JsonRead::kWrongType, "time", value, kExpected);
  draft_.time = *time;
  if (*time < kEarliestEventTime || kLatestEventTime < *time) {
    draft_.verdict.refuse(Reason::kTimeOutOfRange, "field \"time\": " + shorten(text_of(value)) +
                                                       " is not in the years 1970 to 9999");
  }
  return true;
}

bool RecordReader::read_body(Field field, Value& value) {
  std::optional<double> number;
  std::string text;
  JsonRead read = JsonRead::kValue;
  switch (field) {
    case Field::kFeatures:
      return read_features(value);
    case Field::kLabels:
      return read_labels(value);
    case Field::kValue:
      read = read_real("value", value, {}, "a number", draft_.value);
      draft_.has_value = read != JsonRead::kNull;
      return read != JsonRead::kNotJson;
    case Field::kEventId:
      read = read_id(value, text);
      draft_.event_id.reset();
      if (read == JsonRead::kValue) draft_.event_id = std::move(text);
      return settle(read, "event_id", value, "a non-empty string or an integer of 64 bits");
    case Field::kSamplingRate:
      read = read_real("sampling_rate", value, {std::numeric_limits<double>::denorm_min(), 1},
                       "a number above 0 and at most 1", number);
      draft_.sampling_rate = number.value_or(1);
      return read != JsonRead::kNotJson;
    case Field::kUser:
      read = read_text(value, text);
      draft_.user = read == JsonRead::kValue ? user_key(text) : kNoUser;
      return settle(read, "user", value, "a string or an integer of 64 bits");
    case Field::kSlice:
      read = read_text(value, text);
      draft_.slice = read == JsonRead::kValue && !text.empty() ? slice_key(text) : 0;
      return settle(read, "slice", value, "a string or an integer of 64 bits");
    case Field::kPropensity:
      return read_real("propensity", value, {}, "a number", number) != JsonRead::kNotJson;
    case Field::kPosition:
      return read_real("position", value, {}, "a number", number) != JsonRead::kNotJson;
    default:
      return skip(value);
  }
}

bool RecordReader::read_features(Value& value) {
  json_type type;
  if (value.type().get(type) != simdjson::SUCCESS) return false;
  if (type == json_type::null) return read_null(value) == JsonRead::kNull;
  ondemand::object object;
  if (type != json_type::object) {
    return settle(JsonRead::kWrongType, "features", value, "an object");
  }
  if (value.get_object().get(object) != simdjson::SUCCESS) return false;
  std::size_t guess = 0;
  for (auto item : object) {
    ondemand::field field;
    std::string_view key;
    if (std::move(item).get(field) != simdjson::SUCCESS || !read_key(field, key)) return false;
    const int feature = feature_names_.find(key, guess);
    if (feature < 0 || schema_.is_cross(feature)) {
      ++draft_.unknown_features;
      if (!skip(field.value())) return false;
      continue;
    }
    guess = static_cast<std::size_t>(feature) + 1;
    const JsonRead read = read_feature(field.value(), feature, features_);
    if (read == JsonRead::kNotJson) return false;
    if (read != JsonRead::kWrongType) continue;
    const Feature& known = schema_.features()[guess - 1];
    settle(read, "features." + known.name, field.value(), expected_value(known));
  }
  return true;
}

bool RecordReader::read_labels(Value& value) {
  json_type type;
  if (value.type().get(type) != simdjson::SUCCESS) return false;
  if (type == json_type::null) return read_null(value) == JsonRead::kNull;
  draft_.has_labels = true;
  draft_.labels.assign(schema_.tasks().size(), kNaN);
  draft_.unknown_labels = 0;
  ondemand::object object;
  if (type != json_type::object) {
    return settle(JsonRead::kWrongType, "labels", value, "an object");
  }
  if (value.get_object().get(object) != simdjson::SUCCESS) return false;
  std::size_t guess = 0;
  for (auto item : object) {
    ondemand::field field;
    std::string_view key;
    if (std::move(item).get(field) != simdjson::SUCCESS || !read_key(field, key)) return false;
    const int task = task_names_.find(key, guess);
    if (task < 0) {
      ++draft_.unknown_labels;
      if (!skip(field.value())) return false;
      continue;
    }
    guess = static_cast<std::size_t>(task) + 1;
    if (!read_label(task, field.value())) return false;
  }
  return true;
}

bool RecordReader::read_label(int task, Value& value) {
  const Task& known = schema_.tasks()[static_cast<std::size_t>(task)];
  const bool binary = known.kind == TaskKind::kBinary;
  const std::string_view expected = binary ? "0 or 1" : "a number";
  std::optional<double> label;
  const JsonRead read = read_real("labels." + known.name, value, {}, expected, label);
  if (read == JsonRead::kNotJson) return false;
  if (binary && label && *label != 0 && *label != 1) {
    return settle(JsonRead::kWrongType, "labels." + known.name, value, expected);
  }
  draft_.labels[static_cast<std::size_t>(task)] = label.value_or(kNaN);
  return true;
}

// A number within the range; nothing where it is null or wrong.
JsonRead RecordReader::read_real(std::string_view name, Value& value, Range range,
                                 std::string_view expected, std::optional<double>& number) {
  number.reset();
  json_type type;
  if (value.type().get(type) != simdjson::SUCCESS) return JsonRead::kNotJson;
  if (type == json_type::null) return read_null(value);
  JsonRead read = JsonRead::kWrongType;
  if (type == json_type::number) {
    JsonNumber found;
    read = read_number(value, found);
    const bool inside = range.least <= found.value && found.value <= range.most;
    if (read == JsonRead::kValue && !inside) read = JsonRead::kWrongType;
    if (read == JsonRead::kValue) number = found.value;
  }
  settle(read, name, value, expected);
  return read;
}

// A value that nobody asked for must be JSON all the same.
bool RecordReader::skip(Value& value) const {
  const char* at = json_value_end(value.raw_json_token().data(), end_);
  if (at == nullptr) return false;
  while (at < end_ && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) ++at;
  return at < end_ && (*at == ',' || *at == '}');
}

// The text of a value in the record, for messages.
std::string_view RecordReader::text_of(Value& value) const {
  std::string_view text = value.raw_json_token();
  if (text.starts_with('{') || text.starts_with('[')) {
    const char* const end = json_value_end(text.data(), end_);
    text = {text.data(), static_cast<std::size_t>((end == nullptr ? end_ : end) - text.data())};
  }
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

bool RecordReader::settle(JsonRead read, std::string_view name, Value& value,
                          std::string_view expected) {
  if (read == JsonRead::kWrongType) draft_.verdict.wrong_type(name, text_of(value), expected);
  return read != JsonRead::kNotJson;
}

}  // namespace millrace
