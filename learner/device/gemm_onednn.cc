#include <dnnl.h>
#include <omp.h>

#include <stdexcept>

#include "learner/device/gemm.h"

namespace millrace::gemm {
namespace {

void multiply(char transpose_a, char transpose_b, long depth, View<const float> a,
              View<const float> b, bool add, View<float> c) {
  // The library would start OpenMP threads of its own; rows are cut by us, and the setting is each
  // thread's.
  thread_local const bool alone = (omp_set_num_threads(1), true);
  static_cast<void>(alone);
  const dnnl_status_t status =
      dnnl_sgemm(transpose_a, transpose_b, c.rows, c.cols, depth, 1, a.data, a.stride, b.data,
                 b.stride, add ? 1 : 0, c.data, c.stride);
  if (status != dnnl_success) throw std::runtime_error("oneDNN refused a matrix product");
}

/// Plain loops: doubles are for checks of the mathematics, not for speed.
template <class A, class B>
void multiply(A a, B b, int depth, bool add, View<double> c) {
  for (int m = 0; m < c.rows; ++m) {
    for (int n = 0; n < c.cols; ++n) {
      double sum = 0;
      for (int k = 0; k < depth; ++k) sum += a(m, k) * b(k, n);
      c(m, n) = add ? c(m, n) + sum : sum;
    }
  }
}

}  // namespace

const char* library() { return "oneDNN"; }

void nn(View<const float> a, View<const float> b, bool add, View<float> c) {
  multiply('N', 'N', a.cols, a, b, add, c);
}
void nt(View<const float> a, View<const float> b, bool add, View<float> c) {
  multiply('N', 'T', a.cols, a, b, add, c);
}
void tn(View<const float> a, View<const float> b, bool add, View<float> c) {
  multiply('T', 'N', a.rows, a, b, add, c);
}

void nn(View<const double> a, View<const double> b, bool add, View<double> c) {
  multiply([&](int m, int k) { return a(m, k); }, [&](int k, int n) { return b(k, n); }, a.cols,
           add, c);
}
void nt(View<const double> a, View<const double> b, bool add, View<double> c) {
  multiply([&](int m, int k) { return a(m, k); }, [&](int k, int n) { return b(n, k); }, a.cols,
           add, c);
}
void tn(View<const double> a, View<const double> b, bool add, View<double> c) {
  multiply([&](int m, int k) { return a(k, m); }, [&](int k, int n) { return b(k, n); }, a.rows,
           add, c);
}

}  // namespace millrace::gemm
