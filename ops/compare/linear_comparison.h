#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/evaluate/bootstrap.h"
#include "learner/evaluate/comparison.h"
#include "learner/train/linear_baseline.h"
#include "learner/train/trainers.h"

namespace millrace {

/// A model's figure minus the linear baseline's, and the interval where there are units enough for
/// one, and 10 labels of each class; nothing where a figure is undefined.
struct LinearDifference {
  std::optional<double> value;
  std::optional<Interval> interval;
};

enum class LinearVerdict {
  kAhead,      ///< The interval of the AUC's difference is above 0.
  kLevel,      ///< It includes 0.
  kBehind,     ///< It is below 0.
  kUncertain,  ///< There are too few rows, or labels of a class, for an interval.
  kUndefined,  ///< One has no AUC.
};
std::string_view to_string(LinearVerdict verdict);

/// What is measured of one task of a model beside the linear baseline.
struct AgainstLinear {
  LinearDifference auc, log_loss;
  LinearDifference late;  ///< AUC on the last fifth of the task's rows.
  /// AUC by fifths of the task's rows, to the next block of the stream.
  std::vector<std::optional<double>> fifths;
  std::optional<double> model_auc, linear_auc, model_calibration, linear_calibration;
  /// The AUC of the best regression that learns in the model's own steps, a batch each.
  std::optional<double> same_steps_auc;
  std::uint64_t steps = 0, learned = 0;  ///< The model's steps, and the rows in them.
  std::uint64_t linear_steps = 0;
  std::uint64_t rows = 0, positives = 0;  ///< Measured, of the task.
};

LinearVerdict verdict_of(const AgainstLinear& against);

/// Why the model does not beat the baseline on the task, in one sentence, as far as these numbers
/// can tell; or that it does by its AUC, but has the higher log loss. Empty where there is nothing
/// to explain.
std::string linear_sentence(const std::string& model, const std::string& task,
                            const AgainstLinear& against);

/// One task of the linear baseline: the best of its rates by AUC over the stream (by log loss where
/// no AUC is defined).
struct LinearTask {
  struct Rate {
    double rate = 0;
    std::optional<double> auc, log_loss;
  };
  std::string name;
  double rate = 0;
  Figures all;
  std::vector<Rate> rates;  ///< All that were tried.
  Rate same_steps;          ///< The best of those that learn in the models' steps.
};

struct LinearReport {
  std::vector<LinearTask> tasks;
  std::uint64_t steps = 0, batches = 0;
  std::uint64_t keys = 0, left_out = 0, bytes = 0;
  double seconds = 0;  ///< Of both, in steps of a row and of a batch.
};

/// Cuts the blocks of a stream into `parts` of like numbers of measured rows, in their order: part
/// i is [cuts[i], cuts[i + 1]). A block is of the part that its middle row is in, so a part may be
/// empty. (By positions in the stream a task that is decided late would have all its rows at the
/// end.)
std::vector<std::size_t> cut_by_rows(const std::vector<SparseTally>& blocks, std::size_t parts);

/// The linear baseline beside the models of a comparison: it learns from their batches, twice (in
/// steps of one row, and in theirs), and what it says is kept as theirs is. Memory: a
/// ComparedOutput and a tally for each task and rate, and twice LinearBaselineOptions::memory_bytes
/// at most.
class LinearComparison {
 public:
  /// Borrows `schema`, the stream's; `most_scored_rows`: of each task and rate, as ComparedOutput
  /// has it. Requires: LinearBaseline::tasks_of(schema) is not empty.
  LinearComparison(const Schema& schema, std::size_t most_scored_rows);

  /// Learns beside them. Borrows this object and `trainers` for as long as they learn.
  void follow(Trainers& trainers);
  /// After the last batch.
  LinearReport finish();

  /// What the best regression of the stream's task said. Requires: finished. Null: it has none.
  const ComparedOutput* output(int task) const;
  /// `model` as one of the models says it of `task`, its figures `all`, over the whole stream.
  AgainstLinear against(int task, const ComparedOutput& model, const Figures& all,
                        std::uint64_t steps, std::uint64_t learned,
                        const BootstrapOptions& options) const;

 private:
  struct OfTask {
    std::vector<std::unique_ptr<ComparedOutput>> outputs;  ///< By rate.
    std::vector<Tally> same_steps;
    std::size_t best = 0;
  };
  std::size_t place_of(int task) const;

  const Schema& schema_;
  const LinearBaselineOptions options_ = {};
  LinearBaseline by_row_, by_batch_;
  std::vector<OfTask> tasks_;
  double row_seconds_ = 0, batch_seconds_ = 0;
  LinearReport report_;
};

}  // namespace millrace
