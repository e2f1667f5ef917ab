#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learner/balance/balancer.h"

namespace millrace {

/// The tasks' weights as the trainer sees them: a balancer that is told of steps instead of
/// batches.
///
/// Batches are summed until Σφ ≥ 1 (φ: the share of a full batch), which is one step, so that the
/// weights do not depend on how the traffic was cut. For the first `warmup_steps` of these the
/// weights are the fixed ones, while the balancer already takes in what it is told.
/// Threads: one at a time.
class TaskWeights {
 public:
  /// As `make_balancer`.
  TaskWeights(const BalanceOptions& options, const std::vector<Task>& tasks, std::uint64_t seed);

  /// The weights that the next batch is trained with.
  std::span<const double> weights() const;

  /// Steps that were completed.
  std::uint64_t steps() const { return steps_; }
  /// Whether a batch of the share `fraction` completes the step in progress.
  bool completes(double fraction) const;
  /// What the step in progress must be told of, with the batch that completes it.
  bool needs_norms() const { return balancer_->needs_norms(); }
  bool needs_performance() const { return balancer_->needs_performance(); }

  /// Takes in one batch that was trained on, 0 < `fraction` ≤ 1. `norms` and `performance` as in
  /// StepMeasures, of the whole step; read only if the batch completes it.
  void add(std::span<const TaskLoss> losses, double fraction, std::span<const double> norms = {},
           std::span<const double> performance = {});

  void save(ByteWriter& writer) const;
  /// Error: throws StateError.
  void restore(ByteReader& reader);

  /// The state carried over to another set of tasks: `tasks[k]` is the old index of new task k, or
  /// −1, which starts as in a new model. Error: throws StateError.
  static std::string migrate(std::string_view state, const BalanceOptions& options,
                             std::size_t old_tasks, const std::vector<Task>& new_tasks,
                             const std::vector<int>& tasks);

 private:
  const std::uint64_t warmup_steps_;
  std::vector<double> fixed_;
  std::unique_ptr<Balancer> balancer_;
  std::uint64_t steps_ = 0;
  double fraction_ = 0;  ///< Σφ since the last step.
  std::vector<TaskLoss> sums_;
};

}  // namespace millrace
