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
/// nothing. weights [used rows, dimension]. Batch rows [first, first + out.rows). Threads: any
/// number beside each other.
void pool(const PooledColumn& column, const float* weights, int first, View<float> out);

/// One column's part of the network's input, for the way back.
struct ColumnGradient {
  const PooledColumn* column;
  View<const float> dx;  ///< [rows, dimension]
};

/// The other way: gradients[slot] = Σ share · dx, then · scale. A key's gradients add up in the
/// order of the rows, in a row in the order of `columns` (which share a table), in a bag in that of
/// its elements. gradients [used rows, dimension], overwritten. Returns false where a gradient is
/// not finite, or so large that its square would not be.
bool unpool(std::span<const ColumnGradient> columns, int dimension, float scale,
            std::span<float> gradients);

}  // namespace millrace
