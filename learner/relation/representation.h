#pragma once

#include <optional>
#include <span>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/relation/options.h"
#include "learner/relation/pairs.h"

namespace millrace {

/// How alike the towers' inputs of two tasks are, v_t [n,H] over `kRows` rows a measurement:
///
///   cka     linear CKA (Kornblith et al. 2019) by the unbiased estimate of HSIC (Song et al.
///   2012):
///           mean HSIC(K_i, K_j) / √(mean HSIC(K_i, K_i) · mean HSIC(K_j, K_j)), K_t = v_t v_tᵀ;
///           within [0, 1], whatever the number of rows
///   cosine  the mean of cos(v_i, v_j) over rows
///
/// Numerator and norms are running means of their own over `length` measurements.
/// Memory: (kRows · H + kRows²) values a task, 16 bytes a pair. Threads: one at a time.
class RepresentationSimilarity {
 public:
  static constexpr int kRows = 32;

  RepresentationSimilarity(int tasks, int units, RepresentationMeasure measure, double length);

  /// Rows that the measurement in progress still takes.
  int wanted() const { return kRows - rows_; }
  /// Takes v [T·n, H], task by task, n ≤ `wanted`; with the last row wanted it is measured.
  void add(std::span<const float> v, int rows);

  std::optional<double> similarity(int i, int j) const;

  void save(ByteWriter& writer) const;
  /// Error: throws StateError.
  void restore(ByteReader& reader);

 private:
  void measure();
  std::vector<double> kernel(int task) const;
  const float* row(int task, int r) const {
    return held_.data() + (static_cast<std::size_t>(task) * kRows + static_cast<std::size_t>(r)) *
                              static_cast<std::size_t>(units_);
  }

  const int tasks_, units_;
  const RepresentationMeasure measure_;
  const double length_;
  int rows_ = 0;
  std::vector<float> held_;  ///< [T, kRows, H]
  double count_ = 0;
  Pairs<double> means_;
};

}  // namespace millrace
