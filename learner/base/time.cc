#include "learner/base/time.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <span>

namespace millrace {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t size;
};

// Largest first, so that printing takes the shortest form.
constexpr std::array<Unit, 5> kDurations{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<Unit, 4> kSizes{
    {{"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"KiB", 1LL << 10}, {"B", 1}}};

std::optional<std::int64_t> parse_with_unit(std::string_view text, std::span<const Unit> units) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0) return std::nullopt;
  const std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const Unit& unit : units) {
    std::int64_t value = 0;
    if (unit.name != name) continue;
    if (__builtin_mul_overflow(number, unit.size, &value)) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

std::string print_with_unit(std::int64_t value, std::span<const Unit> units) {
  for (const Unit& unit : units) {
    if (value % unit.size == 0 && (value != 0 || unit.size == 1)) {
      return std::to_string(value / unit.size) + std::string(unit.name);
    }
  }
  return std::to_string(value);
}

// Reads exactly `digits` decimal digits at `at` and moves it behind them.
std::optional<int> read_digits(std::string_view text, std::size_t& at, std::size_t digits) {
  if (text.size() < at + digits) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(at, digits)) {
    if (c < '0' || '9' < c) return std::nullopt;
    value = value * 10 + (c - '0');
  }
  at += digits;
  return value;
}

bool read_one_of(std::string_view text, std::size_t& at, std::string_view choices) {
  if (at >= text.size() || choices.find(text[at]) == std::string_view::npos) return false;
  ++at;
  return true;
}

// The fraction's first three digits; the others are read and cut.
std::optional<int> read_milliseconds(std::string_view text, std::size_t& at) {
  int value = 0, digits = 0;
  for (; at < text.size() && '0' <= text[at] && text[at] <= '9'; ++at, ++digits) {
    if (digits < 3) value = value * 10 + (text[at] - '0');
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 3; ++digits) value *= 10;
  return value;
}

std::optional<std::chrono::minutes> read_offset(std::string_view text, std::size_t& at) {
  if (read_one_of(text, at, "Zz")) return std::chrono::minutes{0};
  const bool west = at < text.size() && text[at] == '-';
  if (!read_one_of(text, at, "+-")) return std::nullopt;
  const auto hours = read_digits(text, at, 2);
  if (!hours || *hours > 23 || !read_one_of(text, at, ":")) return std::nullopt;
  const auto minutes = read_digits(text, at, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  const std::chrono::minutes offset{*hours * 60 + *minutes};
  return west ? -offset : offset;
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  const auto value = parse_with_unit(text, kDurations);
  return value ? std::optional<Duration>{Duration{*value}} : std::nullopt;
}

std::string print_duration(Duration value) {
  if (value.count() == 0) return "0ms";
  return print_with_unit(value.count(), kDurations);
}

std::optional<std::int64_t> parse_bytes(std::string_view text) {
  std::int64_t plain = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), plain);
  if (error == std::errc{} && end == text.data() + text.size() && plain >= 0) return plain;
  return parse_with_unit(text, kSizes);
}

std::string print_bytes(std::int64_t value) { return print_with_unit(value, kSizes); }

std::optional<EventTime> parse_rfc3339(std::string_view text) {
  const auto time = parse_rfc3339_any_year(text);
  const bool fits = time && kEarliestEventTime <= *time && *time <= kLatestEventTime;
  return fits ? time : std::nullopt;
}

std::optional<EventTime> parse_rfc3339_any_year(std::string_view text) {
  using namespace std::chrono;
  std::size_t at = 0;
  const auto y = read_digits(text, at, 4);
  if (!y || !read_one_of(text, at, "-")) return std::nullopt;
  const auto mo = read_digits(text, at, 2);
  if (!mo || !read_one_of(text, at, "-")) return std::nullopt;
  const auto d = read_digits(text, at, 2);
  if (!d || !read_one_of(text, at, "Tt ")) return std::nullopt;
  const auto h = read_digits(text, at, 2);
  if (!h || *h > 23 || !read_one_of(text, at, ":")) return std::nullopt;
  const auto mi = read_digits(text, at, 2);
  if (!mi || *mi > 59 || !read_one_of(text, at, ":")) return std::nullopt;
  const auto s = read_digits(text, at, 2);
  if (!s || *s > 60) return std::nullopt;  // 60: a leap second counts as the next one
  int fraction = 0;
  if (read_one_of(text, at, ".")) {
    const auto value = read_milliseconds(text, at);
    if (!value) return std::nullopt;
    fraction = *value;
  }
  const auto offset = read_offset(text, at);
  if (!offset || at != text.size()) return std::nullopt;

  const year_month_day date{year{*y}, month{static_cast<unsigned>(*mo)},
                            day{static_cast<unsigned>(*d)}};
  if (!date.ok()) return std::nullopt;
  const auto since = sys_days{date}.time_since_epoch() + hours{*h} + minutes{*mi} + seconds{*s} +
                     milliseconds{fraction} - *offset;
  return EventTime{duration_cast<milliseconds>(since).count()};
}

std::string print_rfc3339(EventTime time) {
  using namespace std::chrono;
  const sys_time<milliseconds> point{milliseconds{time.ms}};
  const auto date = floor<days>(point);
  const year_month_day day{date};
  const hh_mm_ss clock{point - date};
  std::array<char, 40> text{};
  std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(day.year()),
      static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return text.data();
}

}  // namespace millrace
