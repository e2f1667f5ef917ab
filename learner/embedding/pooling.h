#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/embedding/table.h"

namespace millrace {

/// Where a feature's values of one batch are found: for each key of the column, in order, the slot
/// of its row among the table's used rows.
struct PooledColumn {
  std::vector<std::uint32_t> slots;
  /// As KeyColumn::ends; empty for a categorical feature. Borrowed from the batch.
  std::span<const std::uint32_t> ends;
  Pooling pooling = Pooling::kMean;

  std::uint32_t first(int row) const {
    if (ends.empty()) return static_cast<std::uint32_t>(row);
    return row == 0 ? 0 : ends[static_cast<std::size_t>(row) - 1];
  }
  std::uint32_t last(int row) const {
    return ends.empty() ? static_cast<std::uint32_t>(row) + 1 : ends[static_cast<std::size_t>(row)];
  }
  /// What each element of the row weighs: 1, or 1 / elements for a mean. All elements count, also
  /// those without a row of their own.
  float share(int row) const {
    if (ends.empty() || pooling == Pooling::kSum) return 1;
    const std::uint32_t count = last(row) - first(row);
    return count == 0 ? 0 : 1 / static_cast<float>(count);
  }
};

/// out [rows, dimension] = Σ share · w over each row's elements; elements of the neutral row add
/// nothing. Batch rows [first, first + out.rows). Threads: any number beside each other.
void pool(const PooledColumn& column, std::span<const EmbeddingTable::Used> used, int first,
          View<float> out);

/// The other way, for one batch row: gradients[slot] += share · dx, element by element.
/// dx [dimension]; gradients [used rows, dimension]. To be called in the order of the rows, so that
/// a key's gradients add up in that order.
inline void unpool_add(const PooledColumn& column, int row, const float* dx, int dimension,
                       float* gradients) {
  const float share = column.share(row);
  for (std::uint32_t i = column.first(row); i < column.last(row); ++i) {
    const std::uint32_t slot = column.slots[i];
    if (slot == EmbeddingTable::kNeutral) continue;
    float* gradient =
        gradients + static_cast<std::size_t>(slot) * static_cast<std::size_t>(dimension);
    for (int d = 0; d < dimension; ++d) gradient[d] += share * dx[d];
  }
}

}  // namespace millrace
