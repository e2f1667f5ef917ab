#pragma once

#include <cmath>
#include <optional>

namespace millrace {

/// Weighted sums from which the errors of a regression follow.
struct SquaredErrorSums {
  double weight = 0;
  double label = 0;
  double prediction = 0;
  double squares = 0;        ///< Σ w (p − y)²
  double absolutes = 0;      ///< Σ w |p − y|
  double label_squares = 0;  ///< Σ w y²

  void add(double w, double y, double p) {
    weight += w;
    label += w * y;
    prediction += w * p;
    squares += w * (p - y) * (p - y);
    absolutes += w * std::fabs(p - y);
    label_squares += w * y * y;
  }
  void add(const SquaredErrorSums& other) {
    weight += other.weight;
    label += other.label;
    prediction += other.prediction;
    squares += other.squares;
    absolutes += other.absolutes;
    label_squares += other.label_squares;
  }
  std::optional<double> rmse() const {
    return weight > 0 ? std::optional(std::sqrt(squares / weight)) : std::nullopt;
  }
  std::optional<double> mae() const {
    return weight > 0 ? std::optional(absolutes / weight) : std::nullopt;
  }
  /// 1 − squared error over the labels' variance; nothing where the labels are all alike.
  std::optional<double> explained() const {
    if (!(weight > 0)) return std::nullopt;
    const double mean = label / weight, variance = label_squares / weight - mean * mean;
    // What is left of two equal sums after rounding is no variance.
    if (!(variance > 1e-12 * label_squares / weight)) return std::nullopt;
    return 1 - squares / weight / variance;
  }
};

}  // namespace millrace
