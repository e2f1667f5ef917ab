#pragma once

#include <cstring>

#include "learner/device/vector.h"

/// e^x without a call for each value. Inner to device/.
namespace millrace {

inline constexpr int kTogether = 8;  ///< Values of which e^x is computed together.

/// e^x of eight values x ≤ 0: 2^n e^r with |r| ≤ ln 2 / 2 (the polynomial is Cephes'). 0 below the
/// least normal number, NaN of a NaN.
MILLRACE_INLINE void exp_all(Vec<float, kTogether>& x) {
  using Whole = int __attribute__((vector_size(kTogether * sizeof(int))));
  constexpr float kRound = 12582912.F;  // 1.5 · 2²³: adding it leaves no fraction
  constexpr float kLeast = -87.F;
  const Vec<float, kTogether> inside = x < kLeast ? Vec<float, kTogether>{} + kLeast : x;
  const Vec<float, kTogether> n = (inside * 1.44269504F + kRound) - kRound;
  Vec<float, kTogether> r = inside - n * 0.693359375F;
  r -= n * -2.12194440e-4F;
  Vec<float, kTogether> p = Vec<float, kTogether>{} + 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.F;
  const Whole exponent = (__builtin_convertvector(n, Whole) + 127) << 23;
  Vec<float, kTogether> power;
  std::memcpy(&power, &exponent, sizeof power);
  const Vec<float, kTogether> value = p * power;
  x = x < kLeast ? Vec<float, kTogether>{} : (x == x ? value : x);
}

}  // namespace millrace
