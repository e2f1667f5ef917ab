#include "learner/embedding/pooling.h"

#include <algorithm>

namespace millrace {

void pool(const PooledColumn& column, std::span<const EmbeddingTable::Used> used, int first,
          View<float> out) {
  const int D = out.cols;
  for (int r = 0; r < out.rows; ++r) {
    float* row = out.row(r);
    std::fill_n(row, D, 0.0F);
    const float share = column.share(first + r);
    for (std::uint32_t i = column.first(first + r); i < column.last(first + r); ++i) {
      const std::uint32_t slot = column.slots[i];
      if (slot == EmbeddingTable::kNeutral) continue;
      const float* weights = used[slot].values;
      for (int d = 0; d < D; ++d) row[d] += share * weights[d];
    }
  }
}

}  // namespace millrace
