#include "learner/base/random.h"

#include <cmath>
#include <numbers>

namespace millrace {

std::array<double, 2> to_normal(std::uint32_t a, std::uint32_t b) {
  const double radius = std::sqrt(-2 * std::log(to_unit(a)));
  const double angle = 2 * std::numbers::pi * to_unit(b);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace millrace
