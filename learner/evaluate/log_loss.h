#pragma once

#include <cmath>
#include <optional>

namespace millrace {

/// Weighted sums from which log loss, normalised entropy and calibration follow.
struct LogLossSums {
  double weight = 0;
  double label = 0;
  double prediction = 0;
  double loss = 0;

  void add(double w, double y, double p, double cross_entropy) {
    weight += w;
    label += w * y;
    prediction += w * p;
    loss += w * cross_entropy;
  }
  void add(const LogLossSums& other) {
    weight += other.weight;
    label += other.label;
    prediction += other.prediction;
    loss += other.loss;
  }

  std::optional<double> log_loss() const {
    return weight > 0 ? std::optional(loss / weight) : std::nullopt;
  }
  /// Log loss over the entropy of the base rate of the same rows (He et al. 2014); nothing unless
  /// both classes occurred.
  std::optional<double> normalized_entropy() const {
    const double rate = weight > 0 ? label / weight : 0;
    if (!(rate > 0 && rate < 1)) return std::nullopt;
    return loss / weight / -(rate * std::log(rate) + (1 - rate) * std::log1p(-rate));
  }
  /// Σ predictions / Σ labels; nothing without a positive.
  std::optional<double> calibration() const {
    return label > 0 ? std::optional(prediction / label) : std::nullopt;
  }
};

}  // namespace millrace
