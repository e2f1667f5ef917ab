#pragma once

#include <optional>
#include <span>

#include "learner/base/state.h"
#include "learner/relation/pairs.h"

namespace millrace {

/// How the tasks' gradients on shared weights lie to each other:
///
///   C_ij = mean⟨g_i, g_j⟩ / √(mean ‖g_i‖² · mean ‖g_j‖²)
///
/// over the measurements in which both had a gradient, numerator and norms each by itself (less
/// biased than a mean of ratios; within [−1, 1] by Cauchy and Schwarz), and the conflict rate, the
/// share of these with ⟨g_i, g_j⟩ < 0. Means are plain up to `length` measurements, then fade.
/// Memory: 40 bytes a pair. Threads: one at a time.
class GradientCosine {
 public:
  GradientCosine(int tasks, double length) : length_(length), pairs_(tasks) {}

  /// `gram` [T,T] by rows: the inner products; ⟨g_k, g_k⟩ is NaN or 0 where a task has no gradient.
  void add(std::span<const double> gram);

  /// Nothing before the first common measurement.
  std::optional<double> cosine(int i, int j) const;
  std::optional<double> conflict_rate(int i, int j) const;
  /// √ of the running mean of ‖g_k‖².
  std::optional<double> norm(int task) const;
  /// How much task k has in common with the others: the mean of its cosines with them, those below
  /// 0 as 0. Nothing while there is none.
  std::optional<double> similarity(int task) const;

  void save(ByteWriter& writer) const;
  /// Error: throws StateError.
  void restore(ByteReader& reader);

 private:
  struct Pair {
    double count = 0, product = 0, conflicts = 0;
    double larger = 0, smaller = 0;  ///< ‖g‖² of the task with the larger and the smaller index.
  };
  const double length_;
  Pairs<Pair> pairs_;
};

}  // namespace millrace
