#include "learner/device/panel_product.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "learner/base/check.h"
#include "learner/device/memory.h"
#include "learner/math/activation.h"

namespace millrace::gemm {
namespace {

/// A vector register of AVX2, by the compiler's extension: the operators are element-wise.
template <class T>
struct Register {
  typedef T Type __attribute__((vector_size(32)));
};
template <class T>
using Vec = typename Register<T>::Type;
template <class T>
constexpr int kLanes = 32 / sizeof(T);

/// A tile of results in registers: 6 rows of 2 registers leave 4 of the 16 for operands.
constexpr int kTileRows = 6;
template <class T>
constexpr int kTileCols = 2 * kLanes<T>;

/// b is packed into panels kTileCols wide, of kDepth rows at most: one stays in the first-level
/// cache while all rows of a pass by. kGroup columns are packed at a time, so that b is read in
/// long runs; the group stays in the second-level cache.
constexpr int kDepth = 256;
constexpr int kGroup = 256;

template <class T>
Vec<T> load(const T* from) {
  Vec<T> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class T>
void store(Vec<T> v, T* to) {
  std::memcpy(to, &v, sizeof v);
}

/// A panel of b: `depth` rows of kTileCols values, `down` apart.
template <class T>
struct Panel {
  const T* data;
  int depth;
  long down;
};

/// The sums of a tile of R rows and V registers of columns.
template <int R, int V, class T>
[[gnu::always_inline]] inline void multiply(const T* a, long down, long across,
                                            const Panel<T>& panel, Vec<T> (&sums)[R][V]) {
  const T* b = panel.data;
  for (int k = 0; k < panel.depth; ++k) {
    Vec<T> row[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) row[v] = load(b + v * kLanes<T>);
    b += panel.down;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const T factor = a[r * down];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sums[r][v] += factor * row[v];
    }
    a += across;
  }
}

/// Where results go, and what is done to them on the way.
template <class T>
struct Target {
  View<T> c;
  bool add;                     ///< c holds something that belongs to the sum.
  const Epilogue<T>* epilogue;  ///< Null where the sum is not complete yet.
};

/// What is done to all of a tile alike; the kind is a template parameter, so that nothing is asked
/// while results are in registers.
struct Finish {
  bool add = false, bias = false, relu = false, mask = false;
};

template <Finish F, class T>
[[gnu::always_inline]] inline void store_finished(Vec<T> value, const Target<T>& to, int row,
                                                  int col) {
  const Vec<T> zero{};
  T* const c = to.c.row(row) + col;
  if constexpr (F.add) value += load(c);
  if constexpr (F.bias) value += load(to.epilogue->bias + col);
  if constexpr (F.relu) value = zero > value ? zero : value;  // a NaN stays one
  if constexpr (F.mask) value = load(to.epilogue->mask.row(row) + col) > zero ? value : zero;
  store(value, c);
}

/// A tile whose columns are all inside and finished alike.
template <Finish F>
struct WholeTile {
  template <int R, int V, class T>
  [[gnu::always_inline]] static void run(const Vec<T> (&sums)[R][V], const Target<T>& to, int row,
                                         int col) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) store_finished<F>(sums[r][v], to, row + r, col + v * kLanes<T>);
    }
  }
};

/// Any other tile, element by element.
struct AnyTile {
  template <int R, int V, class T>
  static void run(const Vec<T> (&sums)[R][V], const Target<T>& to, int row, int col) {
    const int cols = std::min(V * kLanes<T>, to.c.cols - col);
    for (int r = 0; r < R; ++r) {
      T values[V * kLanes<T>];
      std::memcpy(values, sums[r], sizeof values);
      T* const c = to.c.row(row + r) + col;
      for (int h = 0; h < cols; ++h) {
        const T sum = to.add ? c[h] + values[h] : values[h];
        c[h] = to.epilogue == nullptr ? sum : finish(*to.epilogue, sum, row + r, col + h);
      }
    }
  }
  template <class T>
  static T finish(const Epilogue<T>& epilogue, T value, int row, int col) {
    if (col < epilogue.biased) value += epilogue.bias[col];
    if (col < epilogue.relu) value = math::relu(value);
    if (epilogue.mask.data != nullptr) value = math::relu_slope(epilogue.mask(row, col), value);
    return value;
  }
};

