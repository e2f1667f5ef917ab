#pragma once

#include "learner/base/host_device.h"

/// The arithmetic of a mixture of experts for one row: E experts, T tasks, H units.
namespace millrace::math {

/// v[h] += weight · y[h]: one expert's share of a task's mixture, and one task's share of the slope
/// in an expert's output.
template <class T>
MILLRACE_HD void mix_add(T weight, const T* y, T* v, int H) {
  for (int h = 0; h < H; ++h) v[h] += weight * y[h];
}

/// v[h] = weight · y[h]
template <class T>
MILLRACE_HD void mix_set(T weight, const T* y, T* v, int H) {
  for (int h = 0; h < H; ++h) v[h] = weight * y[h];
}

/// ⟨y, dv⟩: the slope of the loss in the gate's weight for expert output y. Eight running sums,
/// added in a fixed order, so that vector units and the plain loop give the same bits.
template <class T>
MILLRACE_HD T gate_slope(const T* y, const T* dv, int H) {
  T sums[8] = {};
  int h = 0;
  for (; h + 8 <= H; h += 8) {
    for (int i = 0; i < 8; ++i) sums[i] += y[h + i] * dv[h + i];
  }
  for (int i = 0; h < H; ++h, ++i) sums[i] += y[h] * dv[h];
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

}  // namespace millrace::math
