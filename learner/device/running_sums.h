#pragma once

#include <utility>

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

/// The same of sums in memory.
template <int L, class T>
MILLRACE_INLINE T total(const T (&sums)[kSums]) {
  Vec<T, L> registers[kSums / L];
  load(sums, registers);
  return total<L, T>(registers);
}

/// a: the sums of two registers' lanes, `step` apart: a's where a lane's number lacks that bit, b's
/// in the others.
template <int step, class V, int... lane>
MILLRACE_INLINE void add_apart(V& a, const V& b, std::integer_sequence<int, lane...>) {
  constexpr int L = sizeof...(lane);
  a = __builtin_shufflevector(a, b, ((lane & step) == 0 ? lane : L + lane - step)...) +
      __builtin_shufflevector(a, b, ((lane & step) == 0 ? lane + step : L + lane)...);
}

/// Lane i of v[0]: what total gives of v[i].
template <int step, int L, class T>
MILLRACE_INLINE void total_lanes(Vec<T, L> (&v)[L]) {
  if constexpr (step > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < step; ++i) {
      add_apart<step>(v[i], v[i + step], std::make_integer_sequence<int, L>{});
    }
    total_lanes<step / 2, L, T>(v);
  }
}

/// Rows whose sums are added together: a shuffle serves two of them.
constexpr int kTotals = 16;

/// total of each row of `sums`, to `to`.
template <int L, class T>
MILLRACE_INLINE void totals(const T (&sums)[kTotals][kSums], T (&to)[kTotals]) {
#pragma GCC unroll 4
  for (int first = 0; first < kTotals; first += L) {
    Vec<T, L> rows[L];
#pragma GCC unroll 16
    for (int r = 0; r < L; ++r) {
      Vec<T, L> parts[kSums / L];
      load(sums[first + r], parts);
#pragma GCC unroll 4
      for (int half = kSums / L / 2; half > 0; half /= 2) {
#pragma GCC unroll 4
        for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
      }
      rows[r] = parts[0];
    }
    total_lanes<L / 2, L, T>(rows);
    millrace::store(rows[0], to + first);
  }
}

}  // namespace millrace
