#pragma once

#include "learner/device/vector.h"

/// The sums of math::gate_slope in registers. Inner to device/.
namespace millrace {

/// The running sums of math::gate_slope, whatever the processor's registers hold.
constexpr int kSums = 16;

/// In the order of math::gate_slope.
template <int L, class T>
MILLRACE_INLINE T total(Vec<T, L> (&sums)[kSums / L]) {
#pragma GCC unroll 4
  for (int half = kSums / L / 2; half > 0; half /= 2) {
#pragma GCC unroll 4
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  if constexpr (L == 16) {
    Vec<T, 8> half[2] = {__builtin_shufflevector(sums[0], sums[0], 0, 1, 2, 3, 4, 5, 6, 7),
                         __builtin_shufflevector(sums[0], sums[0], 8, 9, 10, 11, 12, 13, 14, 15)};
    return total<8, T>(half);
  } else if constexpr (L == 8) {
    const Vec<T, 4> low = __builtin_shufflevector(sums[0], sums[0], 0, 1, 2, 3);
    const Vec<T, 4> high = __builtin_shufflevector(sums[0], sums[0], 4, 5, 6, 7);
    const Vec<T, 4> all = low + high;
    return (all[0] + all[2]) + (all[1] + all[3]);
  } else {
    return (sums[0][0] + sums[0][2]) + (sums[0][1] + sums[0][3]);
  }
}

}  // namespace millrace
