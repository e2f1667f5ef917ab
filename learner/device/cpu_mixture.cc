#include <algorithm>

#include "learner/base/check.h"
#include "learner/device/cpu_backend.h"
#include "learner/math/activation.h"
#include "learner/math/mixture.h"
#include "learner/math/softmax.h"

namespace millrace {
namespace {

/// Gate t's slopes and values of one row, and all its experts'.
template <class T>
struct RowSlopes {
  const Mixture<T>& mixture;
  Stack<const T> dv;
  bool relu, add;
  Stack<T> du;
  const ExpertStack<T>& dy;

  /// dy of expert e, and its column of du, of row r.
  void run(int r, int e) const {
    const math::GateReach& reach = mixture.reach;
    const int H = dv.first.cols;
    const T* y = mixture.y[e].row(r);
    T* slope = dy[e].row(r);
    const auto gates = reach.readers(e, mixture.first_gate, dv.count, mixture.g.first.cols);
    bool set = add;
    for (int gate = gates.begin; gate < gates.end; ++gate) {
      const int t = gate - mixture.first_gate;
      const T* dv_r = dv[t].row(r);
      T& u = du[t](r, gates.column);
      if (!reach.teaches(gate, e)) {
        u = math::gate_slope(y, dv_r, H);
        continue;
      }
      // forward: v_t[h] += g_t[e] y_e[h]
      u = math::mix_slopes(mixture.g[t](r, gates.column), y, dv_r, set, slope, H);
      set = true;
    }
    if (!set) std::fill_n(slope, H, T(0));
    if (!relu) return;
    for (int h = 0; h < H; ++h) slope[h] = math::relu_slope(y[h], slope[h]);
  }
};

}  // namespace

template <class T>
void CpuBackend<T>::mix(const Mixture<T>& m, Stack<T> v) {
  const int H = v.first.cols, n = m.g.first.cols;
  MILLRACE_CHECK(m.g.has_shape(v.count, v.first.rows, n));
  for (int r = 0; r < v.first.rows; ++r) {
    for (int t = 0; t < v.count; ++t) {
      const T* g = m.g[t].row(r);
      T* v_r = v[t].row(r);
      for (int c = 0; c < n; ++c) {
        const T* y = m.y[m.reach.expert(m.first_gate + t, c)].row(r);
        if (c == 0) {
          math::mix_set(g[c], y, v_r, H);
        } else {
          math::mix_add(g[c], y, v_r, H);
        }
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
  const RowSlopes<T> slopes{m, dv, relu, add, du, dy};
  for (int r = 0; r < B; ++r) {
    for (int e = 0; e < E; ++e) slopes.run(r, e);
    for (int t = 0; t < dv.count; ++t) {
      T* du_r = du[t].row(r);
      if (dg.first.data != nullptr) math::mix_add(T(1), dg[t].row(r), du_r, n);
      math::softmax_backward(m.g[t].row(r), du_r, n);
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