template <int R, int V, class Store, class T>
[[gnu::always_inline]] inline void tile(const Strided<T>& a, const Panel<T>& panel,
                                        const Target<T>& to, int row, int col) {
  Vec<T> sums[R][V] = {};
  multiply<R, V>(a.data + row * a.down, a.down, a.across, panel, sums);
  Store::run(sums, to, row, col);
}

/// All rows of a times V registers of columns of one panel.
template <int V, class Store, class T>
void tiles(const Strided<T>& a, const Panel<T>& panel, const Target<T>& to, int col) {
  int row = 0;
  for (; row + kTileRows <= to.c.rows; row += kTileRows) {
    tile<kTileRows, V, Store>(a, panel, to, row, col);
  }
  switch (to.c.rows - row) {
    case 1:
      return tile<1, V, Store>(a, panel, to, row, col);
    case 2:
      return tile<2, V, Store>(a, panel, to, row, col);
    case 3:
      return tile<3, V, Store>(a, panel, to, row, col);
    case 4:
      return tile<4, V, Store>(a, panel, to, row, col);
    case 5:
      return tile<5, V, Store>(a, panel, to, row, col);
    default:
      return;
  }
}

/// Picks the way in which these columns are finished, once for all rows.
template <int V, class T>
void column_of_tiles(const Strided<T>& a, const Panel<T>& panel, const Target<T>& to, int col) {
  const int end = col + V * kLanes<T>;
  const Epilogue<T> epilogue = to.epilogue != nullptr ? *to.epilogue : Epilogue<T>{};
  const auto is_uniform = [&](int reach) { return reach <= col || reach >= end; };
  const bool bias = epilogue.biased >= end, relu = epilogue.relu >= end;
  const bool mask = epilogue.mask.data != nullptr;
  const bool whole = end <= to.c.cols && is_uniform(epilogue.biased) && is_uniform(epilogue.relu);
  if (!whole || (mask && (bias || relu || to.add)) || (relu && !bias)) {
    return tiles<V, AnyTile>(a, panel, to, col);
  }
  if (mask) return tiles<V, WholeTile<Finish{.mask = true}>>(a, panel, to, col);
  switch ((to.add ? 4 : 0) + (bias ? 2 : 0) + (relu ? 1 : 0)) {
    case 7:
      return tiles<V, WholeTile<Finish{.add = true, .bias = true, .relu = true}>>(a, panel, to,
                                                                                  col);
    case 6:
      return tiles<V, WholeTile<Finish{.add = true, .bias = true}>>(a, panel, to, col);
    case 4:
      return tiles<V, WholeTile<Finish{.add = true}>>(a, panel, to, col);
    case 3:
      return tiles<V, WholeTile<Finish{.bias = true, .relu = true}>>(a, panel, to, col);
    case 2:
      return tiles<V, WholeTile<Finish{.bias = true}>>(a, panel, to, col);
    default:
      return tiles<V, WholeTile<Finish{}>>(a, panel, to, col);
  }
}

/// Of the 2×2 blocks of `step` lanes that a and b hold, the two off the diagonal change places.
template <int step, class V, int... lane>
[[gnu::always_inline]] inline void swap_blocks(V& a, V& b, std::integer_sequence<int, lane...>) {
  constexpr int L = sizeof...(lane);
  const V low = __builtin_shufflevector(a, b, ((lane & step) == 0 ? lane : L + lane - step)...);
  b = __builtin_shufflevector(a, b, ((lane & step) == 0 ? lane + step : L + lane)...);
  a = low;
}

/// v[i] lane j ↔ v[j] lane i, in log₂ steps.
template <int step, class T>
[[gnu::always_inline]] inline void transpose(Vec<T> (&v)[kLanes<T>]) {
  if constexpr (step < kLanes<T>) {
    constexpr std::make_integer_sequence<int, kLanes<T>> kAllLanes{};
#pragma GCC unroll 8
    for (int i = 0; i < kLanes<T>; ++i) {
      if ((i & step) == 0) swap_blocks<step>(v[i], v[i + step], kAllLanes);
    }
    transpose<2 * step, T>(v);
  }
}

