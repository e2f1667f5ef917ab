#include <algorithm>

#include "learner/base/check.h"
#include "learner/device/cpu_backend.h"
#include "learner/device/mixture_kernel.h"
#include "learner/math/activation.h"
#include "learner/math/mixture.h"
#include "learner/math/softmax.h"

namespace millrace {
namespace {

/// Rows that stay in the nearer caches while all gates read them; a call for each expert is worth
/// some.
constexpr int kBlock = 64;

/// Rows [first, first + count) of all matrices of a stack.
template <class T>
Stack<T> rows_of(Stack<T> stack, int first, int count) {
  return {stack.first.rows_from(first, count), stack.count, stack.step};
}

/// One column of the matrices [first, first + count) of a stack.
template <class T>
Stack<T> column_of(Stack<T> stack, int column, int first, int count) {
  return {stack[first].cols_from(column, 1), count, stack.step};
}

/// Slopes of some rows of a mixture.
template <class T>
struct RowSlopes {
  const Mixture<T>& mixture;
  Stack<const T> g, dv;
  bool relu, add;
  Stack<T> du;

  /// dy of expert e, and its column of du.
  void run(int e, View<const T> y, View<T> dy) const {
    const math::GateReach& reach = mixture.reach;
    const auto gates = reach.readers(e, mixture.first_gate, dv.count, g.first.cols);
    bool set = add, masked = !relu;
    // All gates that teach stand side by side: all of them, or one.
    for (int gate = gates.begin, end; gate < gates.end; gate = end) {
      const int t = gate - mixture.first_gate;
      const bool teaches = reach.teaches(gate, e);
      for (end = gate + 1; end < gates.end && reach.teaches(end, e) == teaches;) ++end;
      const Stack<const T> slopes(dv[t], end - gate, dv.step);
      const Stack<T> u = column_of(du, gates.column, t, end - gate);
      if (!teaches) {
        only_gates(y, slopes, u);
        continue;
      }
      // forward: v_t[h] += g_t[e] y_e[h]
      const bool last = relu && end == gates.end;
      mix_rows_backward(best_instruction_set(), column_of(g, gates.column, t, end - gate), y,
                        slopes, set, last, u, dy);
      set = true;
      masked |= last;
    }
    for (int r = 0; r < dy.rows && !(set && masked); ++r) {
      if (!set) std::fill_n(dy.row(r), dy.cols, T(0));
      for (int h = 0; !masked && h < dy.cols; ++h) dy(r, h) = math::relu_slope(y(r, h), dy(r, h));
    }
  }

  static void only_gates(View<const T> y, Stack<const T> dv, Stack<T> u) {
    for (int t = 0; t < dv.count; ++t) {
      for (int r = 0; r < y.rows; ++r) {
        u[t](r, 0) = math::gate_slope(y.row(r), dv[t].row(r), y.cols);
      }
    }
  }
};

}  // namespace

template <class T>
void CpuBackend<T>::mix(const Mixture<T>& m, Stack<T> v) {
  const int n = m.g.first.cols, B = v.first.rows;
  MILLRACE_CHECK(m.g.has_shape(v.count, B, n));
  View<const T> y[kMixedAtOnce];
  for (int r = 0; r < B; r += kBlock) {
    const int rows = std::min(kBlock, B - r);
    for (int t = 0; t < v.count; ++t) {
      for (int c = 0; c < n; c += kMixedAtOnce) {
        const int count = std::min(kMixedAtOnce, n - c);
        for (int i = 0; i < count; ++i) {
          y[i] = m.y[m.reach.expert(m.first_gate + t, c + i)].rows_from(r, rows);
        }
        mix_rows(best_instruction_set(), m.g[t].rows_from(r, rows).cols_from(c, count), y, c > 0,
                 v[t].rows_from(r, rows));
      }
    }
  }
}

template <class T>
void CpuBackend<T>::mix_backward(const Mixture<T>& m, Stack<const T> dv, Stack<const T> dg,
                                 bool relu, bool add, Stack<T> du, ExpertStack<T> dy) {
  const int n = m.g.first.cols, B = dv.first.rows, E = m.y.count();
  MILLRACE_CHECK(m.g.has_shape(dv.count, B, n) && du.has_shape(dv.count, B, n));
  MILLRACE_CHECK(dg.first.data == nullptr || dg.has_shape(dv.count, B, n));
  MILLRACE_CHECK(dy.count() == E);
  for (int first = 0; first < B; first += kBlock) {
    const int rows = std::min(kBlock, B - first);
    const RowSlopes<T> slopes{m,   rows_of(m.g, first, rows), rows_of(dv, first, rows), relu,
                              add, rows_of(du, first, rows)};
    for (int e = 0; e < E; ++e) {
      slopes.run(e, m.y[e].rows_from(first, rows), dy[e].rows_from(first, rows));
    }
    for (int t = 0; t < dv.count; ++t) {
      const View<T> slope = slopes.du[t];
      for (int r = 0; dg.first.data != nullptr && r < rows; ++r) {
        math::mix_add(T(1), dg[t].row(first + r), slope.row(r), n);
      }
      softmax_rows_backward<T>(slopes.g[t], slope);
    }
  }
}

template void CpuBackend<float>::mix(const Mixture<float>&, Stack<float>);
template void CpuBackend<double>::mix(const Mixture<double>&, Stack<double>);
template void CpuBackend<float>::mix_backward(const Mixture<float>&, Stack<const float>,
                                              Stack<const float>, bool, bool, Stack<float>,
                                              ExpertStack<float>);
template void CpuBackend<double>::mix_backward(const Mixture<double>&, Stack<const double>,
                                               Stack<const double>, bool, bool, Stack<double>,
                                               ExpertStack<double>);

}  // namespace millrace
