#pragma once

#include <cmath>
#include <optional>

namespace millrace {

/// Weighted sums from which the root mean squared error follows.
struct SquaredErrorSums {
  double weight = 0;
  double squares = 0;

  void add(double w, double label, double prediction) {
    weight += w;
    squares += w * (prediction - label) * (prediction - label);
  }
  void add(const SquaredErrorSums& other) {
    weight += other.weight;
    squares += other.squares;
  }
  std::optional<double> rmse() const {
    return weight > 0 ? std::optional(std::sqrt(squares / weight)) : std::nullopt;
  }
};

}  // namespace millrace
