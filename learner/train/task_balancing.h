#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "learner/balance/task_weights.h"
#include "learner/relation/relations.h"
#include "learner/train/task_gradients.h"
#include "learner/train/task_metrics.h"
#include "learner/train/task_performance.h"

namespace millrace {

/// Everything in a training step that is about the tasks together: their weights, what is done to
/// conflicting gradients, and what is measured of their relations.
///
/// A batch: `begin`, then `gradients()` through its tiles, `take_representation` once, and, if it
/// is learned, `learned`. Otherwise nothing has changed. Threads: one at a time, but as
/// TaskGradients says.
class TaskBalancing {
 public:
  /// Borrows `schema`, `model` and `losses`; `groups` as in TaskGradients. `rows`: of a full batch.
  /// `apart`: the optimiser wants every task's gradient, too (TaskGradients::by_task).
  TaskBalancing(const Schema& schema, const BalanceOptions& balance,
                const RelationOptions& relations, const Model<float>& model,
                const TaskLosses& losses, const InputGroups& groups, int rows, bool apart,
                std::uint64_t seed);

  std::span<const double> weights() const { return weights_.weights(); }

  /// `scale` [T]: weight over normaliser, borrowed until the batch's end.
  void begin(const std::vector<double>& scale, int rows);
  TaskGradients& gradients() { return gradients_; }
  const TaskGradients& gradients() const { return gradients_; }
  /// Of the batch's first tile: the towers' inputs of the rows that weigh something.
  void take_representation(Stack<const float> tower_inputs, std::span<const float> row_weights);

  /// What was learned: `sums` [T] are 0 for tasks that did not learn, z [rows, T] and `metrics` are
  /// of this batch, too; `fraction`: its share of a full batch, `chunks`: how it was cut. Returns
  /// whether relations were measured.
  bool learned(const Batch& batch, View<const float> z, std::span<const TaskLoss> sums,
               double fraction, int chunks, const TaskMetrics& metrics);

  const Relations& relations() const { return relations_; }
  /// Empty where there is one task, or they are never measured.
  RelationReport report() const;

  /// The values "balance" and "relations".
  void save(StateChanges& changes) const;
  /// Returns whether the value is one of these. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  bool measures_relations() const { return relations_.measures(weights_.steps()); }

  const bool apart_, has_relations_, by_performance_;
  TaskWeights weights_;
  Relations relations_;
  TaskGradients gradients_;
  TaskPerformance performance_;
  std::vector<TaskLoss> counts_;       ///< Of the step in progress.
  std::vector<float> representation_;  ///< Of the batch in progress, [T · rows, H]
  int representation_rows_ = 0;
};

}  // namespace millrace
