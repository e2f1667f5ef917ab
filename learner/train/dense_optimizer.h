#pragma once

#include <span>
#include <utility>
#include <vector>

#include "learner/base/state.h"
#include "learner/device/memory.h"
#include "learner/device/threads.h"
#include "learner/math/optimizer_step.h"
#include "learner/model/parameter_block.h"
#include "learner/train/options.h"
#include "learner/train/task_states.h"

namespace millrace {

/// Moves the block of dense weights by the gradients of a batch's chunks, with the rules for a
/// batch that is the share φ of a full one (algorithms 2.0; φ = 1 is the plain formula bit for
/// bit):
///
///   sgd      math::sgd: the plain rule on φ·g, with momentum μ^φ;
///   adagrad  the plain rule on φ·g (Duchi et al. 2011), ε 1e-10 outside the root;
///   adam     math::adam (Kingma and Ba 2015);
///   adamw    w ← (1 − rate λ)^φ w for every weight but no bias, then adam: decay that is decoupled
///            from the gradient (Loshchilov and Hutter 2019), by the steps that have gone by.
///
/// `rate` is the configured one times what its schedule (base/schedule.h) says of Σφ. With
/// `clip_norm` c the gradient g of the whole block is scaled by min(1, c / (√φ ‖g‖)): √φ g is what
/// a partial batch's second moment sees, so noise is clipped as often however the stream is cut.
/// The norm is summed by parts that the block's length decides, in their order.
///
/// With `task_states` the rules of adagrad, adam and adamw go, of weights that several tasks reach,
/// by each task's gradient and state in turn (task_states.h); `clip_norm` scales all of them as it
/// would their sum. One task's are the plain rule bit for bit.
///
/// A step is two passes over the block, both cut by its length alone:
///   if (optimizer.sum(chunks, threads)) optimizer.step(weights, chunks[0], share, threads);
/// so that a batch with a gradient that is not finite changes nothing, moments included.
///
/// Memory: the values of `states` a weight, at construction, and of `task_states`. Threads: one at
/// a time; the passes use `threads`.
template <class T>
class DenseUpdater {
 public:
  /// For a block of `count` weights. Requires: options were validated. `slots` are the blocks that
  /// `clip` scales, each as one, whose weights adamw decays, and of which `task_states` has those
  /// of several of `tasks` tasks; none needed otherwise.
  DenseUpdater(const DenseOptimizerOptions& options, long count,
               std::vector<ParameterSlot> slots = {}, int tasks = 0);

  /// Adds all chunks' gradients into the first, in their order: ((c₀ + c₁) + c₂) + …; returns
  /// whether every sum, and its square, is finite. This is where the gradients are read anyway, so
  /// the check costs nothing of its own. Each chunk holds `count` values.
  bool sum(std::span<T* const> chunks, Threads& threads);

  /// What a step did: the norms of the weights before it and of their change, and the largest
  /// absolute weight after it (NaN where one is not finite).
  struct Change {
    double norm = 0, change = 0, largest = 0;
  };

  /// One step by `gradient` (of the mean loss) of a batch that is the share 0 < `share` ≤ 1 of a
  /// full one, with the configured rate. The slots of `kept` stay as they are, moments included.
  ///
  /// With `clip` every slot's update Δ is scaled by σ = min(1, min_i (r |w_i| + a) / |Δ_i|), r =
  /// clip_relative, a = clip_absolute (Clippy: Tang et al. 2023, algorithm 2); the moments are not.
  ///
  /// With `task_states`, `by_task` are the gradients that sum up to `gradient`, of the tasks that
  /// are present, each at most once; otherwise it is not read.
  Change step(T* weights, const T* gradient, double share, Threads& threads,
              std::span<const ParameterSlot> kept = {},
              std::span<const TaskGradient<T>> by_task = {});

  /// Σ share over all steps so far.
  double steps() const { return share_sum_; }

  /// Values beside each weight: momentum (sgd, kept without it too), a sum of squares (adagrad), or
  /// two moments.
  static int states(DenseOptimizer optimizer);

  /// Everything but the configuration: Σ share, each of the states of every weight, and then what
  /// TaskStates saves.
  void save(ByteWriter& writer) const;
  /// Error: throws StateError where the bytes are cut off or of another number of weights.
  void restore(ByteReader& reader);

 private:
  struct Plan;
  /// What a part's step did. `mark` is 0, or NaN where a weight is not finite.
  struct Sums {
    double weights = 0, change = 0, largest = 0, mark = 0;
  };
  Plan plan(const T* gradient, double share, Threads& threads,
            std::span<const TaskGradient<T>> by_task);
  void update(const Plan& plan, const T* gradient, T* weights, long first, long count);
  /// The rule itself, of `count` weights, their gradient and the first of their states.
  void move(const Plan& plan, const math::AdamStep<T>& adam, const T* gradient, T* a, T* b,
            T* weights, long count) const;
  double norm(const T* gradient, Threads& threads);
  void clip(T* weights, const T* before);

  const DenseOptimizerOptions options_;
  const long count_;
  const std::vector<ParameterSlot> slots_;
  std::vector<Sums> sums_;  ///< By part, of the step in progress.
  double share_sum_ = 0;
  std::vector<std::pair<long, long>> decayed_;  ///< [begin, end) of weights that decay, ascending.
  std::vector<Buffer<T>> states_;
  TaskStates<T> task_states_;
  std::vector<math::AdamStep<T>> task_steps_;  ///< By gradient of the step in progress.
  std::vector<T> before_;                      ///< With clip: the weights before the step.
};

}  // namespace millrace
