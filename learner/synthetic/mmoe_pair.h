#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace {

struct MmoePairOptions {
  std::uint64_t seed = 1;
  int dimension = 100;       ///< d
  double correlation = 0.5;  ///< p, of the tasks' weights: their cosine
  double scale = 1;          ///< c
  double noise = 0.1;        ///< Standard deviation of ε.
  /// α and β of the sines, as many of each. Empty: m = 14, α evenly from 1 to 8, β_i = i.
  std::vector<double> alphas = {}, betas = {};
};

/// MMoE's synthetic pair of regressions, whose relation is a number (Ma et al. 2018, sec. 3.2;
/// algorithms 2.20):
///
///   u₁ ⊥ u₂ unit vectors of R^d;  w₁ = c u₁,  w₂ = c (p u₁ + √(1 − p²) u₂);  x ~ N(0, I_d)
///   y_k = w_kᵀx + Σ_{i=1..m} sin(α_i w_kᵀx + β_i) + ε
///
/// An endless table of rows; each is Philox of (seed, row), so that any part of it may be drawn,
/// on any thread; x does not depend on p. Immutable.
class MmoePair {
 public:
  static constexpr int kTasks = 2;

  /// Requires: d ≥ 2, −1 ≤ p ≤ 1, and as many α as β.
  explicit MmoePair(const MmoePairOptions& options);

  int dimension() const { return options_.dimension; }
  /// Overwrites x [d] of the row.
  void features(std::uint64_t row, std::span<float> x) const;
  /// The labels of the row with those features.
  std::array<double, kTasks> labels(std::uint64_t row, std::span<const float> x) const;

  /// Of a label over all rows, and of the two labels with each other (Pearson).
  double label_variance() const { return variance_; }
  double label_correlation() const { return covariance_ / variance_; }

 private:
  MmoePairOptions options_;
  std::array<std::vector<double>, kTasks> weights_;
  double variance_ = 0, covariance_ = 0;
};

}  // namespace millrace
