#pragma once

#include <cstddef>
#include <vector>

#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/math/delay_model.h"

namespace millrace {

/// What the labels of tasks under dfm say of their delays (math/delay_model.h).

/// Whether a label of the batch, `cell` of [rows,T], is learned with its delay.
bool tells_delay(const Batch& batch, std::size_t cell);

/// The loss of such a label: odds, the task's log odds that it becomes 1; w, of its rate in the
/// inverse of `unit_ms`.
math::DelayLoss<double> delay_loss(const Batch& batch, std::size_t cell, double odds, double w,
                                   double unit_ms);

/// The unit of time of one task's delays: their running median, so that a rate near 1 is one that
/// is near right and rates learn at one pace whether delays are seconds or days (algorithms 2.14).
///
///   ln m ← ln m + (n / N) mean_i sign(ln d_i − ln m)      n delays of a batch, N of all, ≤ 10,000
///
/// It starts at the first delays' median; before them it is what the constructor was told.
/// A plain value. Threads: as any value.
class DelayScale {
 public:
  /// Requires: first_ms > 0.
  explicit DelayScale(double first_ms);

  double ms() const { return ms_; }
  /// Takes in a batch's delays in ms, in any order; what is below 1 ms counts as 1 ms.
  void add(std::vector<double> delays);

  void save(ByteWriter& writer) const;
  /// Error: throws StateError.
  void restore(ByteReader& reader);

 private:
  double ms_;
  double seen_ = 0;
};

}  // namespace millrace
