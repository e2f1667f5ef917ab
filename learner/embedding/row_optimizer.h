#pragma once

#include <cstdint>
#include <span>

#include "learner/embedding/optimizer_options.h"
#include "learner/embedding/table.h"

namespace millrace {

/// How embedding rows follow their gradients; g is the gradient of the batch's *sum* of losses, so
/// that a key seen once moves the same in a batch of 1 and of 1,024. D: the row's dimension.
///
///   sgd              w −= rate g                                               no state
///   adagrad          n += g²;  w −= rate g / (√n + 1e-10)                      n [D]
///   rowwise_adagrad  n += mean g²;  w −= rate g / (√n + 1e-10)                 n [1]
///   ftrl, l1 = 0     n += g²;  w −= rate g / (beta + √n + rate l2)             n [D]
///   ftrl, l1 > 0     z += g − σ w, and w from z (math::ftrl_sparse)            z, n [D]
///   adam             lazy, with steps counted by row (math::lazy_adam)         c [2], m, v [D]
///
/// (Duchi et al. 2011; Naumov et al. 2019; McMahan et al. 2013; Kingma and Ba 2015.)
/// Only rows that the batch uses change. `l2` (of all but ftrl) adds l2 w to g of those. `decay`
/// multiplies w by e^(−rate · decay · Δ) before the step, Δ the steps of full batches since the row
/// was last used: the row holds that moment after the rest of its state. What is served of a row
/// is as old as its last use. All state starts at 0.
class RowOptimizer {
 public:
  /// Moments of `decay` are counted in 256ths of a step, modulo 2³²: a row that was not used for
  /// 16 million steps has lost count.
  static constexpr double kUnitsPerStep = 256;

  explicit RowOptimizer(const EmbeddingOptimizerOptions& options) : options_(options) {}

  /// Optimiser values beside a row of `dimension` weights.
  int state(int dimension) const;
  /// Whether new rows are zeros instead of random numbers.
  bool starts_at_zero() const;
  /// Whether rows hold the moment of their last use.
  bool decays() const { return options_.decay > 0; }

  /// Multiplies the rate from the next `step` on, for schedules. Requires: factor ≥ 0, and 1 for
  /// ftrl with l1 > 0, whose weights are a function of z and the rate.
  void set_rate_factor(double factor);

  /// One update of each used row at the moment `now`, in units of `decay`.
  /// gradients [used rows, dimension], used up. Returns the largest absolute weight of them all
  /// afterwards; NaN where one is not finite.
  float step(std::span<const EmbeddingTable::Used> used, int dimension, float* gradients,
             std::uint32_t now) const;

 private:
  template <class Update>
  float update(std::span<const EmbeddingTable::Used> used, int dimension, float* gradients,
               std::uint32_t now, const Update& update) const;
  void regularise(float* values, int dimension, float* gradient, std::uint32_t now) const;

  const EmbeddingOptimizerOptions options_;
  double rate_factor_ = 1;
};

/// Optimiser values that a row of `dimension` takes under `options`, for explanations and limits.
inline int row_state(const EmbeddingOptimizerOptions& options, int dimension) {
  return RowOptimizer(options).state(dimension);
}

}  // namespace millrace
