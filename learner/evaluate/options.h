#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "learner/base/fields.h"
#include "learner/base/time.h"

namespace millrace {

/// Of what a task's score in the composite is made; see composite.h.
enum class CompositeMeasure { kAuc, kInformationGain };
/// What importance is the mean of (algorithms 2.17); see importance.h.
enum class ImportanceMeasure { kGradientInput, kGradient, kLoss };

template <>
struct Choices<CompositeMeasure> {
  static constexpr std::array<Choice<CompositeMeasure>, 2> all{
      {{"auc", CompositeMeasure::kAuc}, {"information_gain", CompositeMeasure::kInformationGain}}};
};
template <>
struct Choices<ImportanceMeasure> {
  static constexpr std::array<Choice<ImportanceMeasure>, 3> all{
      {{"gradient_input", ImportanceMeasure::kGradientInput},
       {"gradient", ImportanceMeasure::kGradient},
       {"loss", ImportanceMeasure::kLoss}}};
};

/// `evaluate.slices`
struct SliceOptions {
  static constexpr int kMost = 256;

  std::string feature;
  bool event = false;
  std::map<std::string, std::string> values;
  int most = 16;
  static auto fields() {
    using S = SliceOptions;
    return std::tuple{
        field("feature", &S::feature,
              "A categorical feature: each task's metrics are also taken by its values, over the "
              "last 100,000 rows. Default: none."),
        field("event", &S::event,
              "The same by the field `slice` of impressions and samples, which no model reads; "
              "instead of a feature."),
        field("values", &S::values,
              "The values to tell apart, each with the name it goes by, like {de: Germany}; all "
              "others are one slice. Default: the first `most` that come, named by their keys."),
        field("most", &S::most, "Values that are told apart where `values` names none.", 1, kMost)};
  }
};

/// `evaluate.history`
struct HistoryOptions {
  int rows = 1'000;
  int points = 256;
  static constexpr auto fields() {
    using H = HistoryOptions;
    return std::tuple{
        field("rows", &H::rows,
              "Measured rows of a point of a task's history at first; when there are twice "
              "`points` of them, neighbours become one.",
              10, 1'000'000),
        field("points", &H::points, "A history has at most twice as many points; 0: none.", 0,
              4'096)};
  }
};

/// `evaluate.importance`
struct ImportanceOptions {
  int every = 0;
  int rows = 32;
  int ids = 16;
  ImportanceMeasure measure = ImportanceMeasure::kGradientInput;
  static constexpr auto fields() {
    using I = ImportanceOptions;
    return std::tuple{
        field("every", &I::every, "Steps from one sample of rows to the next; 0: not measured.", 0,
              1'000'000),
        field("rows", &I::rows, "Rows of a sample, the first of their batch.", 1, 256),
        field("ids", &I::ids, "Ids shown of each categorical feature; four times as many are kept.",
              0, 1'024),
        field("measure", &I::measure,
              "The mean size of: gradient_input (what the feature adds to the task's logit, to "
              "first order), gradient (the slopes alone), loss (what it adds to the loss, on rows "
              "with the label).")};
  }
};

/// `evaluate.gates`
struct GateWatchOptions {
  int every = 32;
  std::int64_t warmup_rows = 100'000;
  double even = 0.99;
  double collapsed = 0.05;
  static constexpr auto fields() {
    using G = GateWatchOptions;
    return std::tuple{
        field("every", &G::every,
              "Steps from one measurement of the gates to the next; 0: not measured.", 0,
              1'000'000),
        field("warmup_rows", &G::warmup_rows,
              "Rows to learn before a gate can give an alarm; gates start even.", std::int64_t{0}),
        field("even", &G::even,
              "A gate whose entropy is above this share of the greatest gives an alarm: it does "
              "not tell its experts apart.",
              0.0, 1.0),
        field("collapsed", &G::collapsed,
              "A gate whose entropy is below this share gives an alarm: it uses one expert alone.",
              0.0, 1.0)};
  }
};

/// The `evaluate:` section of the configuration. Nothing of it changes a weight.
struct EvaluateOptions {
  std::map<std::string, double> composite;
  CompositeMeasure composite_measure = CompositeMeasure::kAuc;
  std::map<std::string, std::string> business;
  std::optional<Duration> window;
  std::optional<Duration> long_window;
  int gauc_rows = 20'000;
  int exact_auc_rows = 0;
  SliceOptions slices;
  HistoryOptions history;
  ImportanceOptions importance;
  GateWatchOptions gates;

  static auto fields() {
    using E = EvaluateOptions;
    return std::tuple{
        field("composite", &E::composite,
              "By task, how much it counts in the composite; tasks that are not named do not. "
              "Default: every task alike."),
        field("composite_measure", &E::composite_measure,
              "A binary task's score in the composite: 2 AUC - 1, or 1 - normalised entropy; a "
              "regression's is 1 - squared error over the label's variance."),
        field("business", &E::business,
              "Figures by name, like {revenue: \"ctr * cvr * spend\"}: formulas over tasks, summed "
              "over rows both from the labels and from the predictions."),
        field("window", &E::window, "A window of event time for all metrics, like 1h.",
              Duration{1'000}, Duration{366LL * 86'400'000}),
        field("long_window", &E::long_window, "Another one, like 24h.", Duration{1'000},
              Duration{366LL * 86'400'000}),
        field("gauc_rows", &E::gauc_rows,
              "The AUC within users is taken over a task's last so many rows with a user; 0: not "
              "taken.",
              0, 10'000'000),
        field("exact_auc_rows", &E::exact_auc_rows,
              "The AUC of a binary task is also taken exactly, over its last so many rows, at 80 "
              "bytes each; 0: not taken.",
              0, 500'000),
        field("slices", &E::slices, "Metrics by the values of a feature."),
        field("history", &E::history, "How the metrics went since the store began."),
        field("importance", &E::importance, "What each feature does to each task."),
        field("gates", &E::gates, "What the gates do."),
    };
  }
};

}  // namespace millrace
