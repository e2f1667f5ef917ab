#include "learner/device/mixture_kernel.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "learner/device/running_sums.h"
#include "learner/device/vector.h"
#include "learner/device/vector_exp.h"
#include "learner/math/softmax.h"

namespace millrace {
namespace {

// All sums begin with a value, not with a product: of a·b + c·d the compiler may fuse either
// product with the addition, and need not choose alike for all instruction sets.

/// V registers of one row's mixture of n experts.
template <int L, int V, class T>
MILLRACE_INLINE void mix_registers(const T* g, const T* const* y, int n, int h, bool goes_on,
                                   T* v) {
  Vec<T, L> sums[V];
#pragma GCC unroll 8
  for (int i = 0; i < V; ++i) {
    sums[i] = Vec<T, L>{};
    if (goes_on) load(v + h + i * L, sums[i]);
  }
  for (int c = 0; c < n; ++c) {
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      Vec<T, L> y_c;
      load(y[c] + h + i * L, y_c);
      sums[i] += g[c] * y_c;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < V; ++i) store(sums[i], v + h + i * L);
}

/// The last columns of a row, fewer than L.
template <int L, class T>
MILLRACE_INLINE void mix_rest(const T* g, const T* const* y, int n, int h, int count, bool goes_on,
                              T* v) {
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
  Vec<T, L> sum{}, y_c{};
  if (goes_on) std::memcpy(&sum, v + h, bytes);
  for (int c = 0; c < n; ++c) {
    std::memcpy(&y_c, y[c] + h, bytes);
    sum += g[c] * y_c;
  }
  std::memcpy(v + h, &sum, bytes);
}

/// What mix_rows is told.
template <class T>
struct Mixed {
  View<const T> g;
  const View<const T>* y;
  bool goes_on;
  View<T> v;
};

template <int L, class T>
MILLRACE_INLINE void mix_all(const Mixed<T>& at) {
  constexpr int kWide = 64 / sizeof(T) * 4 / L;  // four cache lines
  const T* y[kMixedAtOnce];
  long down[kMixedAtOnce];
  const int n = at.g.cols, H = at.v.cols;
  for (int c = 0; c < n; ++c) {
    y[c] = at.y[c].data;
    down[c] = at.y[c].stride;
  }
  for (int r = 0; r < at.v.rows; ++r) {
    const T* const g = at.g.row(r);
    T* const v = at.v.row(r);
    int h = 0;
    for (; h + kWide * L <= H; h += kWide * L) mix_registers<L, kWide>(g, y, n, h, at.goes_on, v);
    for (; h + L <= H; h += L) mix_registers<L, 1>(g, y, n, h, at.goes_on, v);
    if (h < H) mix_rest<L>(g, y, n, h, H - h, at.goes_on, v);
    for (int c = 0; c < n; ++c) y[c] += down[c];
  }
}

/// What mix_rows_backward is told: one expert, as far as the gates [first, first + N) go.
template <class T>
struct Unmixed {
  Stack<const T> g;
  View<const T> y;
  Stack<const T> dv;
  bool goes_on;  ///< dy holds what other gates gave.
  bool masked;   ///< No other gate comes after these.
  Stack<T> a;
  View<T> dy;
};

/// kSums columns of a row.
template <int L, int N, bool kGoesOn, class T>
MILLRACE_INLINE void columns_backward(const T* y, const T* const (&dv)[N], const T (&weight)[N],
                                      bool masked, Vec<T, L> (&sums)[N][kSums / L], T* dy) {
  const Vec<T, L> zero{};
#pragma GCC unroll 4
  for (int p = 0; p < kSums / L; ++p) {
    Vec<T, L> output, slope, sum{};
    load(y + p * L, output);
    if (kGoesOn) load(dy + p * L, sum);
#pragma GCC unroll 4
    for (int t = 0; t < N; ++t) {
      load(dv[t] + p * L, slope);
      sums[t][p] += output * slope;
      sum += weight[t] * slope;
    }
    if (masked) sum = output > zero ? sum : zero;
    store(sum, dy + p * L);
  }
}

/// The last columns of a row, fewer than kSums.
template <int L, int N, bool kGoesOn, class T>
MILLRACE_INLINE void rest_backward(const T* y, const T* const (&dv)[N], const T (&weight)[N],
                                   int count, bool masked, Vec<T, L> (&sums)[N][kSums / L], T* dy) {
  T y_rest[kSums] = {}, dy_rest[kSums] = {}, dv_rest[N][kSums] = {};
  const T* dv_all[N];
  std::copy_n(y, count, y_rest);
  if (kGoesOn) std::copy_n(dy, count, dy_rest);
  for (int t = 0; t < N; ++t) {
    std::copy_n(dv[t], count, dv_rest[t]);
    dv_all[t] = dv_rest[t];
  }
  columns_backward<L, N, kGoesOn, T>(y_rest, dv_all, weight, masked, sums, dy_rest);
  std::copy_n(dy_rest, count, dy);
}

template <int L, int N, bool kGoesOn, class T>
MILLRACE_INLINE void gates_backward(const Unmixed<T>& at, int first) {
  const int H = at.y.cols, rows = at.y.rows;
  const bool masked = at.masked && first + N == at.dv.count;
  const long dv_down = at.dv.first.stride, g_down = at.g.first.stride, a_down = at.a.first.stride;
  const T *dv[N], *g[N];
  T* a[N];
#pragma GCC unroll 4
  for (int t = 0; t < N; ++t) {
    dv[t] = at.dv[first + t].data;
    g[t] = at.g[first + t].data;
    a[t] = at.a[first + t].data;
  }
  for (int r = 0; r < rows; ++r) {
    const T* const y = at.y.row(r);
    T* const dy = at.dy.row(r);
    T weight[N];
    Vec<T, L> sums[N][kSums / L] = {};
#pragma GCC unroll 4
    for (int t = 0; t < N; ++t) weight[t] = g[t][r * g_down];
    const T* dv_h[N];
#pragma GCC unroll 4
    for (int t = 0; t < N; ++t) dv_h[t] = dv[t] + r * dv_down;
    int h = 0;
    for (; h + kSums <= H; h += kSums) {
      columns_backward<L, N, kGoesOn, T>(y + h, dv_h, weight, masked, sums, dy + h);
#pragma GCC unroll 4
      for (int t = 0; t < N; ++t) dv_h[t] += kSums;
    }
    if (h < H) {
      rest_backward<L, N, kGoesOn, T>(y + h, dv_h, weight, H - h, masked, sums, dy + h);
    }
#pragma GCC unroll 4
    for (int t = 0; t < N; ++t) a[t][r * a_down] = total<L, T>(sums[t]);
  }
}

template <int L, bool kGoesOn, class T>
MILLRACE_INLINE void unmix_gates(const Unmixed<T>& at, int first) {
  switch (std::min(4, at.dv.count - first)) {
    case 1:
      return gates_backward<L, 1, kGoesOn>(at, first);
    case 2:
      return gates_backward<L, 2, kGoesOn>(at, first);
    case 3:
      return gates_backward<L, 3, kGoesOn>(at, first);
    default:
      return gates_backward<L, 4, kGoesOn>(at, first);
  }
}

template <int L, class T>
MILLRACE_INLINE void unmix_all(const Unmixed<T>& at) {
  for (int t = 0; t < at.dv.count; t += 4) {
    at.goes_on || t > 0 ? unmix_gates<L, true>(at, t) : unmix_gates<L, false>(at, t);
  }
}

template <class T>
void mix_avx2(const Mixed<T>& at) {
  mix_all<kLanes<T>>(at);
}
template <class T>
void unmix_avx2(const Unmixed<T>& at) {
  unmix_all<kLanes<T>>(at);
}
#if defined(__x86_64__)
template <class T>
MILLRACE_AVX512 void mix_avx512(const Mixed<T>& at) {
  mix_all<kWideLanes<T>>(at);
}
template <class T>
MILLRACE_AVX512 void unmix_avx512(const Unmixed<T>& at) {
  unmix_all<kWideLanes<T>>(at);
}
#endif

}  // namespace

template <class T>
void softmax_rows(View<const T> u, View<T> g) {
  constexpr int kValues = 256;
  const int n = u.cols;
  if constexpr (std::is_same_v<T, float>) {
    // As many rows as fit are worked on as one.
    for (int first = 0; n <= kValues && first < u.rows; first += kValues / n) {
      const int rows = std::min(kValues / n, u.rows - first);
      T values[kValues] = {};
      for (int r = 0; r < rows; ++r) {
        const T* const from = u.row(first + r);
        T most = from[0];
        for (int e = 1; e < n; ++e) most = from[e] > most ? from[e] : most;
        for (int e = 0; e < n; ++e) values[r * n + e] = from[e] - most;
      }
      for (int i = 0; i < rows * n; i += kTogether) {
        Vec<T, kTogether> x;
        load(values + i, x);
        exp_all(x);
        store(x, values + i);
      }
      for (int r = 0; r < rows; ++r) {
        T sum = 0;
        for (int e = 0; e < n; ++e) sum += values[r * n + e];
        const T scale = 1 / sum;
        T* const to = g.row(first + r);
        for (int e = 0; e < n; ++e) to[e] = values[r * n + e] * scale;
      }
    }
    if (n <= kValues) return;
  }
  for (int r = 0; r < u.rows; ++r) math::softmax(u.row(r), g.row(r), n);
}

template void softmax_rows(View<const float>, View<float>);
template void softmax_rows(View<const double>, View<double>);

namespace {

/// math::softmax_backward of rows of n values, of n known values where kCount is not 0.
template <int kCount, class T>
void softmax_backward_rows(View<const T> g, View<T> a) {
  for (int r = 0; r < a.rows; ++r) {
    math::softmax_backward(g.row(r), a.row(r), kCount == 0 ? a.cols : kCount);
  }
}

}  // namespace

template <class T>
void softmax_rows_backward(View<const T> g, View<T> a) {
  constexpr void (*kOfFew[])(View<const T>, View<T>) = {
      softmax_backward_rows<0, T>, softmax_backward_rows<1, T>, softmax_backward_rows<2, T>,
      softmax_backward_rows<3, T>, softmax_backward_rows<4, T>, softmax_backward_rows<5, T>,
      softmax_backward_rows<6, T>, softmax_backward_rows<7, T>, softmax_backward_rows<8, T>};
  kOfFew[a.cols <= 8 ? a.cols : 0](g, a);
}

template void softmax_rows_backward(View<const float>, View<float>);
template void softmax_rows_backward(View<const double>, View<double>);

template <class T>
void mix_rows(InstructionSet set, View<const T> g, const View<const T>* y, bool goes_on,
              View<T> v) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) return mix_avx512<T>({g, y, goes_on, v});
#endif
  mix_avx2<T>({g, y, goes_on, v});
}

template <class T>
void mix_rows_backward(InstructionSet set, Stack<const T> g, View<const T> y, Stack<const T> dv,
                       bool goes_on, bool masked, Stack<T> a, View<T> dy) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) {
    return unmix_avx512<T>({g, y, dv, goes_on, masked, a, dy});
  }
#endif
  unmix_avx2<T>({g, y, dv, goes_on, masked, a, dy});
}

template void mix_rows(InstructionSet, View<const float>, const View<const float>*, bool,
                       View<float>);
template void mix_rows(InstructionSet, View<const double>, const View<const double>*, bool,
                       View<double>);
template void mix_rows_backward(InstructionSet, Stack<const float>, View<const float>,
                                Stack<const float>, bool, bool, Stack<float>, View<float>);
template void mix_rows_backward(InstructionSet, Stack<const double>, View<const double>,
                                Stack<const double>, bool, bool, Stack<double>, View<double>);

}  // namespace millrace
