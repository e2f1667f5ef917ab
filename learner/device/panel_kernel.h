#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "learner/device/panel_product.h"
#include "learner/device/vector.h"

/// The inner loops of panel_product.cc and bf16_product.cc, one body for all widths of registers
/// (see vector.h). `L` is the lanes of a register, T the type of an element.
namespace millrace::gemm::kernel {

/// A few columns of a product for all of its rows: c = finish(a b), or finish(c + a b). F is the
/// type of the factors, of which a `Multiply` adds products to sums of T.
template <class T, class F = T>
struct Column {
  const F* a;  ///< Element (r, k) at a[r·a_down + k·a_across].
  long a_down, a_across;
  const F* b;  ///< Rows of as many values as the tile is wide, b_down apart.
  long b_down;
  int depth;
  T* c = nullptr;
  long c_down = 0;
  int rows = 0;
  int cols = 0;             ///< Of c; the tile may be wider.
  bool add;                 ///< The sum goes on from what c holds.
  const T* bias = nullptr;  ///< Added in the columns h < `biased`.
  int biased = 0;
  int relu = 0;             ///< max(·, 0) in the columns h < `relu`.
  const T* mask = nullptr;  ///< 0 where mask(r, h) ≤ 0; null: none.
  long mask_down = 0;
  T* sums = nullptr;  ///< Of b's rows, in the columns h < `summed`.
  int summed = 0;
  bool add_sums = false;  ///< They go on from what `sums` holds.
};

/// Tells `job` of the columns [col, col + cols) of c, and of what finishes them; the epilogue knows
/// the first column of c as its `first`-th.
template <class T, class F>
void take_columns(const Epilogue<T>& epilogue, int first, View<T> c, int col, int cols,
                  Column<T, F>& job) {
  const int at = first + col;
  const auto reach = [&](int end) { return std::max(0, end - at); };
  job.c = c.data + col;
  job.c_down = c.stride;
  job.rows = c.rows;
  job.cols = cols;
  job.biased = reach(epilogue.biased);
  job.bias = epilogue.bias + (job.biased > 0 ? at : 0);
  job.relu = reach(epilogue.relu);
  job.mask = epilogue.mask.data != nullptr ? epilogue.mask.data + at : nullptr;
  job.mask_down = epilogue.mask.stride;
}

/// sum += a b, of the elements' own type.
struct MultiplyAdd {
  template <class F, class B, class Sum>
  MILLRACE_INLINE static void run(F a, const B& b, Sum& sum) {
    sum += a * b;
  }
};

/// Bias, ReLU and mask of R rows of V registers of which some columns are not finished alike, or
/// are not c's: those from `end` on in the last register.
template <int L, int R, int V, class T, class F>
MILLRACE_INLINE void finish_partly(const Column<T, F>& job, int row, const FirstLanes<T, L>& end,
                                   Vec<T, L> (&sums)[R][V]) {
  Vec<Whole<T>, L> lanes;
  number_lanes(lanes, std::make_integer_sequence<int, L>{});
  const Vec<T, L> zero{};
#pragma GCC unroll 16
  for (int v = 0; v < V; ++v) {
    const auto within = [&](int reach) {
      return std::clamp(std::min(reach, job.cols) - v * L, 0, L);
    };
    const int biases = within(job.biased);
    const auto biased = lanes < static_cast<Whole<T>>(biases);
    const auto bends = lanes < static_cast<Whole<T>>(within(job.relu));
    Vec<T, L> bias{};
    if (biases > 0) FirstLanes<T, L>(biases).load(job.bias + v * L, bias);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Vec<T, L>& sum = sums[r][v];
      sum = biased ? sum + bias : sum;
      sum = (bends & (zero > sum)) ? zero : sum;  // a NaN stays one
      if (job.mask == nullptr) continue;
      const T* const from = job.mask + (row + r) * job.mask_down + v * L;
      Vec<T, L> output;
      v + 1 < V ? load(from, output) : end.load(from, output);
      sum = output > zero ? sum : zero;
    }
  }
}

/// In place of what is not asked for.
struct Nothing {
  template <class Any>
  MILLRACE_INLINE explicit Nothing(const Any& /*unused*/) {}
};

