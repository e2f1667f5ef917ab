#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "learner/balance/options.h"
#include "learner/base/state.h"
#include "learner/data/schema.h"

namespace millrace {

/// What a batch says of one task: L_k = sum / count.
struct TaskLoss {
  double sum = 0;    ///< Σ of the weighted losses of its rows.
  double count = 0;  ///< Plain count of its rows; 0: the task is absent in this batch.
};

/// What one step says of the tasks: the sums of its batches, which are a full batch or more.
struct StepMeasures {
  std::span<const TaskLoss> losses;  ///< [T]
  /// [T]: ‖∇_W L_k‖ on the last shared layer; NaN where a task has none. Empty: not measured.
  std::span<const double> norms = {};
  /// [T]: a figure in [0, 1] of how well a task is predicted, 1 the best; NaN: unknown. Empty: not
  /// measured.
  std::span<const double> performance = {};
};

/// A rule from the tasks' losses (and gradient norms) to their weights ω. Σ_k ω_k = T over all T
/// tasks, whatever the method, so that learning rates compare (but for uncertainty's option `raw`).
/// A task that is absent from a step keeps what is known of it and is in no mean.
/// Threads: one at a time.
class Balancer {
 public:
  virtual ~Balancer() = default;

  virtual std::span<const double> weights() const = 0;

  /// What the step in progress must be told of; the same until `step`.
  virtual bool needs_norms() const { return false; }
  virtual bool needs_performance() const { return false; }

  virtual void step(const StepMeasures& measures) = 0;

  /// Values of the whole, then `task_values()` for each task in turn, so that tasks can be carried
  /// over to another set of tasks.
  virtual void save(ByteWriter& writer) const = 0;
  /// Error: throws StateError.
  virtual void restore(ByteReader& reader) = 0;
  virtual int task_values() const = 0;
};

/// Requires: `options` were validated; the weights of `fixed` are not negative and not all 0.
/// `seed`: of random weights.
std::unique_ptr<Balancer> make_balancer(const BalanceOptions& options,
                                        const std::vector<Task>& tasks, std::uint64_t seed);

/// Scales `weights` to Σ = T, lifts those below `least` (a share of the mean), scales again.
void normalise_weights(std::span<double> weights, double least);

/// Scales the weights of the tasks that are `present` so that their sum is as it was, and all of
/// them are at least `least` before that: those of the others stay. `before`: Σ of the present.
void normalise_present(std::span<double> weights, const std::vector<bool>& present, double before,
                       double least);

/// The next value of a saved state. Error: throws StateError where it is not finite.
double read_finite(ByteReader& reader);
/// Brings weights that were restored to Σ = T, if they are not there but for rounding: those of
/// another set of tasks. Error: throws StateError where one is negative or all are 0.
void accept_weights(std::span<double> weights);

}  // namespace millrace
