#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/evaluate/output_metrics.h"
#include "learner/publish/served_logits.h"
#include "learner/train/first_scores.h"
#include "learner/train/output_start.h"
#include "learner/train/report.h"
#include "learner/train/task_losses.h"

namespace millrace {

/// Progressive validation: the metrics of all tasks, from the forward pass of the very step that
/// then trains on the rows. A task's figures are of its own output on the rows whose label is known
/// and whose condition holds; a task over the entire space has beside them those of the product, on
/// all rows whose label is known. Labels that a policy trains before they are decided are not
/// measured there; their final ones come by themselves (Batch::measured), and the scores that count
/// are those of the impression's first row (FirstScores). Logits are the served ones.
class TaskMetrics {
 public:
  /// Borrows `schema`.
  explicit TaskMetrics(const Schema& schema);

  const ServedLogits& served() const { return served_; }

  /// z [rows, T] and `losses` are of this batch; `outputs` is from before it.
  void add(const Batch& batch, View<const float> z, const TaskLosses& losses,
           const OutputStart& outputs);

  /// Takes in final labels that come by themselves; scores of impressions without further ones go.
  void add(const MeasuredLabels& labels, FirstScores& scores);

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
  void add_binary(Of& of, double weight, double label, bool condition, double own,
                  std::optional<double> product) const;

  const Schema& schema_;
  const ServedLogits served_;
  std::vector<Of> tasks_;
};

}  // namespace millrace
