#include "learner/device/cpu_backend.h"

#include <algorithm>
#include <functional>
#include <type_traits>

#include "learner/base/check.h"
#include "learner/device/bf16_product.h"
#include "learner/device/column_kernel.h"
#include "learner/device/gemm.h"
#include "learner/device/mixture_kernel.h"
#include "learner/device/panel_product.h"
#include "learner/device/vector.h"
#include "learner/math/activation.h"
#include "learner/math/mixture.h"

namespace millrace {
namespace {

/// y ← relu(y + b) over the first columns, as far as either reaches, in one pass.
template <class T>
void add_bias_and_relu(View<const T> b, int relu, View<T> y) {
  const int both = std::min(b.cols, relu);
  for (int r = 0; r < y.rows; ++r) {
    T* row = y.row(r);
    for (int h = 0; h < both; ++h) row[h] = math::relu(row[h] + b.data[h]);
    for (int h = both; h < b.cols; ++h) row[h] += b.data[h];
    for (int h = both; h < relu; ++h) row[h] = math::relu(row[h]);
  }
}

/// db = Σ_rows dy, or db + it: V registers of columns, whose sums stay there for all rows.
template <int V, class T>
void sum_registers(View<const T> dy, bool add, T* db) {
  constexpr int L = kLanes<T>;
  using Sum = Vec<T, L>;
  Sum sums[V] = {};
  for (int i = 0; add && i < V; ++i) load(db + i * L, sums[i]);
  for (int r = 0; r < dy.rows; ++r) {
    const T* const row = dy.row(r);
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      Sum values;
      load(row + i * L, values);
      sums[i] += values;
    }
  }
  for (int i = 0; i < V; ++i) store(sums[i], db + i * L);
}

template <class T>
void sum_rows(View<const T> dy, bool add, View<T> db) {
  constexpr int L = kLanes<T>;
  const auto from = [&](int h) { return View<const T>(dy.data + h, dy.rows, 1, dy.stride); };
  int h = 0;
  for (; h + 8 * L <= db.cols; h += 8 * L) sum_registers<8>(from(h), add, db.data + h);
  for (; h + L <= db.cols; h += L) sum_registers<1>(from(h), add, db.data + h);
  for (; h < db.cols; ++h) {
    T sum = add ? db.data[h] : T(0);
    for (int r = 0; r < dy.rows; ++r) sum += dy(r, h);
    db.data[h] = sum;
  }
}

template <class T>
void apply_mask(View<const T> y, View<T> dy) {
  for (int r = 0; r < dy.rows; ++r) {
    const T* from = y.row(r);
    T* to = dy.row(r);
    for (int h = 0; h < dy.cols; ++h) to[h] = math::relu_slope(from[h], to[h]);
  }
}

/// Whether a library multiplies these; it knows no epilogue, and no doubles.
template <class T>
bool by_library(View<T> c, int K, bool finished) {
  if constexpr (std::is_same_v<T, float>) {
    return gemm::library_is_faster(c.rows, c.cols, K, finished);
  }
  return false;
}

/// Whether a stored matrix is one contiguous column.
template <class T>
bool is_column(View<T> w) {
  return w.cols == 1 && w.stride == 1;
}

}  // namespace

template <class T>
void CpuBackend<T>::copy(View<const T> from, View<T> to) {
  MILLRACE_CHECK(to.has_shape(from.rows, from.cols));
  for (int r = 0; r < from.rows; ++r) std::copy_n(from.row(r), from.cols, to.row(r));
}

template <class T>
void CpuBackend<T>::add(View<const T> from, View<T> to) {
  MILLRACE_CHECK(to.has_shape(from.rows, from.cols));
  for (int r = 0; r < from.rows; ++r) math::mix_add(T(1), from.row(r), to.row(r), to.cols);
}

template <class T>
void CpuBackend<T>::clear(View<T> to) {
  for (int r = 0; r < to.rows; ++r) std::fill_n(to.row(r), to.cols, T(0));
}

template <class T>
void CpuBackend<T>::scale(View<T> to, T factor) {
  for (int r = 0; r < to.rows; ++r) math::mix_set(factor, to.row(r), to.row(r), to.cols);
}

template <class T>
void CpuBackend<T>::fill_rows(View<const T> row, View<T> to) {
  MILLRACE_CHECK(row.has_shape(1, to.cols));
  for (int r = 0; r < to.rows; ++r) std::copy_n(row.data, row.cols, to.row(r));
}

template <class T>
void CpuBackend<T>::dropout(View<T> y, T probability, const RandomRows& random) {
  const T kept = 1 / (1 - probability);
  for (int r = 0; r < y.rows; ++r) {
    T* row = y.row(r);
    for (int h = 0; h < y.cols; ++h) {
      row[h] = random.at(r, h) < static_cast<double>(probability) ? T(0) : row[h] * kept;
    }
  }
}

template <class T>
void CpuBackend<T>::multiply(int K, gemm::Strided<T> a, gemm::Strided<T> b, bool add,
                             const gemm::Epilogue<T>& epilogue, View<T> c,
                             const std::uint32_t* b_pairs, const gemm::RowSums<T>& sums) const {
  if constexpr (std::is_same_v<T, float>) {
    if (rounds()) return gemm::bf16_product(K, a, b, add, epilogue, c, b_pairs, sums);
  }
  gemm::panel_product(K, a, b, add, epilogue, c, sums);
}

template <class T>
const std::uint32_t* CpuBackend<T>::rounded(View<const T> w) const {
  const std::less<const T*> before;  // also of pointers into other arrays
  const T* const first = rounded_.weights;
  const bool kept =
      first != nullptr && !before(w.data, first) && before(w.data, first + rounded_.count);
  return kept ? rounded_.pairs + (w.data - first) : nullptr;
}

