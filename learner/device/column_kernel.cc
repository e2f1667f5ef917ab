#include "learner/device/column_kernel.h"

#include <cstring>

#include "learner/device/running_sums.h"

namespace millrace::gemm {
namespace {

template <int L, class T>
MILLRACE_INLINE void dot_rows(View<const T> x, const T* w, View<T> y) {
  constexpr int kRegisters = kSums / L;
  const int whole = x.cols / kSums * kSums;
  const std::size_t rest = static_cast<std::size_t>(x.cols - whole) * sizeof(T);
  for (int r = 0; r < x.rows; ++r) {
    const T* const row = x.row(r);
    Vec<T, L> sums[kRegisters] = {}, left[kRegisters], right[kRegisters];
    for (int h = 0; h < whole; h += kSums) {
      load(row + h, left);
      load(w + h, right);
#pragma GCC unroll 4
      for (int i = 0; i < kRegisters; ++i) sums[i] += left[i] * right[i];
    }
    if (rest > 0) {
      T padded[2][kSums] = {};
      std::memcpy(padded[0], row + whole, rest);
      std::memcpy(padded[1], w + whole, rest);
      load(padded[0], left);
      load(padded[1], right);
#pragma GCC unroll 4
      for (int i = 0; i < kRegisters; ++i) sums[i] += left[i] * right[i];
    }
    y(r, 0) = total<L, T>(sums);
  }
}

#if defined(__x86_64__)
template <class T>
MILLRACE_AVX512 void dot_rows_avx512(View<const T> x, const T* w, View<T> y) {
  dot_rows<kWideLanes<T>>(x, w, y);
}
#endif

}  // namespace

template <class T>
void times_column(InstructionSet set, View<const T> x, const T* w, View<T> y) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) return dot_rows_avx512(x, w, y);
#endif
  dot_rows<kLanes<T>>(x, w, y);
}

template void times_column(InstructionSet, View<const float>, const float*, View<float>);
template void times_column(InstructionSet, View<const double>, const double*, View<double>);

}  // namespace millrace::gemm
