#include <algorithm>

#include "learner/base/check.h"
#include "learner/device/cpu_backend.h"
#include "learner/device/mixture_kernel.h"
#include "learner/math/activation.h"
#include "learner/math/mixture.h"
#include "learner/math/softmax.h"

namespace millrace {
namespace {

/// Rows of which all experts stay in the first-level cache while all gates read them; and those
/// that stay in the nearer caches while slopes are taken, where a call for each expert is worth
/// some.
constexpr int kMixBlock = 16, kBlock = 64;

/// Slopes of some rows of mixtures.
template <class T>
struct RowSlopes {
  std::span<const MixtureSlopes<T>> mixtures;
  int first, rows;
  bool relu, add;

  /// dy of expert e, and its column of each du.
  void run(int e, View<const T> y, View<T> dy) const {
    GateColumn<T> columns[kGatesAtOnce];
    int count = 0;
    bool set = add;
    const auto unmix = [&](bool masked) {
      mix_rows_backward<T>(best_instruction_set(),
                           std::span(columns).first(static_cast<std::size_t>(count)), y, set,
                           masked, dy);
      set = true;
      count = 0;
    };
    for (const MixtureSlopes<T>& m : mixtures) {
      const int first_gate = m.mixture.first_gate;
      const auto gates = m.mixture.reach.readers(e, first_gate, m.dv.count, m.mixture.g.first.cols);
      for (int gate = gates.begin; gate < gates.end; ++gate) {
        const GateColumn<T> column = column_of(m, gate - first_gate, gates.column);
        if (!m.mixture.reach.teaches(gate, e)) {
          only_gate(y, column);
          continue;
        }
        if (count == kGatesAtOnce) unmix(false);
        columns[count++] = column;
      }
    }
    if (count > 0) return unmix(relu);
    for (int r = 0; r < dy.rows; ++r) {
      if (!set) std::fill_n(dy.row(r), dy.cols, T(0));
      for (int h = 0; relu && h < dy.cols; ++h) dy(r, h) = math::relu_slope(y(r, h), dy(r, h));
    }
  }

  GateColumn<T> column_of(const MixtureSlopes<T>& m, int t, int column) const {
    return {.g = m.mixture.g[t].rows_from(first, rows).cols_from(column, 1),
            .dv = m.dv[t].rows_from(first, rows),
            .a = m.du[t].rows_from(first, rows).cols_from(column, 1)};
  }

  static void only_gate(View<const T> y, const GateColumn<T>& gate) {
    for (int r = 0; r < y.rows; ++r) {
      gate.a(r, 0) = math::gate_slope(y.row(r), gate.dv.row(r), y.cols);
    }
  }
};

}  // namespace

template <class T>
void CpuBackend<T>::mix(const Mixture<T>& m, Stack<T> v) {
  const int n = m.g.first.cols, B = v.first.rows;
  MILLRACE_CHECK(m.g.has_shape(v.count, B, n));
  // Gates of the same experts read them together.
  const int together = m.reach.own == 0 ? kGatesAtOnce : 1;
  View<const T> y[kMixedAtOnce];
  MixedGate<T> gates[kGatesAtOnce];
  for (int r = 0; r < B; r += kMixBlock) {
    const int rows = std::min(kMixBlock, B - r);
    for (int t = 0; t < v.count; t += together) {
      const int last = std::min(v.count, t + together);
      for (int c = 0; c < n; c += kMixedAtOnce) {
        const int count = std::min(kMixedAtOnce, n - c);
        for (int i = 0; i < count; ++i) {
          y[i] = m.y[m.reach.expert(m.first_gate + t, c + i)].rows_from(r, rows);
        }
        for (int i = t; i < last; ++i) {
          gates[i - t] = {m.g[i].rows_from(r, rows).cols_from(c, count), v[i].rows_from(r, rows)};
        }
        mix_rows<T>(best_instruction_set(),
                    std::span(gates).first(static_cast<std::size_t>(last - t)), y, c > 0);
      }
    }
  }
}

template <class T>
void CpuBackend<T>::mix_backward(std::span<const MixtureSlopes<T>> mixtures, bool relu, bool add,
                                 ExpertStack<T> dy) {
  const ExpertStack<const T> y = mixtures[0].mixture.y;
  const int B = mixtures[0].dv.first.rows, E = y.count();
  MILLRACE_CHECK(dy.count() == E);
  for (const MixtureSlopes<T>& m : mixtures) {
    const int n = m.mixture.g.first.cols;
    MILLRACE_CHECK(m.mixture.g.has_shape(m.dv.count, B, n) && m.du.has_shape(m.dv.count, B, n));
    MILLRACE_CHECK(m.dv.first.rows == B && m.mixture.y.count() == E &&
                   m.mixture.y[0].data == y[0].data);
  }
  for (int first = 0; first < B; first += kBlock) {
    const int rows = std::min(kBlock, B - first);
    const RowSlopes<T> slopes{mixtures, first, rows, relu, add};
    for (int e = 0; e < E; ++e) {
      slopes.run(e, y[e].rows_from(first, rows), dy[e].rows_from(first, rows));
    }
    for (const MixtureSlopes<T>& m : mixtures) {
      for (int t = 0; t < m.dv.count; ++t) {
        softmax_rows_backward<T>(m.mixture.g[t].rows_from(first, rows),
                                 m.du[t].rows_from(first, rows));
      }
    }
  }
}

template void CpuBackend<float>::mix(const Mixture<float>&, Stack<float>);
template void CpuBackend<double>::mix(const Mixture<double>&, Stack<double>);
template void CpuBackend<float>::mix_backward(std::span<const MixtureSlopes<float>>, bool, bool,
                                              ExpertStack<float>);
template void CpuBackend<double>::mix_backward(std::span<const MixtureSlopes<double>>, bool, bool,
                                               ExpertStack<double>);

}  // namespace millrace
