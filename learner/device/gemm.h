#pragma once

#include "learner/base/view.h"

/// Matrix products of a library, in main memory and on the calling thread alone: oneDNN or Eigen.
/// CMake builds one of gemm_onednn.cc and gemm_eigen.cc. Inner to device/: everybody else uses a
/// Backend, which gives narrow products to panel_product.h and those of bf16 to bf16_product.h.
///
/// A product is added to c where `add`, otherwise c is overwritten. Outputs never overlap inputs.
/// The same shapes give the same bits, whatever thread calls.
namespace millrace::gemm {

/// Which library it is: "oneDNN" or "Eigen".
const char* library();

/// Whether the library is faster than our own product c [M,N] of depth K; `finished`: bias, ReLU or
/// mask follow, which take the library's user another pass.
bool library_is_faster(int M, int N, int K, bool finished);

/// c [M,N] (+)= a [M,K] b [K,N]
void nn(View<const float> a, View<const float> b, bool add, View<float> c);

/// c [M,N] (+)= a [M,K] bᵀ, b [N,K]
void nt(View<const float> a, View<const float> b, bool add, View<float> c);

/// c [M,N] (+)= aᵀ b, a [K,M], b [K,N]
void tn(View<const float> a, View<const float> b, bool add, View<float> c);

}  // namespace millrace::gemm
