#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/evaluate/bootstrap.h"
#include "learner/evaluate/comparison.h"
#include "learner/train/report.h"
#include "ops/compare/auc_pairs.h"
#include "ops/compare/linear_comparison.h"
#include "ops/plot/line_chart.h"

namespace boost::json {
class object;
}

namespace millrace {

/// What one task of a compared model has beside its metrics; nothing where it is undefined.
struct ComparedTask {
  /// PLE eq. 11 (Tang et al. 2020): AUC minus that of the task learned alone, or the error of the
  /// task learned alone minus this one's: above 0 the model is the better.
  std::optional<Interval> gain;
  /// This model's figure minus the first model's: AUC and log loss of binary tasks, rmse of others.
  std::optional<Interval> auc, log_loss, rmse;
  std::optional<AgainstLinear> linear;  ///< Where the task has a linear baseline.
  bool by_user = false;  ///< Whether the units of the intervals were users; else blocks of rows.
};

/// One model of a comparison.
struct ComparedModel {
  TrainerReport report;
  std::string source;     ///< The file that it was made of.
  bool is_alone = false;  ///< A single-task twin, for the gain.
  long parameters = 0;    ///< Dense weights.
  std::uint64_t embedding_rows = 0, embedding_bytes = 0;
  double seconds = 0;  ///< Of its steps.
  std::optional<double> composite;
  std::map<std::string, ComparedTask> tasks;
};

/// How tables and charts call the linear baseline; no model can be called so.
inline constexpr std::string_view kLinearName = "linear baseline";

struct Comparison {
  std::optional<LinearReport> linear;
  std::string no_linear;              ///< Why there is none, where somebody may wonder.
  std::vector<ComparedModel> models;  ///< The first is what the others are held against.
  std::vector<AucPair> auc_pairs;     ///< By tasks.
  std::uint64_t events = 0, rows = 0;
  BootstrapOptions bootstrap;
  double seconds = 0;  ///< Of everything.
};

/// For a terminal: a line for each task and model, one for each business figure and model that has
/// it, one for each task and pair of models (auc_pairs.h), what the linear baseline says
/// (linear_report.h), then one for each model.
std::string print_comparison(const Comparison& comparison);

/// The same and more as one JSON object.
std::string comparison_json(const Comparison& comparison);

/// How the outputs' figures went along the stream: for each task a chart of AUC (or rmse), with a
/// line for each model.
std::vector<LineChart> progress_charts(
    const std::vector<std::string>& tasks, const std::vector<std::string>& models,
    const std::vector<std::map<std::string, const ComparedOutput*>>& outputs);

}  // namespace millrace
