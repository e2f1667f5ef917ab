#pragma once

#include <span>

#include "learner/base/state.h"
#include "learner/device/memory.h"
#include "learner/device/threads.h"
#include "learner/train/options.h"

namespace millrace {

/// Moves the block of dense weights by the gradients of a batch's chunks: Adam (Kingma and Ba
/// 2015), with the rule for partial batches of math/optimizer_step.h.
///
/// A step is two passes over the block, both cut by its length alone:
///   if (optimizer.sum(chunks, threads)) optimizer.step(weights, chunks[0], share, threads);
/// so that a batch with a gradient that is not finite changes nothing, moments included.
///
/// Memory: two values a weight, at construction. Threads: one at a time; the passes use `threads`.
template <class T>
class DenseUpdater {
 public:
  /// For a block of `count` weights. Requires: options were validated and ask for Adam.
  DenseUpdater(const DenseOptimizerOptions& options, long count);

  /// Adds all chunks' gradients into the first, in their order: ((c₀ + c₁) + c₂) + …; returns
  /// whether every sum, and its square, is finite. This is where the gradients are read anyway, so
  /// the check costs nothing of its own. Each chunk holds `count` values.
  bool sum(std::span<T* const> chunks, Threads& threads);

  /// One step by `gradient` (of the mean loss) of a batch that is the share 0 < `share` ≤ 1 of a
  /// full one, with the configured rate.
  void step(T* weights, const T* gradient, double share, Threads& threads);

  /// Σ share over all steps so far.
  double steps() const { return share_sum_; }

  /// Everything but the configuration: Σ share and both moments of every weight.
  void save(ByteWriter& writer) const;
  /// Error: throws StateError where the bytes are cut off or of another number of weights.
  void restore(ByteReader& reader);

 private:
  const double rate_;
  const long count_;
  double share_sum_ = 0;
  Buffer<T> m_, v_;
};

}  // namespace millrace
