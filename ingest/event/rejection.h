#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "learner/base/time.h"

namespace millrace {

/// Why a record cannot become an event, in the order in which they are judged: the first that
/// applies counts. The names are public: they are the label `reason` of
/// `millrace_dead_letters_total`, a key of reports and a header of the dead letter.
enum class Reason {
  kTooLarge,
  kNotJson,
  kMissingField,
  kWrongType,
  kTimeOutOfRange,
  kTimeInFuture,
  kUnknownType,
  kTypeMismatch,
};
inline constexpr int kReasons = 8;
inline constexpr std::array<std::string_view, kReasons> kReasonNames{
    "too_large",         "not_json",       "missing_field", "wrong_type",
    "time_out_of_range", "time_in_future", "unknown_type",  "type_mismatch"};
constexpr std::string_view to_string(Reason reason) {
  return kReasonNames[static_cast<std::size_t>(reason)];
}

/// One refused record: the class of the fault, and the field, the value and what was expected.
struct Rejection {
  Reason reason;
  std::string message;  ///< e.g. `field "time": "yesterday" is neither milliseconds nor RFC 3339`
  /// The event time of what is of an unknown or of another type, because a time in the future is
  /// judged before the type, and only the merge knows the clock.
  std::optional<EventTime> time = std::nullopt;
};

}  // namespace millrace
