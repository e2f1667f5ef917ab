#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "learner/base/result.h"
#include "learner/base/time.h"

namespace millrace {

/// A size in memory or on disk; written as "256MiB" in a configuration.
struct ByteSize {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(ByteSize, ByteSize) = default;
};

/// One word that a configuration may use for a value of an enumeration.
template <class E>
struct Choice {
  std::string_view name;
  E value;
  /// False: the word is known, but this version does not build it; it is refused by name.
  bool built = true;
};

/// Specialise with `static constexpr std::array<Choice<E>, N> all` for each enumeration that a
/// configuration names.
template <class E>
struct Choices;

template <class E>
constexpr std::string_view choice_name(E value) {
  for (const auto& choice : Choices<E>::all) {
    if (choice.value == value) return choice.name;
  }
  return "?";
}

/// One configurable member of `Owner`. Its default is the member's own initialiser.
template <class Owner, class Value>
struct Field {
  std::string_view key;
  Value Owner::*member;
  std::string_view meaning;  ///< One sentence; it becomes configuration.md.
  std::optional<Value> least;
  std::optional<Value> most;
};

template <class Owner, class Value>
constexpr auto field(std::string_view key, Value Owner::*member, std::string_view meaning,
                     std::optional<std::type_identity_t<Value>> least = {},
                     std::optional<std::type_identity_t<Value>> most = {}) {
  return Field<Owner, Value>{key, member, meaning, least, most};
}

struct AnyMember {
  template <class T>
  operator T() const;
};

/// Number of members of an aggregate, so that a member without a Field does not compile.
template <class T, class... Members>
consteval std::size_t member_count() {
  if constexpr (requires { T{Members{}..., AnyMember{}}; }) {
    return member_count<T, Members..., AnyMember>();
  } else {
    return sizeof...(Members);
  }
}

/// Whether `T` is a section of its own: it declares its members as fields.
template <class T>
concept Section = requires {
  T::fields();
};

template <class E>
requires std::is_enum_v<E> std::string print_value(E value) {
  return std::string(choice_name(value));
}
inline std::string print_value(bool value) { return value ? "true" : "false"; }
inline std::string print_value(const std::string& value) { return value; }
inline std::string print_value(Duration value) { return print_duration(value); }
inline std::string print_value(ByteSize value) { return print_bytes(value.value); }
template <class N>
requires(std::is_arithmetic_v<N> && !std::is_same_v<N, bool>) std::string print_value(N value) {
  std::ostringstream text;
  text << value;
  return text.str();
}
/// A duration that can be turned off.
inline std::string print_value(const std::optional<Duration>& value) {
  return value ? print_duration(*value) : "off";
}
inline std::string print_value(const std::vector<int>& values) {
  std::string text = "[";
  for (const int value : values) text += (text.size() > 1 ? ", " : "") + std::to_string(value);
  return text + "]";
}

/// Whether a value is turned off, so that limits do not concern it.
template <class Value>
constexpr bool is_off(const Value&) {
  return false;
}
template <class Value>
constexpr bool is_off(const std::optional<Value>& value) {
  return !value.has_value();
}

/// Checks every field of `options` against its limits, and so its inner sections.
/// Error: names the full key, the value, and the limit it broke; one line each.
template <class Options>
Result<Ok> validate(std::string_view section, const Options& options) {
  std::string problem;
  auto check = [&](const auto& field) {
    const auto& value = options.*field.member;
    const std::string key = std::string(section) + "." + std::string(field.key);
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (Section<Value>) {
      if (const auto inner = validate(key, value); !inner) problem += inner.error().message;
    } else {
      if (is_off(value)) return;
      auto complain = [&](std::string_view relation, const auto& limit) {
        problem += key + ": " + print_value(value) + " is " + std::string(relation) + " " +
                   print_value(limit) + "\n";
      };
      if (field.least && value < *field.least) complain("less than", *field.least);
      if (field.most && *field.most < value) complain("more than", *field.most);
    }
  };
  std::apply([&](const auto&... field) { (check(field), ...); }, Options::fields());
  if (problem.empty()) return Ok{};
  return Error{problem};
}

}  // namespace millrace
