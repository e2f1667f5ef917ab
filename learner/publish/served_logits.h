#pragma once

#include <vector>

#include "learner/data/schema.h"

namespace millrace {

/// From the logits z [T] that a model is trained on to those that are served and measured.
///
/// They differ where training sees another world than the one that is served:
///   - negatives were sampled and not weighed: Task::logit_shift = ln r is added (algorithms 2.15),
///     to the task's own logit alone, also inside the products over it;
///   - `fnc` learns b = p/(1 + p): p = b/(1 − b) (algorithms 2.14). Over the entire space b is the
///     product q of the whole chain, so the chain's probability is q/(1 − q), and the task's own,
///     given its conditions, is that over the conditions' probability: c/(1 − q) where they need no
///     correction.
/// Everywhere else the logits stay what they are, to the bit. Immutable; any thread.
class ServedLogits {
 public:
  explicit ServedLogits(const Schema& schema);

  /// Whether any task is corrected at all.
  bool corrects() const { return corrects_; }
  /// Whether task k's own logit, or a product over its chain, may differ from the model's.
  bool corrects(int task) const { return corrected_[static_cast<std::size_t>(task)]; }

  /// The logit of task k's own output: given its conditions, where it has some.
  double own(const float* z, int task) const;
  /// log q − log(1 − q) of the product over its chain. Requires: a task over the entire space.
  double product(const float* z, int task) const;

 private:
  double shifted(const float* z, int task) const;
  /// log P(task and all its conditions).
  double log_chain(const float* z, int task) const;
  double log_own(const float* z, int task) const;

  std::vector<Task> tasks_;
  std::vector<std::vector<int>> chains_;
  std::vector<bool> corrected_, has_fnc_;
  bool corrects_ = false;
};

}  // namespace millrace
