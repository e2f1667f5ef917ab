#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "learner/base/fields.h"

namespace millrace {

/// A text as YAML that reads back to the same text: plain where that is safe, else in quotes.
std::string yaml_text(std::string_view text);
/// The shortest number that reads back to the same double.
std::string yaml_number(double value);

/// A value as YAML on one line, as `read_value` takes it.
template <class Value>
std::string yaml_value(const Value& value) {
  if constexpr (std::is_same_v<Value, std::string>) {
    return yaml_text(value);
  } else if constexpr (std::is_same_v<Value, double>) {
    return yaml_number(value);
  } else if constexpr (std::is_same_v<Value, std::optional<double>>) {
    return value ? yaml_number(*value) : "null";
  } else {
    return print_value(value);
  }
}
template <class Value>
std::string yaml_list(const std::vector<Value>& values) {
  std::string text = "[";
  for (const Value& value : values) text += (text.size() > 1 ? ", " : "") + yaml_value(value);
  return text + "]";
}
inline std::string yaml_value(const std::vector<double>& values) { return yaml_list(values); }
inline std::string yaml_value(const std::vector<std::string>& values) { return yaml_list(values); }
template <class Value>
std::string yaml_value(const std::map<std::string, Value>& values) {
  std::string text = "{";
  for (const auto& [key, value] : values) {
    text += (text.size() > 1 ? ", " : "") + yaml_text(key) + ": " + yaml_value(value);
  }
  return text + "}";
}

}  // namespace millrace
