#include "learner/device/mixture_kernel.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "learner/base/check.h"
#include "learner/device/running_sums.h"
#include "learner/device/vector.h"
#include "learner/device/vector_exp.h"
#include "learner/math/softmax.h"

namespace millrace {
namespace {

// All sums begin with a value, not with a product: of a·b + c·d the compiler may fuse either
// product with the addition, and need not choose alike for all instruction sets.

/// V registers of one row's N mixtures of n experts.
template <int L, int V, int N, class T>
MILLRACE_INLINE void mix_registers(const T* const (&g)[N], const T* const* y, int n, int h,
                                   bool goes_on, T* const (&v)[N]) {
  Vec<T, L> sums[N][V];
#pragma GCC unroll 4
  for (int t = 0; t < N; ++t) {
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      sums[t][i] = Vec<T, L>{};
      if (goes_on) load(v[t] + h + i * L, sums[t][i]);
    }
  }
  for (int c = 0; c < n; ++c) {
    T weight[N];
#pragma GCC unroll 4
    for (int t = 0; t < N; ++t) weight[t] = g[t][c];
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      Vec<T, L> y_c;
      load(y[c] + h + i * L, y_c);
#pragma GCC unroll 4
      for (int t = 0; t < N; ++t) sums[t][i] += weight[t] * y_c;
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < N; ++t) {
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) store(sums[t][i], v[t] + h + i * L);
  }
}

/// The last columns of a row's mixture, fewer than L.
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
  std::span<const MixedGate<T>> gates;
  const View<const T>* y;
  bool goes_on;
};

template <int L, int N, class T>
MILLRACE_INLINE void mix_gates(const Mixed<T>& at) {
  // Up to four cache lines of each mixture, in half of the registers.
  constexpr int kWide =
      std::min(64 / static_cast<int>(sizeof(T)) * 4, (L * sizeof(T) == 64 ? 16 : 8) * L / N) / L;
  const T* y[kMixedAtOnce];
  long down[kMixedAtOnce];
  MixedGate<T> gates[N];
#pragma GCC unroll 4
  for (std::size_t t = 0; t < N; ++t) gates[t] = at.gates[t];
  const int n = gates[0].g.cols, H = gates[0].v.cols;
  for (int c = 0; c < n; ++c) {
    y[c] = at.y[c].data;
    down[c] = at.y[c].stride;
  }
  for (int r = 0; r < gates[0].v.rows; ++r) {
    const T* g[N];
    T* v[N];
#pragma GCC unroll 4
    for (int t = 0; t < N; ++t) {
      g[t] = gates[t].g.row(r);
      v[t] = gates[t].v.row(r);
    }
    int h = 0;
    for (; h + kWide * L <= H; h += kWide * L) {
      mix_registers<L, kWide, N, T>(g, y, n, h, at.goes_on, v);
    }
    for (; h + L <= H; h += L) mix_registers<L, 1, N, T>(g, y, n, h, at.goes_on, v);
    for (int t = 0; h < H && t < N; ++t) mix_rest<L>(g[t], y, n, h, H - h, at.goes_on, v[t]);
    for (int c = 0; c < n; ++c) y[c] += down[c];
  }
}

template <int L, class T>
MILLRACE_INLINE void mix_all(const Mixed<T>& at) {
  static_assert(kGatesAtOnce == 4);
  switch (at.gates.size()) {
    case 1:
      return mix_gates<L, 1>(at);
    case 2:
      return mix_gates<L, 2>(at);
    case 3:
      return mix_gates<L, 3>(at);
    default:
      return mix_gates<L, 4>(at);
  }
}

