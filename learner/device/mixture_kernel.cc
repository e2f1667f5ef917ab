#include "learner/device/mixture_kernel.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "learner/math/activation.h"
#include "learner/math/softmax.h"

namespace millrace {
namespace {

/// Eight values: the running sums of math::gate_slope, whatever the processor's registers hold.
constexpr int kLanes = 8;
template <class T>
struct Register {
  typedef T Type __attribute__((vector_size(kLanes * sizeof(T))));
};
template <class T>
using Vec = typename Register<T>::Type;

template <class T>
[[gnu::always_inline]] inline void load(const T* from, Vec<T>& v) {
  std::memcpy(&v, from, sizeof v);
}
template <class T>
[[gnu::always_inline]] inline void store(const Vec<T>& v, T* to) {
  std::memcpy(to, &v, sizeof v);
}

/// In the order of math::gate_slope.
template <class T>
[[gnu::always_inline]] inline auto total(const T& s) {
  return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

/// V registers of one row's mixture of n experts.
template <int V, class T>
[[gnu::always_inline]] inline void mix_registers(const T* g, const T* const* y, int n, int h,
                                                 bool goes_on, T* v) {
  Vec<T> sums[V];
#pragma GCC unroll 8
  for (int i = 0; i < V; ++i) {
    load(y[0] + h + i * kLanes, sums[i]);
    if (goes_on) {
      Vec<T> before;
      load(v + h + i * kLanes, before);
      sums[i] = before + g[0] * sums[i];
    } else {
      sums[i] *= g[0];
    }
  }
  for (int c = 1; c < n; ++c) {
#pragma GCC unroll 8
    for (int i = 0; i < V; ++i) {
      Vec<T> y_c;
      load(y[c] + h + i * kLanes, y_c);
      sums[i] += g[c] * y_c;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < V; ++i) store(sums[i], v + h + i * kLanes);
}

template <class T>
void mix_row(const T* g, const T* const* y, int n, bool goes_on, T* v, int H) {
  int h = 0;
  for (; h + 8 * kLanes <= H; h += 8 * kLanes) mix_registers<8>(g, y, n, h, goes_on, v);
  for (; h + kLanes <= H; h += kLanes) mix_registers<1>(g, y, n, h, goes_on, v);
  for (; h < H; ++h) {
    T sum = goes_on ? v[h] + g[0] * y[0][h] : g[0] * y[0][h];
    for (int c = 1; c < n; ++c) sum += g[c] * y[c][h];
    v[h] = sum;
  }
}

/// One row of one expert, as far as N gates go.
template <class T>
struct ExpertRow {
  const T* y;
  T* dy;
  int H;
  bool goes_on;  ///< dy holds what other gates gave.
  bool masked;   ///< The ReLU whose output y is; no other gate comes after these.
};

/// `dv` and `slopes` of the gates, `weight` theirs of this expert.
template <int N, class T>
[[gnu::always_inline]] inline void expert_backward(const ExpertRow<T> at, const T* const (&dv)[N],
                                                   const T (&weight)[N], T (&slopes)[N]) {
  Vec<T> products[N];
#pragma GCC unroll 4
  for (int t = 0; t < N; ++t) products[t] = Vec<T>{};
  const Vec<T> zero{};
  int h = 0;
  for (; h + kLanes <= at.H; h += kLanes) {
    Vec<T> y, sum, slope;
    load(at.y + h, y);
    load(dv[0] + h, slope);
    products[0] += y * slope;
    sum = weight[0] * slope;
    if (at.goes_on) {
      load(at.dy + h, sum);
      sum += weight[0] * slope;
    }
#pragma GCC unroll 4
    for (int t = 1; t < N; ++t) {
      load(dv[t] + h, slope);
      products[t] += y * slope;
      sum += weight[t] * slope;
    }
    if (at.masked) sum = y > zero ? sum : zero;
    store(sum, at.dy + h);
  }
#pragma GCC unroll 4
  for (int t = 0; t < N; ++t) {
    for (int i = 0; h + i < at.H; ++i) products[t][i] += at.y[h + i] * dv[t][h + i];
    slopes[t] = total(products[t]);
  }
  for (; h < at.H; ++h) {
    T sum = weight[0] * dv[0][h];
    if (at.goes_on) sum = at.dy[h] + sum;
    for (int t = 1; t < N; ++t) sum += weight[t] * dv[t][h];
    at.dy[h] = at.masked ? math::relu_slope(at.y[h], sum) : sum;
  }
}

/// All rows, as far as the gates [first, first + N) go.
template <int N, class T>
void gates_backward(Stack<const T> g, View<const T> y, Stack<const T> dv, int first, bool goes_on,
                    bool masked, Stack<T> a, View<T> dy) {
  for (int r = 0; r < y.rows; ++r) {
    const T* dv_r[N];
    T weight[N], slopes[N];
#pragma GCC unroll 4
    for (int t = 0; t < N; ++t) {
      dv_r[t] = dv[first + t].row(r);
      weight[t] = g[first + t](r, 0);
    }
    expert_backward<N, T>({y.row(r), dy.row(r), y.cols, goes_on, masked}, dv_r, weight, slopes);
#pragma GCC unroll 4
    for (int t = 0; t < N; ++t) a[first + t](r, 0) = slopes[t];
  }
}

/// e^x of eight values x ≤ 0: 2^n e^r with |r| ≤ ln 2 / 2 (the polynomial is Cephes'). 0 below the
/// least normal number, NaN of a NaN.
[[gnu::always_inline]] inline void exp_all(Vec<float>& x) {
  using Whole = int __attribute__((vector_size(kLanes * sizeof(int))));
  constexpr float kRound = 12582912.F;  // 1.5 · 2²³: adding it leaves no fraction
  constexpr float kLeast = -87.F;
  const Vec<float> inside = x < kLeast ? Vec<float>{} + kLeast : x;
  const Vec<float> n = (inside * 1.44269504F + kRound) - kRound;
  Vec<float> r = inside - n * 0.693359375F;
  r -= n * -2.12194440e-4F;
  Vec<float> p = Vec<float>{} + 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.F;
  const Whole exponent = (__builtin_convertvector(n, Whole) + 127) << 23;
  Vec<float> power;
  std::memcpy(&power, &exponent, sizeof power);
  const Vec<float> value = p * power;
  x = x < kLeast ? Vec<float>{} : (x == x ? value : x);
}

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
      for (int i = 0; i < rows * n; i += kLanes) {
        Vec<T> x;
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

template <class T>
void mix_rows(View<const T> g, const View<const T>* y, bool goes_on, View<T> v) {
  const T* row[kMixedAtOnce];
  for (int r = 0; r < v.rows; ++r) {
    for (int c = 0; c < g.cols; ++c) row[c] = y[c].row(r);
    mix_row(g.row(r), row, g.cols, goes_on, v.row(r), v.cols);
  }
}

template <class T>
void mix_rows_backward(Stack<const T> g, View<const T> y, Stack<const T> dv, bool goes_on,
                       bool masked, Stack<T> a, View<T> dy) {
  for (int t = 0; t < dv.count; t += 4) {
    const bool on = goes_on || t > 0, last = masked && t + 4 >= dv.count;
    const int left = dv.count - t;
    if (left == 1) gates_backward<1>(g, y, dv, t, on, last, a, dy);
    if (left == 2) gates_backward<2>(g, y, dv, t, on, last, a, dy);
    if (left == 3) gates_backward<3>(g, y, dv, t, on, last, a, dy);
    if (left >= 4) gates_backward<4>(g, y, dv, t, on, last, a, dy);
  }
}

template void mix_rows(View<const float>, const View<const float>*, bool, View<float>);
template void mix_rows(View<const double>, const View<const double>*, bool, View<double>);
template void mix_rows_backward(Stack<const float>, View<const float>, Stack<const float>, bool,
                                bool, Stack<float>, View<float>);
template void mix_rows_backward(Stack<const double>, View<const double>, Stack<const double>, bool,
                                bool, Stack<double>, View<double>);

}  // namespace millrace
