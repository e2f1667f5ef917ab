#include <algorithm>
#include <type_traits>

#include "learner/base/check.h"
#include "learner/device/cpu_backend.h"
#include "learner/device/vector_exp.h"
#include "learner/math/activation.h"
#include "learner/math/normalise.h"

namespace millrace {

namespace {

/// s = σ(h) of a row.
template <class T>
void sigmoids(const T* h, T* s, int count) {
  int i = 0;
  if constexpr (std::is_same_v<T, float>) {
    for (; i + kTogether <= count; i += kTogether) {
      using V = Vec<float, kTogether>;
      V z;
      load(h + i, z);
      V e = z > 0 ? -z : z;
      exp_all(e);
      store((z > 0 ? V{} + 1.F : e) / (e + 1.F), s + i);
    }
  }
  for (; i < count; ++i) s[i] = math::sigmoid(h[i]);
}

/// Columns whose coefficients stay in registers while all rows pass.
constexpr int kColumns = 16;

template <class T>
struct Columns {
  T mean[kColumns] = {}, inverse[kColumns] = {}, scale[kColumns] = {}, shift[kColumns] = {};

  Columns(const Normalisation<T>& norm, int first, int count) {
    for (int i = 0; i < count; ++i) {
      mean[i] = norm.mean.data[first + i];
      inverse[i] = math::inverse_deviation(norm.variance.data[first + i]);
      scale[i] = norm.scale.data[first + i] * inverse[i];
      shift[i] = norm.shift.data[first + i];
    }
  }
};

}  // namespace

template <class T>
void CpuBackend<T>::normalise(View<const T> a, const Normalisation<T>& norm, View<T> h, View<T> y) {
  const int H = a.cols;
  MILLRACE_CHECK(h.has_shape(a.rows, H) && y.has_shape(a.rows, H) && norm.mean.has_shape(1, H));
  for (int first = 0; first < H; first += kColumns) {
    const int count = std::min(kColumns, H - first);
    const Columns<T> of(norm, first, count);
    for (int r = 0; r < a.rows; ++r) {
      const T* from = a.row(r) + first;
      T *to = h.row(r) + first, *out = y.row(r) + first;
      for (int i = 0; i < count; ++i) {
        to[i] = of.scale[i] * (from[i] - of.mean[i]) + of.shift[i];
      }
      sigmoids(to, out, count);
      for (int i = 0; i < count; ++i) out[i] = math::swish(to[i], out[i]);
    }
  }
}

template <class T>
void CpuBackend<T>::swish_backward(View<const T> h, View<T> dy) {
  MILLRACE_CHECK(dy.has_shape(h.rows, h.cols));
  for (int r = 0; r < h.rows; ++r) {
    const T* from = h.row(r);
    T* slope = dy.row(r);
    for (int first = 0; first < h.cols; first += kColumns) {
      const int count = std::min(kColumns, h.cols - first);
      T s[kColumns];
      sigmoids(from + first, s, count);
      for (int i = 0; i < count; ++i) {
        slope[first + i] *= math::swish_slope(from[first + i], s[i]);
      }
    }
  }
}

template <class T>
void CpuBackend<T>::normalise_backward(View<const T> a, const Normalisation<T>& norm, bool add,
                                       View<T> dscale, View<T> dshift, View<T> dh) {
  const int H = a.cols;
  MILLRACE_CHECK(dh.has_shape(a.rows, H) && norm.mean.has_shape(1, H));
  const bool learns = dscale.data != nullptr;
  MILLRACE_CHECK(!learns || (dscale.has_shape(1, H) && dshift.has_shape(1, H)));
  for (int first = 0; first < H; first += kColumns) {
    const int count = std::min(kColumns, H - first);
    const Columns<T> of(norm, first, count);
    T in_scale[kColumns] = {}, in_shift[kColumns] = {};
    for (int r = 0; r < a.rows; ++r) {
      const T* from = a.row(r) + first;
      T* slope = dh.row(r) + first;
      for (int i = 0; i < count; ++i) {
        in_scale[i] += slope[i] * (from[i] - of.mean[i]);
        in_shift[i] += slope[i];
        slope[i] *= of.scale[i];
      }
    }
    for (int i = 0; learns && i < count; ++i) {
      T &scale = dscale.data[first + i], &shift = dshift.data[first + i];
      scale = in_scale[i] * of.inverse[i] + (add ? scale : T(0));
      shift = in_shift[i] + (add ? shift : T(0));
    }
  }
}

template <class T>
void CpuBackend<T>::add_deviations(View<const T> a, View<const T> mean, View<T> sum,
                                   View<T> squares) {
  const int H = a.cols;
  MILLRACE_CHECK(mean.has_shape(1, H) && sum.has_shape(1, H) && squares.has_shape(1, H));
  for (int r = 0; r < a.rows; ++r) {
    const T* row = a.row(r);
    for (int i = 0; i < H; ++i) {
      const T deviation = row[i] - mean.data[i];
      sum.data[i] += deviation;
      squares.data[i] += deviation * deviation;
    }
  }
}

template <class T>
void CpuBackend<T>::rectify(View<T> y) {
  for (int r = 0; r < y.rows; ++r) {
    T* row = y.row(r);
    for (int i = 0; i < y.cols; ++i) row[i] = math::relu(row[i]);
  }
}

template void CpuBackend<float>::normalise(View<const float>, const Normalisation<float>&,
                                           View<float>, View<float>);
template void CpuBackend<double>::normalise(View<const double>, const Normalisation<double>&,
                                            View<double>, View<double>);
template void CpuBackend<float>::swish_backward(View<const float>, View<float>);
template void CpuBackend<double>::swish_backward(View<const double>, View<double>);
template void CpuBackend<float>::normalise_backward(View<const float>, const Normalisation<float>&,
                                                    bool, View<float>, View<float>, View<float>);
template void CpuBackend<double>::normalise_backward(View<const double>,
                                                     const Normalisation<double>&, bool,
                                                     View<double>, View<double>, View<double>);
template void CpuBackend<float>::add_deviations(View<const float>, View<const float>, View<float>,
                                                View<float>);
template void CpuBackend<double>::add_deviations(View<const double>, View<const double>,
                                                 View<double>, View<double>);
template void CpuBackend<float>::rectify(View<float>);
template void CpuBackend<double>::rectify(View<double>);

}  // namespace millrace