/// Sums of b's rows, which a tile keeps beside its own.
template <int L, int V, class T>
struct KeptSums {
  Vec<T, L> sums[V];

  template <class F>
  MILLRACE_INLINE explicit KeptSums(const Column<T, F>& job) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      sums[v] = Vec<T, L>{};
      if (const int count = within(job, v); job.add_sums && count > 0) {
        FirstLanes<T, L>(count).load(job.sums + v * L, sums[v]);
      }
    }
  }
  template <class F>
  MILLRACE_INLINE void store(const Column<T, F>& job) const {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      if (const int count = within(job, v); count > 0) {
        FirstLanes<T, L>(count).store(sums[v], job.sums + v * L);
      }
    }
  }

 private:
  template <class F>
  MILLRACE_INLINE static int within(const Column<T, F>& job, int v) {
    return std::clamp(job.summed - v * L, 0, L);
  }
};

/// R rows of V registers, summed while they are in registers. `kWhole`: all columns are c's and are
/// finished alike. `kSummed`: b's rows are summed too, of c's element type.
template <int L, int R, int V, bool kWhole, bool kSummed, class Multiply, class T, class F>
MILLRACE_INLINE void tile(const Column<T, F> job, int row) {
  Vec<T, L> sums[R][V];
  std::conditional_t<kSummed, KeptSums<L, V, T>, Nothing> of_b(job);
  T* const c = job.c + row * job.c_down;
  const FirstLanes<T, L> end(kWhole ? L : job.cols - (V - 1) * L);
  const FirstLanes<F, L> end_of_b(kWhole ? L : job.cols - (V - 1) * L);
  const auto is_whole = [](int v) { return kWhole || v + 1 < V; };
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      const T* const from = c + r * job.c_down + v * L;
      if (!job.add) {
        sums[r][v] = Vec<T, L>{};
      } else {
        is_whole(v) ? load(from, sums[r][v]) : end.load(from, sums[r][v]);
      }
    }
  }
  // A pointer for every third row: the two after it are one and two strides away, which an address
  // can hold without another register.
  constexpr int kPointers = (R + 2) / 3;
  const long down = job.a_down, across = job.a_across, b_down = job.b_down;
  const F* a[kPointers];
#pragma GCC unroll 16
  for (int p = 0; p < kPointers; ++p) a[p] = job.a + (row + 3 * p) * down;
  const F* b = job.b;
  for (int k = 0; k < job.depth; ++k) {
    Vec<F, L> b_k[V];
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      is_whole(v) ? load(b + v * L, b_k[v]) : end_of_b.load(b + v * L, b_k[v]);
      if constexpr (kSummed) of_b.sums[v] += b_k[v];
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const F factor = a[r / 3][r % 3 * down];
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) Multiply::run(factor, b_k[v], sums[r][v]);
    }
    b += b_down;
#pragma GCC unroll 16
    for (int p = 0; p < kPointers; ++p) a[p] += across;
  }
  if constexpr (kSummed) of_b.store(job);
  if (!kWhole) {
    finish_partly(job, row, end, sums);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        T* const to = c + r * job.c_down + v * L;
        is_whole(v) ? store(sums[r][v], to) : end.store(sums[r][v], to);
      }
    }
    return;
  }
  if (job.biased > 0) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) {
      Vec<T, L> bias;
      load(job.bias + v * L, bias);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) sums[r][v] += bias;
    }
  }
  const Vec<T, L> zero{};
  if (job.relu > 0) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) sums[r][v] = zero > sums[r][v] ? zero : sums[r][v];
    }
  }
  if (job.mask != nullptr) {
    const T* const mask = job.mask + row * job.mask_down;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        Vec<T, L> output;
        load(mask + r * job.mask_down + v * L, output);
        sums[r][v] = output > zero ? sums[r][v] : zero;
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < V; ++v) store(sums[r][v], c + r * job.c_down + v * L);
  }
}

