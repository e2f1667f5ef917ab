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

/// Calls `run(first, count)` for each stretch of rows that weigh something; all of them if
/// `weights` is empty.
template <class Run>
void for_weighty_rows(std::span<const float> weights, int rows, const Run& run) {
  if (weights.empty()) {
    run(0, rows);
    return;
  }
  const auto weighs = [&](int r) { return weights[static_cast<std::size_t>(r)] != 0; };
  for (int r = 0; r < rows;) {
    int end = r;
    while (end < rows && weighs(end)) ++end;
    if (end > r) run(r, end - r);
    r = end + 1;
  }
}

}  // namespace millrace
