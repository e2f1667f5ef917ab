#pragma once

#include <algorithm>

#include "learner/base/view.h"
#include "learner/device/backend.h"
#include "learner/layers/pass.h"

namespace millrace {

/// Where one matrix of activations stands in the memory of a pass, whatever its number of rows.
struct Slab {
  /// Values a row from where Activations begin; below 0 for what only the backward pass holds.
  long before = 0;
  int width = 0;  ///< Columns.
};

/// Divides the memory of a pass among the layers, once, when a model is built.
class ActivationPlan {
 public:
  /// A matrix of `width` columns; its rows begin at cache lines.
  Slab reserve(int width) {
    const Slab slab{values_, width};
    values_ += stride(width);
    return slab;
  }
  /// The same, of what only the backward pass holds, until `reuse_temporaries` gives its place to
  /// what comes then.
  Slab reserve_temporary(int width) {
    temporaries_ += stride(width);
    most_temporaries_ = std::max(most_temporaries_, temporaries_);
    return {-temporaries_, width};
  }
  void reuse_temporaries() { temporaries_ = 0; }
  /// What a pass needs, a row.
  long values_per_row() const { return most_temporaries_ + values_; }
  /// Where in such memory Activations begin: the temporary ones stand before.
  template <class T>
  T* begin(T* memory, int max_rows) const {
    return memory + most_temporaries_ * max_rows;
  }

  /// An odd number of cache lines: rows an even number apart would meet in a part of the cache.
  static long stride(int width) { return ((long{width} + 15) / 16 | 1) * 16; }

 private:
  long values_ = 0, temporaries_ = 0, most_temporaries_ = 0;
};

/// The memory of one pass on one device: the place of every slab for at most `max_rows` rows.
/// Borrows both. Threads: one at a time.
template <class T>
struct Activations {
  Backend<T>& backend;
  T* memory;
  int max_rows;
  const Pass* pass = nullptr;  ///< Of the last `forward`.
  /// The transposes of the weights' matrices, each where the block of weights has the matrix; null:
  /// nobody keeps them.
  const T* transposed = nullptr;
  /// Where gates have a load-balance penalty: the means of all their weights over the batch, on the
  /// device.
  const T* gate_means = nullptr;

  /// The slab's matrix for the `rows` rows of the present pass; it holds what was last written.
  View<T> view(Slab slab, int rows) const {
    return {memory + slab.before * max_rows, rows, slab.width, ActivationPlan::stride(slab.width)};
  }
};

}  // namespace millrace
