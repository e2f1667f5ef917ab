#include "ops/compare/numbers.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>

namespace millrace {

std::string print_optional(const std::optional<double>& value, int digits) {
  return value && std::isfinite(*value) ? fmt::format("{:.{}f}", *value, digits) : "-";
}

std::string print_interval(const std::optional<Interval>& interval, int digits) {
  if (!interval) return "-";
  return fmt::format("{:+.{}f} [{:+.{}f}, {:+.{}f}]", interval->difference, digits, interval->low,
                     digits, interval->high, digits);
}

std::string print_count(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

}  // namespace millrace
