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

bool library_is_faster(int N, int K, bool finished) {
  // Our kernel has AVX2's registers. With those, a library's packing pays for wide products alone
  // (tests/bench/learner_bench.cc).
  static const bool wider_registers = __builtin_cpu_supports("avx512f");
  return wider_registers || N > (finished ? 512 : 256) || K > 512;
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