/// What mix_rows_backward is told.
template <class T>
struct Unmixed {
  std::span<const GateColumn<T>> gates;
  View<const T> y;
  bool goes_on;
  bool masked;
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
MILLRACE_INLINE void gates_backward(const Unmixed<T>& at) {
  const int H = at.y.cols, rows = at.y.rows;
  GateColumn<T> gates[N];
#pragma GCC unroll 4
  for (std::size_t t = 0; t < N; ++t) gates[t] = at.gates[t];
  T sums[N][kTotals][kSums];
  for (int block = 0; block < rows; block += kTotals) {
    const int end = std::min(rows, block + kTotals);
    for (int r = block; r < end; ++r) {
      const T* const y = at.y.row(r);
      T* const dy = at.dy.row(r);
      T weight[N];
      Vec<T, L> row_sums[N][kSums / L] = {};
      const T* dv_h[N];
#pragma GCC unroll 4
      for (int t = 0; t < N; ++t) {
        weight[t] = gates[t].g(r, 0);
        dv_h[t] = gates[t].dv.row(r);
      }
      int h = 0;
      for (; h + kSums <= H; h += kSums) {
        columns_backward<L, N, kGoesOn, T>(y + h, dv_h, weight, at.masked, row_sums, dy + h);
#pragma GCC unroll 4
        for (int t = 0; t < N; ++t) dv_h[t] += kSums;
      }
      if (h < H) {
        rest_backward<L, N, kGoesOn, T>(y + h, dv_h, weight, H - h, at.masked, row_sums, dy + h);
      }
#pragma GCC unroll 4
      for (int t = 0; t < N; ++t) store(row_sums[t], sums[t][r - block]);
    }
    for (int t = 0; t < N; ++t) {
      T all[kTotals];
      if (end - block == kTotals) totals<L>(sums[t], all);
      for (int r = block; r < end; ++r) {
        T& a = gates[t].a(r, 0);
        a = end - block == kTotals ? all[r - block] : total<L>(sums[t][r - block]);
      }
    }
  }
}

template <int L, bool kGoesOn, class T>
MILLRACE_INLINE void unmix_gates(const Unmixed<T>& at) {
  static_assert(kGatesAtOnce == 4);
  switch (at.gates.size()) {
    case 1:
      return gates_backward<L, 1, kGoesOn>(at);
    case 2:
      return gates_backward<L, 2, kGoesOn>(at);
    case 3:
      return gates_backward<L, 3, kGoesOn>(at);
    default:
      return gates_backward<L, 4, kGoesOn>(at);
  }
}

template <int L, class T>
MILLRACE_INLINE void unmix_all(const Unmixed<T>& at) {
  at.goes_on ? unmix_gates<L, true>(at) : unmix_gates<L, false>(at);
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

/// Values whose e^x are taken together: as many rows as fit.
constexpr int kExponents = 256;

/// softmax_rows of rows of n values, of n known values where kCount is not 0; n ≤ kExponents.
template <int kCount>
void softmax_few(View<const float> u, View<float> g) {
  const int n = kCount == 0 ? u.cols : kCount;
  for (int first = 0; first < u.rows; first += kExponents / n) {
    const int rows = std::min(kExponents / n, u.rows - first);
    float values[kExponents] = {};
    for (int r = 0; r < rows; ++r) {
      const float* const from = u.row(first + r);
      float most = from[0];
      for (int e = 1; e < n; ++e) most = from[e] > most ? from[e] : most;
      for (int e = 0; e < n; ++e) values[r * n + e] = from[e] - most;
    }
    for (int i = 0; i < rows * n; i += kTogether) {
      Vec<float, kTogether> x;
      load(values + i, x);
      exp_all(x);
      store(x, values + i);
    }
    for (int r = 0; r < rows; ++r) {
      float sum = 0;
      for (int e = 0; e < n; ++e) sum += values[r * n + e];
      const float scale = 1 / sum;
      float* const to = g.row(first + r);
      for (int e = 0; e < n; ++e) to[e] = values[r * n + e] * scale;
    }
  }
}

}  // namespace

template <class T>
void softmax_rows(View<const T> u, View<T> g) {
  const int n = u.cols;
  if constexpr (std::is_same_v<T, float>) {
    constexpr void (*kOfFew[])(View<const float>, View<float>) = {
        softmax_few<0>, softmax_few<1>, softmax_few<2>, softmax_few<3>, softmax_few<4>,
        softmax_few<5>, softmax_few<6>, softmax_few<7>, softmax_few<8>};
    if (n <= kExponents) return kOfFew[n <= 8 ? n : 0](u, g);
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
void mix_rows(InstructionSet set, std::span<const MixedGate<T>> gates, const View<const T>* y,
              bool goes_on) {
  MILLRACE_CHECK(!gates.empty() && gates.size() <= kGatesAtOnce);
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) return mix_avx512<T>({gates, y, goes_on});
#endif
  mix_avx2<T>({gates, y, goes_on});
}

template <class T>
void mix_rows_backward(InstructionSet set, std::span<const GateColumn<T>> gates, View<const T> y,
                       bool goes_on, bool masked, View<T> dy) {
  MILLRACE_CHECK(!gates.empty() && gates.size() <= kGatesAtOnce);
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) return unmix_avx512<T>({gates, y, goes_on, masked, dy});
#endif
  unmix_avx2<T>({gates, y, goes_on, masked, dy});
}

template void mix_rows(InstructionSet, std::span<const MixedGate<float>>, const View<const float>*,
                       bool);
template void mix_rows(InstructionSet, std::span<const MixedGate<double>>,
                       const View<const double>*, bool);
template void mix_rows_backward(InstructionSet, std::span<const GateColumn<float>>,
                                View<const float>, bool, bool, View<float>);
template void mix_rows_backward(InstructionSet, std::span<const GateColumn<double>>,
                                View<const double>, bool, bool, View<double>);

}  // namespace millrace
