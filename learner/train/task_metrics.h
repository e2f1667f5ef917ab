#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/evaluate/composite.h"
#include "learner/evaluate/options.h"
#include "learner/evaluate/output_metrics.h"
#include "learner/evaluate/slices.h"
#include "learner/publish/served_logits.h"
#include "learner/train/business.h"
#include "learner/train/first_scores.h"
#include "learner/train/output_start.h"
#include "learner/train/recalibration.h"
#include "learner/train/report.h"
#include "learner/train/task_losses.h"

namespace millrace {

/// Progressive validation: the metrics of all tasks, from the forward pass of the very step that
/// then trains on the rows. A task's figures are of its own output on the rows whose label is known
/// and whose condition holds; a task over the entire space has beside them those of the product, on
/// all rows whose label is known. Labels that a policy trains before they are decided are not
/// measured there; their final ones come by themselves (Batch::measured), and the scores that count
/// are those of the impression's first row (FirstScores). Logits are the served ones, before they
/// are recalibrated; a recalibrated task's figures after it stand beside them, and what is
/// predicted of business figures is what is served.
class TaskMetrics {
 public:
  /// Borrows `schema`. `recalibrate`: by the names of binary tasks (TrainOptions).
  explicit TaskMetrics(const Schema& schema, const EvaluateOptions& options = {},
                       const std::map<std::string, double>& recalibrate = {});

  const ServedLogits& served() const { return served_; }

  /// Is told of each row as a task's own output is measured on it; `user`: 0 where not known.
  using Observer = std::function<void(int task, const Measurement& row, std::uint64_t user)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

  /// By task, whether it learns from what is added (1), each time as it stands then: a frozen one
  /// is measured, and its recalibration stays as it is. Borrowed. Empty: all do.
  void set_learns(std::span<const std::uint8_t> learns) { learns_ = learns; }

  /// z [rows, T] and `losses` are of this batch; `outputs` is from before it.
  void add(const Batch& batch, View<const float> z, const TaskLosses& losses,
           const OutputStart& outputs);

  /// Takes in final labels that come by themselves, at event time `due`; scores of impressions
  /// without further ones go.
  void add(const MeasuredLabels& labels, EventTime due, FirstScores& scores);

  /// What FirstScores keeps of each row's slice until its final labels come; empty: nothing.
  std::vector<float> slice_marks(const Batch& batch);

  /// The figures of task k's own output over the window, as of now: what a balancer may go by, for
  /// it does not depend on when reports were made.
  Figures window(int task) const { return tasks_[static_cast<std::size_t>(task)].own.window(); }

  /// Makes figures anew that are out of date: all of them, or (`whole` false) those of the few
  /// outputs that have waited longest, so that a report costs little however many tasks there are.
  void refresh(bool whole) const;
  /// Fills in name, kind and figures, as of the last `refresh`.
  void report(int task, TaskReport& report) const;
  /// The composite by window; of all tasks' figures as of the last `refresh`.
  std::vector<CompositeReport> composites() const;
  /// One a task; empty where none is recalibrated.
  std::vector<LogitLine> recalibration() const;
  std::vector<BusinessReport> business() const { return business_.report(); }

  void save(StateChanges& changes);
  /// Returns whether the value is one of the metrics'. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  struct Of {
    OutputMetrics own;
    std::optional<OutputMetrics> entire;
    std::optional<Recalibration> line;
    std::optional<OutputMetrics> recalibrated;
  };
  /// One row of one task, as its labels and its place say.
  struct Row {
    double weight;
    double label;
    bool condition;
    bool is_learned;  ///< It weighs something to what is learned.
    RowPlace place;
  };
  void add_binary(Of& of, const Row& row, double own, std::optional<double> product);
  void add_row(const Batch& batch, int row, int task, const RowPlace& place, View<const float> z,
               const TaskLosses& losses, const OutputStart& outputs);
  void advance(EventTime due);
  /// What is served of a task: a probability, or a value in the label's units.
  double served_value(const float* z, int task, const OutputStart& outputs) const;
  void add_business(const Batch& batch, View<const float> z, const OutputStart& outputs);
  bool restore_line(std::size_t task, std::string_view name, std::string_view bytes);
  std::vector<const OutputMetrics*> outputs() const;
  int slice_of_mark(float mark) const;
  void add_own(Of& of, const Measurement& row, const RowPlace& place, bool is_learned);
  void settle();

  const Schema& schema_;
  const EvaluateOptions options_;
  const ServedLogits served_;
  SliceKeys slices_;
  float mark_ = 0;  ///< Of the slices' options, in every slice's mark.
  std::vector<Of> tasks_;
  BusinessFigures business_;
  std::vector<RowPlace> places_;  ///< Of a batch's rows.
  mutable std::size_t next_ = 0;  ///< The output that a refresh in parts begins with.
  std::span<const std::uint8_t> learns_;
  bool recalibrates_ = false;
  std::vector<std::string> left_over_;  ///< Stored values of outputs that are no more.
  Observer observer_;
};

}  // namespace millrace
