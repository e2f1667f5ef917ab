#include "learner/embedding/pooling.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "learner/device/vector.h"

namespace millrace {
namespace {

// The square of a larger gradient would not stay finite in an optimiser's float for long.
constexpr float kLargestGradient = 1e15F;
// How many rows ahead are on their way from memory.
constexpr int kAhead = 16;

/// A dimension that the compiler knows, or not (0): short loops of a known length are a few
/// instructions.
template <int D>
using Dimension = std::integral_constant<int, D>;

template <class Use>
auto with_dimension(int dimension, const Use& use) {
  switch (dimension) {
    case 4:
      return use(Dimension<4>{});
    case 8:
      return use(Dimension<8>{});
    case 16:
      return use(Dimension<16>{});
    case 32:
      return use(Dimension<32>{});
    case 64:
      return use(Dimension<64>{});
    default:
      return use(Dimension<0>{});
  }
}

template <int Known>
int width(int dimension) {
  return Known > 0 ? Known : dimension;
}

// to += share · from. Of a known length it is spelt in registers: the compiler unrolls such a loop
// into single floats before it looks for registers.
template <int Known>
MILLRACE_INLINE void add_to(float* __restrict to, float share, const float* __restrict from,
                            int dimension) {
  if constexpr (Known > 0) {
    constexpr int kRegister = Known < kLanes<float> ? Known : kLanes<float>;
    for (int d = 0; d < Known; d += kRegister) {
      Vec<float, kRegister> sum, more;
      load(to + d, sum);
      load(from + d, more);
      sum += share * more;
      store(sum, to + d);
    }
  } else {
    for (int d = 0; d < dimension; ++d) to[d] += share * from[d];
  }
}

// Row by row the one element, as it is.
template <int Known>
void copy_rows(const PooledColumn& column, const float* weights, int first, View<float> out) {
  const int D = width<Known>(out.cols);
  const std::uint32_t* const slots = column.slots.data() + first;
  for (int r = 0; r < out.rows; ++r) {
    if (r + kAhead < out.rows && slots[r + kAhead] != EmbeddingTable::kNeutral) {
      __builtin_prefetch(weights + std::size_t{slots[r + kAhead]} * static_cast<std::size_t>(D));
    }
    const std::size_t bytes = static_cast<std::size_t>(D) * sizeof(float);
    if (slots[r] == EmbeddingTable::kNeutral) {
      std::memset(out.row(r), 0, bytes);
    } else {
      std::memcpy(out.row(r), weights + std::size_t{slots[r]} * static_cast<std::size_t>(D), bytes);
    }
  }
}

template <int Known>
void pool_bags(const PooledColumn& column, const float* weights, int first, View<float> out) {
  const int D = width<Known>(out.cols);
  for (int r = 0; r < out.rows; ++r) {
    std::memset(out.row(r), 0, static_cast<std::size_t>(D) * sizeof(float));
    const float share = column.share(first + r);
    for (std::uint32_t i = column.first(first + r); i < column.last(first + r); ++i) {
      const std::uint32_t slot = column.slots[i];
      if (slot == EmbeddingTable::kNeutral) continue;
      add_to<Known>(out.row(r), share, weights + std::size_t{slot} * static_cast<std::size_t>(D),
                    D);
    }
  }
}

template <int Known>
void add_row(const ColumnGradient& part, int row, int dimension, float* gradients) {
  const int D = width<Known>(dimension);
  const PooledColumn& column = *part.column;
  const float share = column.share(row);
  for (std::uint32_t i = column.first(row); i < column.last(row); ++i) {
    const std::uint32_t slot = column.slots[i];
    if (slot == EmbeddingTable::kNeutral) continue;
    add_to<Known>(gradients + std::size_t{slot} * static_cast<std::size_t>(D), share,
                  part.dx.row(row), D);
  }
}

// The same for one categorical column: no shares, no ends.
template <int Known>
void add_column(const ColumnGradient& part, int dimension, float* gradients) {
  const int D = width<Known>(dimension);
  const std::uint32_t* const slots = part.column->slots.data();
  for (int row = 0; row < part.dx.rows; ++row) {
    if (row + kAhead < part.dx.rows) {
      const float* const ahead = part.dx.row(row + kAhead);
      for (int d = 0; d < D; d += 16) __builtin_prefetch(ahead + d);
    }
    if (slots[row] == EmbeddingTable::kNeutral) continue;
    add_to<Known>(gradients + std::size_t{slots[row]} * static_cast<std::size_t>(D), 1,
                  part.dx.row(row), D);
  }
}

// Multiplies, and says whether all is small enough.
bool scale_by(float scale, std::span<float> gradients) {
  constexpr std::size_t kLanes = 16;
  float marks[kLanes] = {};
  const auto one = [&](std::size_t i, std::size_t lane) {
    gradients[i] *= scale;
    const float size = gradients[i] < 0 ? -gradients[i] : gradients[i];
    marks[lane] += size <= kLargestGradient ? 0.0F : 1.0F;  // also for NaN
  };
  std::size_t i = 0;
  for (; i + kLanes <= gradients.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) one(i + lane, lane);
  }
  for (std::size_t lane = 0; i < gradients.size(); ++i, ++lane) one(i, lane);
  return std::all_of(std::begin(marks), std::end(marks), [](float mark) { return mark == 0; });
}

}  // namespace

void pool(const PooledColumn& column, const float* weights, int first, View<float> out) {
  with_dimension(out.cols, [&]<int D>(Dimension<D>) {
    if (column.ends.empty()) {
      copy_rows<D>(column, weights, first, out);
    } else {
      pool_bags<D>(column, weights, first, out);
    }
  });
}

bool unpool(std::span<const ColumnGradient> columns, int dimension, float scale,
            std::span<float> gradients) {
  std::fill(gradients.begin(), gradients.end(), 0.0F);
  with_dimension(dimension, [&]<int D>(Dimension<D>) {
    if (columns.size() == 1 && columns[0].column->ends.empty()) {
      return add_column<D>(columns[0], dimension, gradients.data());
    }
    const int rows = columns.empty() ? 0 : columns[0].dx.rows;
    for (int row = 0; row < rows; ++row) {
      for (const ColumnGradient& part : columns) {
        add_row<D>(part, row, dimension, gradients.data());
      }
    }
  });
  return scale_by(scale, gradients);
}

}  // namespace millrace
