#include "learner/base/check.h"
#include "learner/device/cpu_backend.h"
#include "learner/math/gate.h"

namespace millrace {

template <class T>
void CpuBackend<T>::temper(View<const T> rho, T least, Stack<T> u) {
  MILLRACE_CHECK(rho.has_shape(1, u.count));
  for (int i = 0; i < u.count; ++i) {
    scale(u[i], 1 / math::temperature(rho.data[i], least));
  }
}

template <class T>
void CpuBackend<T>::temper_backward(View<const T> rho, T least, Stack<const T> u, bool add,
                                    Stack<T> du, View<T> drho) {
  const int B = u.first.rows, n = u.first.cols;
  MILLRACE_CHECK(rho.has_shape(1, u.count) && du.has_shape(u.count, B, n));
  MILLRACE_CHECK(drho.data == nullptr || drho.has_shape(1, u.count));
  for (int i = 0; i < u.count; ++i) {
    const T tau = math::temperature(rho.data[i], least);
    if (drho.data != nullptr) {
      T sum = 0;
      for (int r = 0; r < B; ++r) sum += math::temperature_slope(u[i].row(r), du[i].row(r), n);
      const T slope = -math::sigmoid(rho.data[i]) * sum / tau;
      drho.data[i] = slope + (add ? drho.data[i] : T(0));
    }
    scale(du[i], 1 / tau);
  }
}

template <class T>
void CpuBackend<T>::drop_weights(View<T> g, T probability, const RandomRows& random) {
  for (int r = 0; r < g.rows; ++r) {
    math::drop_weights(g.row(r), g.cols, [&](int column) {
      return random.at(r, column) < static_cast<double>(probability);
    });
  }
}

template <class T>
void CpuBackend<T>::add_entropy_slope(View<const T> g, T factor, View<T> du) {
  MILLRACE_CHECK(du.has_shape(g.rows, g.cols));
  for (int r = 0; r < g.rows; ++r) math::add_entropy_slope(g.row(r), factor, du.row(r), g.cols);
}

template <class T>
void CpuBackend<T>::add_share_slope(View<const T> g, View<const T> p, T factor, View<T> du) {
  MILLRACE_CHECK(du.has_shape(g.rows, g.cols) && p.has_shape(1, g.cols));
  for (int r = 0; r < g.rows; ++r) {
    math::add_share_slope(g.row(r), p.data, factor, du.row(r), g.cols);
  }
}

template void CpuBackend<float>::temper(View<const float>, float, Stack<float>);
template void CpuBackend<double>::temper(View<const double>, double, Stack<double>);
template void CpuBackend<float>::temper_backward(View<const float>, float, Stack<const float>, bool,
                                                 Stack<float>, View<float>);
template void CpuBackend<double>::temper_backward(View<const double>, double, Stack<const double>,
                                                  bool, Stack<double>, View<double>);
template void CpuBackend<float>::drop_weights(View<float>, float, const RandomRows&);
template void CpuBackend<double>::drop_weights(View<double>, double, const RandomRows&);
template void CpuBackend<float>::add_entropy_slope(View<const float>, float, View<float>);
template void CpuBackend<double>::add_entropy_slope(View<const double>, double, View<double>);
template void CpuBackend<float>::add_share_slope(View<const float>, View<const float>, float,
                                                 View<float>);
template void CpuBackend<double>::add_share_slope(View<const double>, View<const double>, double,
                                                  View<double>);

}  // namespace millrace
