#include "learner/device/panel_product.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "learner/base/check.h"
#include "learner/device/memory.h"
#include "learner/device/panel_kernel.h"

namespace millrace::gemm {
namespace {

/// What a product is made of, compiled for one instruction set: columns of up to `widest` registers
/// of `lanes` elements, and the packing of a panel as wide.
template <class T>
struct Kernels {
  using Columns = void (*)(const kernel::Column<T>&);
  using Pack = void (*)(int depth, int width, const T* from, long stride, T* panel);
  int lanes;
  int widest;                      ///< Registers across a panel.
  std::array<Columns, 4> columns;  ///< Of 1, 2, … `widest` registers.
  Columns half;                    ///< Of registers half as wide, for what is left of a row.
  Columns one_row;                 ///< Of kRowRegisters: for a single row, read where b stands.
  Pack pack_rows, pack_columns;
};

constexpr int kRowRegisters = 8;

// Six rows of two registers leave four of AVX2's sixteen for operands; of AVX-512's 32, six rows of
// four leave eight. Narrower columns take more rows, so that enough sums are under way.
template <class T, int R, int V>
void columns_avx2(const kernel::Column<T>& job) {
  kernel::columns<kLanes<T>, R, V>(job);
}
template <class T>
void half_avx2(const kernel::Column<T>& job) {
  kernel::columns<kLanes<T> / 2, 12, 1>(job);
}
template <class T, int W>
void pack_rows_avx2(int depth, int width, const T* from, long stride, T* panel) {
  kernel::pack_rows<W>(depth, width, from, stride, panel);
}
template <class T, int W>
void pack_columns_avx2(int depth, int width, const T* from, long stride, T* panel) {
  kernel::pack_columns<kLanes<T>, W>(depth, width, from, stride, panel);
}
template <class T>
constexpr Kernels<T> kAvx2{kLanes<T>,
                           2,
                           {columns_avx2<T, 12, 1>, columns_avx2<T, 6, 2>, nullptr, nullptr},
                           half_avx2<T>,
                           columns_avx2<T, 1, kRowRegisters>,
                           pack_rows_avx2<T, 2 * kLanes<T>>,
                           pack_columns_avx2<T, 2 * kLanes<T>>};

#if defined(__x86_64__)
template <class T, int R, int V>
MILLRACE_AVX512 void columns_avx512(const kernel::Column<T>& job) {
  kernel::columns<kWideLanes<T>, R, V>(job);
}
template <class T>
MILLRACE_AVX512 void half_avx512(const kernel::Column<T>& job) {
  kernel::columns<kLanes<T>, 12, 1>(job);
}
template <class T, int W>
MILLRACE_AVX512 void pack_rows_avx512(int depth, int width, const T* from, long stride, T* panel) {
  kernel::pack_rows<W>(depth, width, from, stride, panel);
}
// Blocks of AVX2's width: sixteen registers transposed in sixteen would leave none.
template <class T, int W>
MILLRACE_AVX512 void pack_columns_avx512(int depth, int width, const T* from, long stride,
                                         T* panel) {
  kernel::pack_columns<kLanes<T>, W>(depth, width, from, stride, panel);
}
template <class T>
constexpr Kernels<T> kAvx512{kWideLanes<T>,
                             4,
                             {columns_avx512<T, 12, 1>, columns_avx512<T, 12, 2>,
                              columns_avx512<T, 8, 3>, columns_avx512<T, 6, 4>},
                             half_avx512<T>,
                             columns_avx512<T, 1, kRowRegisters>,
                             pack_rows_avx512<T, 4 * kWideLanes<T>>,
                             pack_columns_avx512<T, 4 * kWideLanes<T>>};
#endif

template <class T>
const Kernels<T>& kernels(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) return kAvx512<T>;
#endif
  return kAvx2<T>;
}

/// Rows of a panel: so many of it stay in the first-level cache while all rows of a pass by.
constexpr int kDepth = 256;
/// Where a and b both are read across their rows (a weight's gradient), a row of a is a line of the
/// cache that a tile uses little of: so few rows that the lines stay until the next tile's turn.
constexpr int kDepthOfRows = 64;
/// Columns that are packed at a time, so that b is read in long runs and the group stays in the
/// second-level cache.
constexpr int kGroup = 256;
/// Of so few rows of a, b is read once or twice: packing it would cost more than it spares.
constexpr int kFewRows = 12;

template <class T>
T* scratch() {
  thread_local const Buffer<T> memory = allocate_host<T>(long{kDepth} * kGroup);
  return memory.get();
}

/// Whether `depth` rows `down` apart, of which `width` columns are read, stay in the first-level
/// cache where they stand: rows a multiple of lines apart meet in few of its 64 sets of eight
/// lines, unless they are read whole. They may take half of those lines.
template <class T>
bool stays_cached(int depth, int width, long down) {
  const long bytes = down * static_cast<long>(sizeof(T));
  if (bytes % 64 != 0 || down <= width) return true;
  return depth <= 4 * (64 / std::gcd(bytes / 64, 64L));
}

/// A group of columns over one block of the depth, from the first of each on.
template <class T>
struct Group {
  const Kernels<T>& with;
  Strided<T> a, b;
  int depth;
  bool add;
  const Epilogue<T>& epilogue;  ///< Empty where the sum is not complete yet.
  RowSums<T> sums;
  View<T> c;
  int first;  ///< Of its columns among all that the epilogue knows.

