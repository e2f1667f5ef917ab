#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/evaluate/output_metrics.h"
#include "learner/train/output_start.h"
#include "learner/train/report.h"
#include "learner/train/task_losses.h"

namespace millrace {

/// Progressive validation: the metrics of all tasks, from the forward pass of the very step that
/// then trains on the rows. A task's figures are of its own output on the rows whose label is known
/// and whose condition holds; a task over the entire space has beside them those of the product, on
/// all rows whose label is known. A task under `fnw` is not measured on rows at once, whose labels
/// are not final.
class TaskMetrics {
 public:
  /// Borrows `schema`.
  explicit TaskMetrics(const Schema& schema);

  /// z [rows, T] and `losses` are of this batch; `outputs` is from before it.
  void add(const Batch& batch, View<const float> z, const TaskLosses& losses,
           const OutputStart& outputs);

  /// Fills in name, kind and figures.
  void report(int task, TaskReport& report) const;

  void save(StateChanges& changes);
  /// Returns whether the value is one of the metrics'. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  struct Of {
    OutputMetrics own;
    std::optional<OutputMetrics> entire;
  };
  const Schema& schema_;
  std::vector<Of> tasks_;
};

}  // namespace millrace