template <class T>
void CpuBackend<T>::round_rows(View<const T> w, std::uint32_t* pairs) {
  if constexpr (std::is_same_v<T, float>) gemm::bf16_pairs(w, pairs);
}

template <class T>
void CpuBackend<T>::dense(Stack<const T> x, Stack<const T> w, Stack<const T> b, int relu,
                          Stack<T> y) {
  MILLRACE_CHECK(x.has_shape(y.count, y.first.rows, w.first.rows));
  MILLRACE_CHECK(w.has_shape(y.count, x.first.cols, y.first.cols));
  MILLRACE_CHECK(b.first.cols <= y.first.cols && relu <= y.first.cols);
  for (int i = 0; i < y.count; ++i) {
    if (is_column(w.first)) {
      gemm::times_column(best_instruction_set(), x[i], w[i].data, y[i]);
    } else if (rounds() || !by_library(y.first, x.first.cols, true)) {
      multiply(x.first.cols, gemm::plain(x[i]), gemm::plain(w[i]), false,
               {.bias = b[i].data, .biased = b.first.cols, .relu = relu}, y[i], rounded(w[i]));
      continue;
    } else if constexpr (std::is_same_v<T, float>) {
      gemm::nn(x[i], w[i], false, y[i]);
    }
    add_bias_and_relu(b[i], relu, y[i]);
  }
}

template <class T>
void CpuBackend<T>::dense_weights_backward(Stack<const T> x, Stack<const T> dy, bool add,
                                           Stack<T> dw, Stack<T> db) {
  MILLRACE_CHECK(db.first.cols <= dy.first.cols);
  if (dw.first.data == nullptr) {
    for (int i = 0; i < dy.count; ++i) sum_rows<T>(dy[i], add, db[i]);
    return;
  }
  MILLRACE_CHECK(x.has_shape(dw.count, dy.first.rows, dw.first.rows));
  MILLRACE_CHECK(dy.has_shape(dw.count, x.first.rows, dw.first.cols));
  for (int i = 0; i < dw.count; ++i) {
    if (is_column(dw.first)) {
      // dwᵀ = dyᵀ x
      gemm::panel_product<T>(x.first.rows, gemm::transposed(dy[i]), gemm::plain(x[i]), add, {},
                             View<T>(dw[i].data, 1, dw.first.rows));
    } else if (rounds() || !by_library(dw.first, x.first.rows, false)) {
      multiply(x.first.rows, gemm::transposed(x[i]), gemm::plain(dy[i]), add, {}, dw[i], nullptr,
               {.data = db[i].data, .count = db[i].cols, .add = add});
      continue;
    } else if constexpr (std::is_same_v<T, float>) {
      gemm::tn(x[i], dy[i], add, dw[i]);
    }
    sum_rows<T>(dy[i], add, db[i]);
  }
}

template <class T>
void CpuBackend<T>::dense_inputs_backward(Stack<const T> dy, Stack<const T> w,
                                          Stack<const T> transposed, Stack<const T> relu,
                                          Stack<T> dx) {
  MILLRACE_CHECK(dy.has_shape(dx.count, dx.first.rows, w.first.cols));
  MILLRACE_CHECK(w.has_shape(dx.count, dx.first.cols, dy.first.cols));
  const bool kept = transposed.first.data != nullptr;
  MILLRACE_CHECK(!kept || transposed.has_shape(dx.count, dy.first.cols, dx.first.cols));
  const bool masked = relu.first.data != nullptr;
  MILLRACE_CHECK(!masked || relu.has_shape(dx.count, dx.first.rows, dx.first.cols));
  for (int i = 0; i < dx.count; ++i) {
    if (is_column(w.first)) {
      gemm::panel_product<T>(1, gemm::plain(dy[i]),
                             gemm::plain(View<const T>(w[i].data, 1, w.first.rows)), false,
                             {.mask = relu[i]}, dx[i]);
      continue;
    } else if (dx.first.rows == 1 && !kept && !rounds()) {
      // A row's transposed product is one of inner products: w stays as it stands.
      gemm::times_column(best_instruction_set(), w[i], dy[i].data,
                         View<T>(dx[i].data, dx.first.cols, 1, 1));
    } else if (rounds() || !by_library(dx.first, dy.first.cols, masked)) {
      multiply(dy.first.cols, gemm::plain(dy[i]),
               kept ? gemm::plain(transposed[i]) : gemm::transposed(w[i]), false, {.mask = relu[i]},
               dx[i]);
      continue;
    } else if constexpr (std::is_same_v<T, float>) {
      kept ? gemm::nn(dy[i], transposed[i], false, dx[i]) : gemm::nt(dy[i], w[i], false, dx[i]);
    }
    if (masked) apply_mask(relu[i], dx[i]);
  }
}

template <class T>
void CpuBackend<T>::transpose(Stack<const T> from, Stack<T> to) {
  MILLRACE_CHECK(from.has_shape(to.count, to.first.cols, to.first.rows));
  for (int i = 0; i < to.count; ++i) gemm::transpose(from[i], to[i]);
}

template <class T>
void CpuBackend<T>::softmax(Stack<const T> u, Stack<T> g) {
  MILLRACE_CHECK(u.has_shape(g.count, g.first.rows, g.first.cols));
  for (int t = 0; t < g.count; ++t) softmax_rows<T>(u[t], g[t]);
}

template class CpuBackend<float>;
template class CpuBackend<double>;

}  // namespace millrace