  int width() const { return with.widest * with.lanes; }

  void multiply() const {
    int col = 0;
    const bool direct =
        b.across == 1 && (c.rows <= kFewRows || stays_cached<T>(depth, width(), b.down));
    if (direct) {
      const int row_width = kRowRegisters * with.lanes;
      for (; c.rows == 1 && col + row_width <= c.cols; col += row_width) {
        with.one_row(column(b.data + col, b.down, col, row_width));
      }
      for (int cols; (cols = reach_directly(c.cols - col)) > 0; col += cols) {
        call(column(b.data + col, b.down, col, cols));
      }
    }
    T* const panel = scratch<T>();
    const int W = width();
    for (int h = col, p = 0; h < c.cols; h += W, ++p) {
      const int cols = std::min(W, c.cols - h);
      const auto pack = b.across == 1 ? with.pack_rows : with.pack_columns;
      pack(depth, cols, b.data + h * b.across, b.across == 1 ? b.down : b.across,
           panel + long{p} * depth * W);
    }
    for (int h = col, p = 0; h < c.cols; h += W, ++p) {
      const int cols = std::min(W, c.cols - h);
      call(column(panel + long{p} * depth * W, W, h, cols));
    }
  }

  /// Columns of the next call that reads b where it stands, of `left` ones: whole registers, and
  /// then what is left of one.
  int reach_directly(int left) const {
    const int registers = std::min(with.widest, left / with.lanes);
    return registers > 0 ? registers * with.lanes : left;
  }

  void call(const kernel::Column<T>& job) const {
    if (job.cols <= with.lanes / 2) return with.half(job);
    with.columns[static_cast<std::size_t>((job.cols - 1) / with.lanes)](job);
  }

  kernel::Column<T> column(const T* panel, long down, int col, int cols) const {
    kernel::Column<T> job{.a = a.data,
                          .a_down = a.down,
                          .a_across = a.across,
                          .b = panel,
                          .b_down = down,
                          .depth = depth,
                          .add = add};
    kernel::take_columns(epilogue, first, c, col, cols, job);
    const int summed = sums.count - (first + col);
    if (summed > 0) {
      job.sums = sums.data + first + col;
      job.summed = summed;
      job.add_sums = sums.add;
    }
    return job;
  }
};

}  // namespace

template <class T>
void panel_product(InstructionSet set, int K, Strided<T> a, Strided<T> b, bool add,
                   const Epilogue<T>& epilogue, View<T> c, const RowSums<T>& sums) {
  MILLRACE_CHECK(b.across == 1 || b.down == 1);
  MILLRACE_CHECK(sums.count == 0 || (sums.count <= c.cols && c.rows > 0));
  const Kernels<T>& with = kernels<T>(set);
  const int most = a.down == 1 ? kDepthOfRows : kDepth;
  const int blocks = std::max(1, (K + most - 1) / most);
  const int depth = (K + blocks - 1) / blocks;
  const Epilogue<T> none;
  for (int col = 0; col < c.cols; col += kGroup) {
    const int cols = std::min(kGroup, c.cols - col);
    for (int first = 0; first < K || first == 0; first += std::max(1, depth)) {
      const int rows = std::min(depth, K - first);
      Group<T>{.with = with,
               .a = {a.data + first * a.across, a.down, a.across},
               .b = {b.data + first * b.down + col * b.across, b.down, b.across},
               .depth = rows,
               .add = add || first > 0,
               .epilogue = first + rows == K ? epilogue : none,
               .sums = {sums.data, sums.count, sums.add || first > 0},
               .c = c.cols_from(col, cols),
               .first = col}
          .multiply();
    }
  }
}

template <class T>
void panel_product(int K, Strided<T> a, Strided<T> b, bool add, const Epilogue<T>& epilogue,
                   View<T> c, const RowSums<T>& sums) {
  panel_product(best_instruction_set(), K, a, b, add, epilogue, c, sums);
}

template <class T>
void transpose(View<const T> from, View<T> to) {
  constexpr int L = kLanes<T>;
  const int rows = from.rows / L * L, cols = from.cols / L * L;
  for (int r = 0; r < rows; r += L) {
    for (int c = 0; c < cols; c += L) {
      Vec<T, L> block[L];
      for (int i = 0; i < L; ++i) load(from.row(r + i) + c, block[i]);
      kernel::transpose<1, L, T>(block);
      for (int i = 0; i < L; ++i) store(block[i], to.row(c + i) + r);
    }
  }
  for (int r = 0; r < from.rows; ++r) {
    for (int c = r < rows ? cols : 0; c < from.cols; ++c) to(c, r) = from(r, c);
  }
}

template void transpose(View<const float>, View<float>);
template void transpose(View<const double>, View<double>);
template void panel_product(int, Strided<float>, Strided<float>, bool, const Epilogue<float>&,
                            View<float>, const RowSums<float>&);
template void panel_product(int, Strided<double>, Strided<double>, bool, const Epilogue<double>&,
                            View<double>, const RowSums<double>&);
template void panel_product(InstructionSet, int, Strided<float>, Strided<float>, bool,
                            const Epilogue<float>&, View<float>, const RowSums<float>&);
template void panel_product(InstructionSet, int, Strided<double>, Strided<double>, bool,
                            const Epilogue<double>&, View<double>, const RowSums<double>&);

}  // namespace millrace::gemm
