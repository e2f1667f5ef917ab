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

/// ⟨y, dv⟩: the slope of the loss in the gate's weight for expert output y. Sixteen running sums,
/// of which the second half is added to the first until one is left, so that vector units and the
/// plain loop give the same bits.
template <class T>
MILLRACE_HD T gate_slope(const T* y, const T* dv, int H) {
  T sums[16] = {};
  int h = 0;
  for (; h + 16 <= H; h += 16) {
    for (int i = 0; i < 16; ++i) sums[i] += y[h + i] * dv[h + i];
  }
  for (int i = 0; h < H; ++h, ++i) sums[i] += y[h] * dv[h];
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

/// Which of a level's experts a gate weighs, in the order of its weights: first `own` experts of
/// its task, then the others from `rest` on. Experts are numbered task by task, the shared ones
/// last. Where slopes are detached (STEM, Su et al. 2024), gate t teaches only experts
/// [t·taught_own, (t+1)·taught_own) and those from `taught_rest` on; it reads them all.
struct GateReach {
  int own = 0;
  int rest = 0;
  int taught_own = 0;  ///< 0: nothing is detached.
  int taught_rest = 0;

  MILLRACE_HD int expert(int gate, int column) const {
    return column < own ? gate * own + column : rest + column - own;
  }
  MILLRACE_HD bool teaches(int gate, int expert) const {
    return taught_own == 0 || expert >= taught_rest || expert / taught_own == gate;
  }

  /// Of gates [first, first + count), with `columns` weights each, those that weigh an expert:
  /// [begin, end), all in one column.
  struct Readers {
    int begin, end, column;
  };
  MILLRACE_HD Readers readers(int expert, int first, int count, int columns) const {
    if (expert >= rest) {
      const int column = own + expert - rest;
      return {first, column < columns ? first + count : first, column};
    }
    if (own == 0) return {first, first, 0};
    const int gate = expert / own;
    const bool is_one = first <= gate && gate < first + count;
    return {gate, is_one ? gate + 1 : gate, expert % own};
  }
};

}  // namespace millrace::math
