#include <dnnl.h>

#include <stdexcept>

#include "learner/device/gemm.h"

// Of the OpenMP library that oneDNN runs on; its header belongs to one compiler alone.
extern "C" void omp_set_num_threads(int);

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

}  // namespace

const char* library() { return "oneDNN"; }

bool library_is_faster(int M, int N, int K, bool finished) {
  // Measured by tests/bench/learner_bench.cc: packing both factors pays for wide and deep products,
  // and where rows are so many lines apart that our kernel finds few of them in the cache.
  return M >= 24 && (N > 512 || K > 512 || N % 256 == 0 || (!finished && N > 320));
}

void nn(View<const float> a, View<const float> b, bool add, View<float> c) {
  multiply('N', 'N', a.cols, a, b, add, c);
}
void nt(View<const float> a, View<const float> b, bool add, View<float> c) {
  multiply('N', 'T', a.cols, a, b, add, c);
}
void tn(View<const float> a, View<const float> b, bool add, View<float> c) {
  multiply('T', 'N', a.rows, a, b, add, c);
}

}  // namespace millrace::gemm
