// --print-schema: the configuration file as a JSON Schema.

#include "ops/config/describe.h"
#include "ops/config/load.h"
#include "ops/config/models.h"
#include "ops/config/sections.h"
#include "ops/json_inner.h"

namespace millrace {
namespace {

namespace json = boost::json;

constexpr const char* kDurationPattern = "^[0-9]+(ms|s|m|h|d)$";
constexpr const char* kDurationOrOffPattern = "^(off|[0-9]+(ms|s|m|h|d))$";
constexpr const char* kSizePattern = "^[0-9]+(B|KiB|MiB|GiB)?$";

json::array as_array(const std::vector<std::string>& words) {
  json::array array;
  for (const std::string& word : words) array.emplace_back(word);
  return array;
}

// A limit or default that is a number in YAML is the same in JSON.
json::value as_json(const std::string& yaml) {
  json::error_code error;
  const json::value value = json::parse(yaml, error);
  return error ? json::value(yaml) : value;
}

json::object mapping_to(json::object value) {
  return {{"type", "object"}, {"additionalProperties", std::move(value)}};
}

json::object type_of(const KeyDescription& key) {
  switch (key.form) {
    case ValueForm::kTruth:
      return {{"type", "boolean"}};
    case ValueForm::kWhole:
      return {{"type", "integer"}};
    case ValueForm::kNumber:
      return {{"type", "number"}};
    case ValueForm::kNumberOrNull:
      return {{"type", json::array{"number", "null"}}};
    case ValueForm::kText:
      return {{"type", "string"}};
    case ValueForm::kDuration:
      return {{"type", "string"}, {"pattern", kDurationPattern}};
    case ValueForm::kDurationOrOff:
      return {{"type", "string"}, {"pattern", kDurationOrOffPattern}};
    case ValueForm::kSize:
      return {{"type", json::array{"string", "integer"}}, {"pattern", kSizePattern}};
    case ValueForm::kWord:
      return {{"enum", as_array(key.words)}};
    case ValueForm::kWholes:
      return {{"type", "array"}, {"items", json::object{{"type", "integer"}, {"minimum", 1}}}};
    case ValueForm::kNumbers:
      return {{"type", "array"}, {"items", json::object{{"type", "number"}}}};
    case ValueForm::kTexts:
      return {{"type", "array"}, {"items", json::object{{"type", "string"}}}};
    case ValueForm::kTextMap:
      return mapping_to({{"type", json::array{"string", "number", "boolean"}}});
    case ValueForm::kNumberMap:
      return mapping_to({{"type", "number"}});
    case ValueForm::kWordMap:
      return mapping_to({{"enum", as_array(key.words)}});
    case ValueForm::kFeedbackMap: {
      const json::object word{{"enum", as_array(key.words)}};
      const json::object wait{{"type", "string"}, {"pattern", kDurationPattern}};
      return mapping_to(
          {{"anyOf",
            json::array{word, json::object{{"type", "object"},
                                           {"additionalProperties", false},
                                           {"required", json::array{"policy"}},
                                           {"properties", json::object{{"policy", word},
                                                                       {"short_wait", wait}}}}}}});
    }
  }
  return {};
}

json::object closed_object(json::object properties, const std::vector<std::string>& required) {
  // A section may be empty, which YAML reads as null.
  json::object object{{"type", required.empty() ? json::value(json::array{"object", "null"})
                                                : json::value("object")},
                      {"additionalProperties", false},
                      {"properties", std::move(properties)}};
  if (!required.empty()) object["required"] = as_array(required);
  return object;
}

void add_key(json::object& properties, const KeyDescription& key, bool with_default) {
  // "dense.rate" stands in the object "dense".
  if (const auto dot = key.key.find('.'); dot != std::string::npos) {
    json::value& outer = properties[key.key.substr(0, dot)];
    if (outer.is_null()) outer = closed_object({}, {});
    KeyDescription inner = key;
    inner.key = key.key.substr(dot + 1);
    return add_key(outer.as_object()["properties"].as_object(), inner, with_default);
  }
  json::object property = type_of(key);
  property["description"] = key.meaning;
  const bool number = key.form == ValueForm::kWhole || key.form == ValueForm::kNumber;
  if (number && key.least) property["minimum"] = as_json(*key.least);
  if (number && key.most) property["maximum"] = as_json(*key.most);
  const bool mapping = key.form == ValueForm::kTextMap || key.form == ValueForm::kNumberMap ||
                       key.form == ValueForm::kWordMap || key.form == ValueForm::kFeedbackMap;
  if (with_default && mapping) {
    property["default"] = json::object{};
  } else if (with_default && key.form == ValueForm::kText) {
    property["default"] = key.usual.starts_with('"') ? as_json(key.usual) : json::value(key.usual);
  } else if (with_default) {
    property["default"] = as_json(key.usual);
  }
  properties[key.key] = std::move(property);
}

json::object section(const std::vector<KeyDescription>& keys, bool with_defaults,
                     const std::vector<std::string>& required = {}) {
  json::object properties;
  for (const KeyDescription& key : keys) add_key(properties, key, with_defaults);
  return closed_object(std::move(properties), required);
}

json::object list_of(json::object entry) {
  return {{"type", "array"}, {"minItems", 1}, {"items", std::move(entry)}};
}

void print_value_to(std::string& text, const json::value& value, int level) {
  const std::string indent(static_cast<std::size_t>(2 * level + 2), ' ');
  const std::string end = "\n" + indent.substr(2);
  if (const json::object* object = value.if_object(); object != nullptr && !object->empty()) {
    text += "{";
    const char* separator = "\n";
    for (const auto& [key, inner] : *object) {
      text += separator + indent + json::serialize(key) + ": ";
      print_value_to(text, inner, level + 1);
      separator = ",\n";
    }
    text += end + "}";
  } else {
    text += json::serialize(value);
  }
}

json::object events_schema() {
  const json::object topic = section(describe_keys(TopicEntry{}, TopicEntry::fields()), false);
  const json::object outcome =
      section(describe_keys(OutcomeEntry{}, OutcomeEntry::fields()), false, {"window"});
  return {{"type", "object"},
          {"minProperties", 1},
          {"properties", json::object{{"impression", topic}, {"sample", topic}}},
          {"additionalProperties", outcome}};
}

json::object names_schema() {
  return {{"type", "array"}, {"minItems", 1}, {"items", json::object{{"type", "string"}}}};
}

json::object models_schema(const Config& usual) {
  json::object properties{
      {"name", json::object{{"type", "string"}, {"pattern", "^[A-Za-z0-9._-]{1,64}$"}}},
      {"tasks", names_schema()},
      {"features", names_schema()}};
  for (const std::string_view key : kModelSections) {
    visit_section(usual, key, [&](const auto& options, std::string_view) {
      std::vector<KeyDescription> own;
      for (KeyDescription& described : describe_keys(options, options.fields())) {
        const std::string outer = described.key.substr(0, described.key.find('.'));
        if (why_of_the_stream(key, outer).empty()) own.push_back(std::move(described));
      }
      properties[key] = section(own, false);
    });
  }
  return list_of(closed_object(std::move(properties), {"name"}));
}

json::object twins_schema() {
  json::object object =
      section(describe_keys(TransferAlarmOptions{}, TransferAlarmOptions::fields()), true);
  object["properties"].as_object()["tasks"] = names_schema();
  return object;
}

}  // namespace

std::string print_config_schema() {
  const Config usual;
  json::object properties;
  for (const std::string_view key : kTopKeys) {
    json::object value;
    if (key == "name") {
      value = {{"type", "string"}, {"pattern", "^[A-Za-z0-9._-]{1,64}$"}, {"default", usual.name}};
    } else if (key == "score") {
      value = {{"type", json::array{"string", "number"}}};
    } else if (key == "events") {
      value = events_schema();
    } else if (key == "features") {
      value = list_of(section(describe_keys(Feature{}, feature_fields()), false, {"name", "type"}));
    } else if (key == "tasks") {
      value = list_of(section(describe_keys(TaskEntry{}, TaskEntry::fields()), false, {"name"}));
    } else if (key == "models") {
      value = models_schema(usual);
    } else if (key == "twins") {
      value = twins_schema();
    }
    visit_section(usual, key, [&](const auto& options, std::string_view meaning) {
      value = section(describe_keys(options, options.fields()), true);
      value["description"] = json::string(meaning);
    });
    properties[key] = std::move(value);
  }
  json::object schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                      {"title", "Millrace configuration"}};
  for (auto& [key, value] : closed_object(std::move(properties), {"events", "features", "tasks"})) {
    schema[key] = value;
  }
  std::string text;
  print_value_to(text, schema, 0);
  return text + "\n";
}

}  // namespace millrace
