#include <Eigen/Core>

#include "learner/device/gemm.h"

namespace millrace::gemm {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const Rows, 0, Eigen::OuterStride<>> map(View<const float> v) {
  return {v.data, v.rows, v.cols, Eigen::OuterStride<>(v.stride)};
}

void store(const auto& product, bool add, View<float> c) {
  Eigen::Map<Rows, 0, Eigen::OuterStride<>> to(c.data, c.rows, c.cols,
                                               Eigen::OuterStride<>(c.stride));
  if (add) {
    to.noalias() += product;
  } else {
    to.noalias() = product;
  }
}

}  // namespace

const char* library() { return "Eigen"; }

bool library_is_faster(int M, int N, int K, bool finished) {
  // Measured by tests/bench/learner_bench.cc: packing both factors pays for wide and deep products,
  // and where rows are so many lines apart that our kernel finds few of them in the cache.
  return M >= 24 && (N > 512 || K > 512 || N % 256 == 0 || (!finished && N > 320));
}

void nn(View<const float> a, View<const float> b, bool add, View<float> c) {
  store(map(a) * map(b), add, c);
}
void nt(View<const float> a, View<const float> b, bool add, View<float> c) {
  store(map(a) * map(b).transpose(), add, c);
}
void tn(View<const float> a, View<const float> b, bool add, View<float> c) {
  store(map(a).transpose() * map(b), add, c);
}

}  // namespace millrace::gemm
