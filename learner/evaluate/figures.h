#pragma once

#include <cstdint>
#include <optional>

namespace millrace {

/// The metrics of one output over some rows; nothing where a figure is undefined. A regression has
/// `rmse` alone. All but the two counts are weighed by the rows' weights.
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
};

}  // namespace millrace
