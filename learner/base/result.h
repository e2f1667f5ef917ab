#pragma once

#include <string>
#include <utility>
#include <variant>

#include "learner/base/check.h"

namespace millrace {

/// The success of something that has no value.
struct Ok {};

/// What was wrong with something from outside: names the field, the value and what was expected.
struct Error {
  std::string message;
};

/// Either a value or the reason why there is none. For what the outside gets wrong (an event, a
/// request, a configured value); the caller deals with it at once.
template <class T, class E = Error>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  Result(E error) : content_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return content_.index() == 0; }

  /// Requires: the result holds a value.
  T& value() & { return *checked(); }
  const T& value() const& { return *const_cast<Result*>(this)->checked(); }
  T&& value() && { return std::move(*checked()); }
  T& operator*() & { return *checked(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return checked(); }
  const T* operator->() const { return &value(); }

  /// Requires: the result holds an error.
  const E& error() const {
    MILLRACE_CHECK(content_.index() == 1);
    return std::get<1>(content_);
  }

 private:
  T* checked() {
    MILLRACE_CHECK(content_.index() == 0);
    return &std::get<0>(content_);
  }

  std::variant<T, E> content_;
};

}  // namespace millrace