/// One panel of b as it is stored, `width` of kTileCols columns; the rest is zero.
template <class T>
void pack_rows(int depth, int width, const T* from, long down, T* panel) {
  constexpr int W = kTileCols<T>;
  for (int k = 0; k < depth; ++k, from += down, panel += W) {
    if (width == W) {
      std::memcpy(panel, from, W * sizeof(T));
    } else {
      std::copy_n(from, width, panel);
      std::fill(panel + width, panel + W, T(0));
    }
  }
}

/// One panel of a transposed b: its columns are contiguous.
template <class T>
void pack_columns(int depth, int width, const T* from, long across, T* panel) {
  constexpr int W = kTileCols<T>, L = kLanes<T>;
  if (width < W) std::fill_n(panel, long{depth} * W, T(0));
  const int blocks_end = width == W ? depth / L * L : 0;
  for (int k = 0; k < blocks_end; k += L) {
    for (int h = 0; h < W; h += L) {
      Vec<T> block[L];
#pragma GCC unroll 8
      for (int i = 0; i < L; ++i) block[i] = load(from + (h + i) * across + k);
      transpose<1, T>(block);
#pragma GCC unroll 8
      for (int i = 0; i < L; ++i) store(block[i], panel + (k + i) * W + h);
    }
  }
  for (int h = 0; h < width; ++h) {
    for (int k = blocks_end; k < depth; ++k) panel[k * W + h] = from[h * across + k];
  }
}

/// Columns [0, cols) of b, `depth` rows, as panels one after the other; short ones end in zeros.
template <class T>
void pack(int depth, int cols, const Strided<T>& b, T* panels) {
  constexpr int W = kTileCols<T>;
  for (int first = 0; first < cols; first += W, panels += long{depth} * W) {
    const int width = std::min(W, cols - first);
    const T* from = b.data + first * b.across;
    if (b.across == 1) {
      pack_rows(depth, width, from, b.down, panels);
    } else {
      pack_columns(depth, width, from, b.across, panels);
    }
  }
}

template <class T>
T* scratch() {
  thread_local const Buffer<T> memory = allocate_host<T>(long{kDepth} * kGroup);
  return memory.get();
}

/// A group of columns over one block of the depth, from the first of each on.
template <class T>
void multiply_group(int depth, int cols, const Strided<T>& a, const Strided<T>& b,
                    const Target<T>& to, int col) {
  constexpr int W = kTileCols<T>;
  T* const panels = scratch<T>();
  // One tile of rows reads every panel once: packing would cost more than it saves.
  const int direct = to.c.rows <= kTileRows && b.across == 1 ? cols / W * W : 0;
  pack(depth, cols - direct, {b.data + direct, b.down, b.across}, panels);
  for (int h = 0; h < cols; h += W) {
    const Panel<T> panel = h < direct ? Panel<T>{b.data + h, depth, b.down}
                                      : Panel<T>{panels + long{depth} * (h - direct), depth, W};
    if (cols - h <= kLanes<T>) {
      column_of_tiles<1>(a, panel, to, col + h);
    } else {
      column_of_tiles<2>(a, panel, to, col + h);
    }
  }
}

}  // namespace

template <class T>
void panel_product(int K, Strided<T> a, Strided<T> b, bool add, const Epilogue<T>& epilogue,
                   View<T> c) {
  MILLRACE_CHECK(b.across == 1 || b.down == 1);
  const int blocks = std::max(1, (K + kDepth - 1) / kDepth);
  const int depth = (K + blocks - 1) / blocks;
  for (int col = 0; col < c.cols; col += kGroup) {
    const int cols = std::min(kGroup, c.cols - col);
    for (int first = 0; first < K; first += depth) {
      const int rows = std::min(depth, K - first);
      const bool last = first + rows == K;
      multiply_group<T>(rows, cols, {a.data + first * a.across, a.down, a.across},
                        {b.data + first * b.down + col * b.across, b.down, b.across},
                        {c, add || first > 0, last ? &epilogue : nullptr}, col);
    }
  }
}

template void panel_product(int, Strided<float>, Strided<float>, bool, const Epilogue<float>&,
                            View<float>);
template void panel_product(int, Strided<double>, Strided<double>, bool, const Epilogue<double>&,
                            View<double>);

}  // namespace millrace::gemm
