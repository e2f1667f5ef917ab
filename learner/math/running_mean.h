#pragma once

#include <algorithm>
#include <cmath>

namespace millrace::math {

/// How much `n` further values weigh in a running mean that already holds `count` (capped at
/// `length`): all values alike up to `length` of them, then exponentially, by the same share for
/// each value however they are grouped.
inline double running_share(double count, double n, double length) {
  const double fading = -std::expm1(n * std::log1p(-1 / length));
  return std::max(n / (count + n), fading);
}

}  // namespace millrace::math
