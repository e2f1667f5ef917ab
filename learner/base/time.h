#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace millrace {

using Duration = std::chrono::milliseconds;

/// A moment in event time: milliseconds since 1970-01-01T00:00:00Z. The two ends of the range stand
/// for −∞ (a watermark before any event) and +∞ (a flush); adding a duration leaves them there, and
/// a sum beyond the range ends at them.
struct EventTime {
  std::int64_t ms = 0;

  static constexpr EventTime before_all() { return {std::numeric_limits<std::int64_t>::min()}; }
  static constexpr EventTime after_all() { return {std::numeric_limits<std::int64_t>::max()}; }
  constexpr bool is_finite() const { return *this != before_all() && *this != after_all(); }

  friend constexpr auto operator<=>(EventTime, EventTime) = default;
  friend constexpr EventTime operator+(EventTime t, Duration d) {
    std::int64_t sum = 0;
    if (!t.is_finite()) return t;
    if (__builtin_add_overflow(t.ms, d.count(), &sum))
      return d < Duration{0} ? before_all() : after_all();
    return {sum};
  }
  friend constexpr EventTime operator-(EventTime t, Duration d) { return t + -d; }
  /// Requires: both are finite.
  friend constexpr Duration operator-(EventTime a, EventTime b) { return Duration{a.ms - b.ms}; }
};

/// Which piece of event time a moment belongs to, where pieces of `length` begin at multiples of
/// it. Requires: length > 0.
constexpr std::int64_t piece_of(EventTime time, Duration length) {
  return time.ms / length.count() - (time.ms % length.count() < 0 ? 1 : 0);
}

/// The years that an event may carry: 1970 to 9999.
inline constexpr EventTime kEarliestEventTime{0};
inline constexpr EventTime kLatestEventTime{253'402'300'799'999};

/// "500ms", "30s", "10m", "24h", "7d"; nothing else, and nothing that overflows.
std::optional<Duration> parse_duration(std::string_view text);
/// The shortest text that `parse_duration` reads back: "90s", "24h" as "1d".
std::string print_duration(Duration value);

/// "64KiB", "256MiB", "1GiB", "512B" or a plain number of bytes.
std::optional<std::int64_t> parse_bytes(std::string_view text);
std::string print_bytes(std::int64_t value);

/// An RFC 3339 time with an offset ("2025-11-24T16:00:40Z"); digits below 1 ms are cut. Refuses
/// what is no date (February 30th) and years outside 1970 to 9999.
std::optional<EventTime> parse_rfc3339(std::string_view text);
/// As `parse_rfc3339`, but of any year that RFC 3339 can write, 0000 to 9999, and the hours that an
/// offset adds to these: what is a time, but not one that an event may carry.
std::optional<EventTime> parse_rfc3339_any_year(std::string_view text);
std::string print_rfc3339(EventTime time);

}  // namespace millrace
