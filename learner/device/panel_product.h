#pragma once

#include "learner/base/view.h"
#include "learner/device/instruction_set.h"

/// Our own matrix product, for matrices so narrow that a library spends its time on packing, and
/// for what rides along: bias, ReLU and its mask are applied while a result is in registers.
/// Inner to device/.
namespace millrace::gemm {

/// A matrix read by strides: element (r, c) at data[r·down + c·across]; so also a transpose.
template <class T>
struct Strided {
  const T* data;
  long down;
  long across;
};
template <class T>
Strided<T> plain(View<const T> v) {
  return {v.data, v.stride, 1};
}
template <class T>
Strided<T> transposed(View<const T> v) {
  return {v.data, 1, v.stride};
}

/// What is done to each result c(r, h) before it is stored, in this order.
template <class T>
struct Epilogue {
  const T* bias = nullptr;  ///< Added in the columns h < `biased`.
  int biased = 0;
  int relu = 0;          ///< max(·, 0) in the columns h < `relu`.
  View<const T> mask{};  ///< 0 where mask(r, h) ≤ 0; none without data.
};

/// Where the sums of b's rows go, as a bias's gradient: Σ_k b(k, h) of the columns h < `count`,
/// or, with `add`, the value there plus it.
template <class T>
struct RowSums {
  T* data = nullptr;
  int count = 0;
  bool add = false;
};

/// c [M,N] = epilogue(a [M,K] b [K,N]); with `add`, epilogue(c + a b).
/// Requires: b is stored by rows or by columns (one of its strides is 1).
///
/// Each element is one running sum over k in order, beginning with c where `add`: its bits depend
/// neither on the rows or columns beside it nor on the instruction set; so of `sums`, for which
/// M > 0. Memory: 256 KiB a thread, taken at the thread's first call.
template <class T>
void panel_product(int K, Strided<T> a, Strided<T> b, bool add, const Epilogue<T>& epilogue,
                   View<T> c, const RowSums<T>& sums = {});

/// The same by one of this processor's instruction sets.
template <class T>
void panel_product(InstructionSet set, int K, Strided<T> a, Strided<T> b, bool add,
                   const Epilogue<T>& epilogue, View<T> c, const RowSums<T>& sums = {});

/// to = fromᵀ
template <class T>
void transpose(View<const T> from, View<T> to);

}  // namespace millrace::gemm
