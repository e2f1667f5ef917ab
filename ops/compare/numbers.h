#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "learner/evaluate/bootstrap.h"

// How a comparison writes its numbers.
namespace millrace {

/// "0.8713", or "-" where there is none or it is not finite.
std::string print_optional(const std::optional<double>& value, int digits);
/// "+0.0012 [-0.0003, +0.0027]", or "-".
std::string print_interval(const std::optional<Interval>& interval, int digits);
/// "48,842"
std::string print_count(std::uint64_t number);

}  // namespace millrace
