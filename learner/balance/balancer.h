#pragma once

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

/// From the tasks' losses to their weights ω. Σ_k ω_k = T over all T tasks, whatever the method, so
/// that learning rates compare. Threads: one at a time.
class Balancer {
 public:
  virtual ~Balancer() = default;

  /// The weights that the next batch is trained with.
  virtual std::span<const double> weights() const = 0;

  /// Takes in one batch that was trained on; `fraction`: of a full batch, 0 < φ ≤ 1. Batches are
  /// summed until Σφ ≥ 1, which is one step, so that the weights do not depend on the traffic.
  virtual void add(std::span<const TaskLoss> losses, double fraction) = 0;

  virtual void save(ByteWriter& writer) const = 0;
  /// Error: throws StateError.
  virtual void restore(ByteReader& reader) = 0;
};

/// Requires: `options` were validated and ask for a method that is built; the weights of `fixed`
/// are not negative and not all 0.
std::unique_ptr<Balancer> make_balancer(const BalanceOptions& options,
                                        const std::vector<Task>& tasks);

/// Scales `weights` to Σ = T, lifts those below `least` (a share of the mean), scales again.
void normalise_weights(std::span<double> weights, double least);

}  // namespace millrace
