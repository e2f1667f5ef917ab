#pragma once

#include <cstdint>
#include <span>

namespace millrace {

/// How rows go through a model: scored, or as a part of a training step. Scoring is a function of
/// the weights and x alone. In training, gates and layers may drop units at random (Philox of seed,
/// step and the row's place in the batch, so neither threads nor tiles change a bit), and the
/// gradients may have penalties beside the losses' slopes.
struct Pass {
  bool training = false;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  int first_row = 0;  ///< Of these rows in the batch.
  /// Of these rows; those that weigh 0 are in no statistic and no penalty. Empty: all count.
  /// Borrowed until the pass's `backward`.
  std::span<const float> row_weights = {};
  /// Rows of the whole batch that weigh something: what penalties on gates are a mean over.
  double batch_rows = 0;
};

}  // namespace millrace
