#pragma once

#include <cstdint>
#include <optional>

namespace millrace {

/// The metrics of one output over some rows; nothing where a figure is undefined. Of the figures
/// that say how good it is a regression has `rmse` and `mae` alone. All but the two counts are
/// weighed by the rows' weights (1 / sampling rate), so they speak of all rows, kept or not.
struct Figures {
  std::uint64_t rows = 0;       ///< Plain count of rows whose label is known.
  std::uint64_t positives = 0;  ///< Plain count; binary.
  std::optional<double> auc;
  std::optional<double> auc_error;  ///< The exact AUC is within `auc` ± this.
  std::optional<double> log_loss;   ///< Mean, natural logarithm.
  /// log_loss over the entropy of the rows' own base rate; 1 is no better than knowing the rate.
  std::optional<double> normalized_entropy;
  std::optional<double> calibration;  ///< Σ predictions / Σ labels.
  std::optional<double> rmse;         ///< In the label's units.
  std::optional<double> mae = {};     ///< Mean absolute error, in the label's units.
  /// Expected calibration error: the rows are put into 32 bins by the logit of the prediction;
  /// Σ_bins |Σ predictions − Σ labels| / Σ weights.
  std::optional<double> calibration_error = {};
  std::optional<double> label_mean = {};       ///< The observed rate, or the mean label.
  std::optional<double> prediction_mean = {};  ///< The predicted one.
  std::optional<double> label_sum = {};  ///< Σ weight · label: e.g. clicks, or what was spent.
  std::optional<double> prediction_sum = {};  ///< Σ weight · prediction.
  /// Of a regression: 1 − squared error over the variance of the labels; nothing where they are all
  /// alike.
  std::optional<double> explained = {};
};

}  // namespace millrace