/// R rows of c from `row` on; the last ones sum b's rows too, where that is asked for.
template <int L, int R, int V, bool kWhole, class Multiply, class T, class F>
MILLRACE_INLINE void next_tile(const Column<T, F> job, int row) {
  if constexpr (std::is_same_v<T, F>) {
    if (job.sums != nullptr && row + R == job.rows) {
      return tile<L, R, V, kWhole, true, Multiply>(job, row);
    }
  }
  tile<L, R, V, kWhole, false, Multiply>(job, row);
}

/// All rows of V registers of columns, R at a time and the last ones in tiles of 4, 2 and 1.
template <int L, int R, int V, bool kWhole, class Multiply, class T, class F>
MILLRACE_INLINE void tiles(const Column<T, F> job) {
  int row = 0;
  for (; row + R <= job.rows; row += R) next_tile<L, R, V, kWhole, Multiply>(job, row);
  if constexpr (R > 4) {
    for (; row + 4 <= job.rows; row += 4) next_tile<L, 4, V, kWhole, Multiply>(job, row);
  }
  if constexpr (R > 2) {
    for (; row + 2 <= job.rows; row += 2) next_tile<L, 2, V, kWhole, Multiply>(job, row);
  }
  if constexpr (R > 1) {
    if (row < job.rows) next_tile<L, 1, V, kWhole, Multiply>(job, row);
  }
}

template <int L, int R, int V, class Multiply = MultiplyAdd, class T, class F>
MILLRACE_INLINE void columns(const Column<T, F> job) {
  constexpr int W = V * L;
  const auto alike = [&](int reach) { return reach <= 0 || reach >= W; };
  if (job.cols == W && alike(job.biased) && alike(job.relu))
    return tiles<L, R, V, true, Multiply>(job);
  return tiles<L, R, V, false, Multiply>(job);
}

/// Of the 2×2 blocks of `step` lanes that a and b hold, the two off the diagonal change places.
template <int step, class V, int... lane>
MILLRACE_INLINE void swap_blocks(V& a, V& b, std::integer_sequence<int, lane...>) {
  constexpr int L = sizeof...(lane);
  const V low = __builtin_shufflevector(a, b, ((lane & step) == 0 ? lane : L + lane - step)...);
  b = __builtin_shufflevector(a, b, ((lane & step) == 0 ? lane + step : L + lane)...);
  a = low;
}

/// v[i] lane j ↔ v[j] lane i, in log₂ steps.
template <int step, int L, class T>
MILLRACE_INLINE void transpose(Vec<T, L> (&v)[L]) {
  if constexpr (step < L) {
    constexpr std::make_integer_sequence<int, L> kAllLanes{};
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) {
      if ((i & step) == 0) swap_blocks<step>(v[i], v[i + step], kAllLanes);
    }
    transpose<2 * step, L, T>(v);
  }
}

/// A panel W wide of a matrix whose columns are contiguous, `across` apart; W columns, or fewer and
/// then zeros. L: lanes of the blocks that are transposed in registers.
template <int L, int W, class T>
MILLRACE_INLINE void pack_columns(int depth, int width, const T* from, long across, T* panel) {
  if (width < W) std::fill_n(panel, long{depth} * W, T(0));
  const int blocks = width / L * L, blocks_end = depth / L * L;
  for (int k = 0; k < blocks_end; k += L) {
    for (int h = 0; h < blocks; h += L) {
      Vec<T, L> block[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) load(from + (h + i) * across + k, block[i]);
      transpose<1, L, T>(block);
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) store(block[i], panel + (k + i) * W + h);
    }
    for (int h = blocks; h < width; ++h) {
      for (int i = k; i < k + L; ++i) panel[i * W + h] = from[h * across + i];
    }
  }
  for (int h = 0; h < width; ++h) {
    for (int k = blocks_end; k < depth; ++k) panel[k * W + h] = from[h * across + k];
  }
}

/// As pack_columns, of a matrix whose rows are contiguous, `down` apart.
template <int W, class T>
MILLRACE_INLINE void pack_rows(int depth, int width, const T* from, long down, T* panel) {
  for (int k = 0; k < depth; ++k, from += down, panel += W) {
    if (width == W) {
      std::memcpy(panel, from, W * sizeof(T));
    } else {
      std::copy_n(from, width, panel);
      std::fill(panel + width, panel + W, T(0));
    }
  }
}

}  // namespace millrace::gemm::kernel
