#include <Eigen/Core>

#include "learner/device/gemm.h"

namespace millrace::gemm {
namespace {

template <class T>
using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class T>
Eigen::Map<const Rows<T>, 0, Eigen::OuterStride<>> map(View<const T> v) {
  return {v.data, v.rows, v.cols, Eigen::OuterStride<>(v.stride)};
}

template <class T>
void store(const auto& product, bool add, View<T> c) {
  Eigen::Map<Rows<T>, 0, Eigen::OuterStride<>> to(c.data, c.rows, c.cols,
                                                  Eigen::OuterStride<>(c.stride));
  if (add) {
    to.noalias() += product;
  } else {
    to.noalias() = product;
  }
}

}  // namespace

const char* library() { return "Eigen"; }

void nn(View<const float> a, View<const float> b, bool add, View<float> c) {
  store(map(a) * map(b), add, c);
}
void nn(View<const double> a, View<const double> b, bool add, View<double> c) {
  store(map(a) * map(b), add, c);
}
void nt(View<const float> a, View<const float> b, bool add, View<float> c) {
  store(map(a) * map(b).transpose(), add, c);
}
void nt(View<const double> a, View<const double> b, bool add, View<double> c) {
  store(map(a) * map(b).transpose(), add, c);
}
void tn(View<const float> a, View<const float> b, bool add, View<float> c) {
  store(map(a).transpose() * map(b), add, c);
}
void tn(View<const double> a, View<const double> b, bool add, View<double> c) {
  store(map(a).transpose() * map(b), add, c);
}

}  // namespace millrace::gemm
