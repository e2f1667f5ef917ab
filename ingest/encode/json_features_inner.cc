#include "ingest/encode/json_features_inner.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace millrace {
namespace {

namespace ondemand = simdjson::ondemand;

// Whether a number's text is an integer by JSON's grammar, of any length.
bool is_integer_text(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.remove_suffix(1);
  }
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return '0' <= c && c <= '9'; });
}

JsonRead fits(bool fits) { return fits ? JsonRead::kValue : JsonRead::kWrongType; }

// A string, a number or a boolean: a feature by itself, or an element of a list.
JsonRead read_scalar(ondemand::value& value, ondemand::json_type type, int feature,
                     FeatureBuilder& builder) {
  switch (type) {
    case ondemand::json_type::string: {
      std::string_view text;
      if (value.get_string().get(text) != simdjson::SUCCESS) return JsonRead::kNotJson;
      return fits(builder.set_text(feature, text));
    }
    case ondemand::json_type::number: {
      JsonNumber number;
      if (const JsonRead read = read_number(value, number); read != JsonRead::kValue) return read;
      switch (number.kind) {
        case JsonNumber::Kind::kInteger:
          return fits(builder.set_integer(feature, number.integer));
        case JsonNumber::Kind::kUnsigned:
          return fits(builder.set_unsigned(feature, number.unsigned_integer));
        case JsonNumber::Kind::kFloat:
          return fits(builder.set_number(feature, number.value));
      }
      return JsonRead::kWrongType;
    }
    case ondemand::json_type::boolean: {
      bool flag = false;
      if (value.get_bool().get(flag) != simdjson::SUCCESS) return JsonRead::kNotJson;
      return fits(builder.set_boolean(feature, flag));
    }
    default:
      return JsonRead::kWrongType;
  }
}

JsonRead read_list(ondemand::value& value, int feature, FeatureBuilder& builder) {
  if (!builder.begin_list(feature)) return JsonRead::kWrongType;
  ondemand::array list;
  if (value.get_array().get(list) != simdjson::SUCCESS) return JsonRead::kNotJson;
  for (auto item : list) {
    ondemand::value element;
    ondemand::json_type type;
    // NOLINTNEXTLINE(performance-move-const-arg): `get` takes rvalues alone.
    if (std::move(item).get(element) != simdjson::SUCCESS) return JsonRead::kNotJson;
    if (element.type().get(type) != simdjson::SUCCESS) return JsonRead::kNotJson;
    const JsonRead read = read_scalar(element, type, feature, builder);
    if (read != JsonRead::kValue) return read;
  }
  return fits(builder.end_list(feature));
}

}  // namespace

bool read_key(ondemand::field& field, std::string_view& key) {
  const char* const begin = field.key().raw();
  const char* at = begin;
  while (*at != '"' && *at != '\\') ++at;  // the parser has seen to it that the string ends
  if (*at == '\\') return field.unescaped_key().get(key) == simdjson::SUCCESS;
  key = {begin, static_cast<std::size_t>(at - begin)};
  return true;
}

JsonRead read_number(ondemand::value& value, JsonNumber& number) {
  ondemand::number read;
  if (value.get_number().get(read) != simdjson::SUCCESS) {
    return is_integer_text(value.raw_json_token()) ? JsonRead::kWrongType : JsonRead::kNotJson;
  }
  if (read.is_int64()) {
    number.kind = JsonNumber::Kind::kInteger;
    number.integer = read.get_int64();
    number.value = static_cast<double>(number.integer);
  } else if (read.is_uint64()) {
    number.kind = JsonNumber::Kind::kUnsigned;
    number.unsigned_integer = read.get_uint64();
    number.value = static_cast<double>(number.unsigned_integer);
  } else {
    number.kind = JsonNumber::Kind::kFloat;
    number.value = read.get_double();
  }
  return JsonRead::kValue;
}

JsonRead read_feature(ondemand::value& value, int feature, FeatureBuilder& builder) {
  ondemand::json_type type;
  if (value.type().get(type) != simdjson::SUCCESS) return JsonRead::kNotJson;
  JsonRead read = JsonRead::kWrongType;
  if (type == ondemand::json_type::null) {
    bool null = false;
    if (value.is_null().get(null) != simdjson::SUCCESS || !null) return JsonRead::kNotJson;
    read = JsonRead::kNull;
  } else if (type == ondemand::json_type::array) {
    read = read_list(value, feature, builder);
  } else {
    read = read_scalar(value, type, feature, builder);
  }
  if (read != JsonRead::kValue) builder.set_missing(feature);
  return read;
}

}  // namespace millrace
