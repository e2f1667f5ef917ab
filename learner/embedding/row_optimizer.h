#pragma once

#include <cstddef>
#include <span>

#include "learner/embedding/table.h"

namespace millrace {

/// How embedding rows follow their gradients: Adagrad (Duchi et al. 2011) by element,
///
///   n += g²;  w −= rate · g / (√n + 1e-10),  n from 0,
///
/// with g the gradient of the batch's *sum* of losses, so that a key seen once moves the same in a
/// batch of 1 and of 1,024.
class RowOptimizer {
 public:
  explicit RowOptimizer(double rate) : rate_(static_cast<float>(rate)) {}

  /// Optimiser values beside a row of `dimension` weights.
  static int state(int dimension) { return dimension; }

  /// One update of each used row. gradients [used rows, dimension]. Returns the largest absolute
  /// weight of them all afterwards; NaN where one is not finite.
  float step(std::span<const EmbeddingTable::Used> used, int dimension,
             const float* gradients) const {
    constexpr int kLanes = 16;
    float most[kLanes] = {}, marks[kLanes] = {};
    for (std::size_t u = 0; u < used.size(); ++u) {
      float* __restrict w = used[u].values;
      float* __restrict n = w + dimension;
      const float* __restrict g = gradients + u * static_cast<std::size_t>(dimension);
      for (int d = 0; d < dimension; ++d) {
        n[d] += g[d] * g[d];
        w[d] -= rate_ * g[d] / (__builtin_sqrtf(n[d]) + kEpsilon);
      }
      for (int first = 0; first < dimension; first += kLanes) {
        const int count = dimension - first < kLanes ? dimension - first : kLanes;
        for (int d = 0; d < count; ++d) {
          const float size = w[first + d] < 0 ? -w[first + d] : w[first + d];
          most[d] = most[d] < size ? size : most[d];
          marks[d] += 0 * size;  // 0·x is 0 for finite x alone
        }
      }
    }
    float largest = 0;
    for (int d = 0; d < kLanes; ++d) {
      largest = largest < most[d] ? most[d] : largest;
      marks[0] += marks[d];
    }
    return largest + marks[0];
  }

 private:
  static constexpr float kEpsilon = 1e-10F;
  const float rate_;
};

}  // namespace millrace
