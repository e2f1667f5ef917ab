#include "learner/device/mixture_kernel.h"

#include <cstring>

#include "learner/math/activation.h"

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

}  // namespace

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
