#pragma once

#include "learner/base/view.h"

/// Matrix products in main memory, on the calling thread alone. By oneDNN or by Eigen: CMake builds
/// one of gemm_onednn.cc and gemm_eigen.cc. Inner to device/: everybody else uses a Backend.
///
/// A product is added to c where `add`, otherwise c is overwritten. Outputs never overlap inputs.
/// The same shapes give the same bits, whatever thread calls.
namespace millrace::gemm {

/// Which library multiplies floats: "oneDNN" or "Eigen".
const char* library();

/// c [M,N] (+)= a [M,K] b [K,N]
void nn(View<const float> a, View<const float> b, bool add, View<float> c);
void nn(View<const double> a, View<const double> b, bool add, View<double> c);

/// c [M,N] (+)= a [M,K] bᵀ, b [N,K]
void nt(View<const float> a, View<const float> b, bool add, View<float> c);
void nt(View<const double> a, View<const double> b, bool add, View<double> c);

/// c [M,N] (+)= aᵀ b, a [K,M], b [K,N]
void tn(View<const float> a, View<const float> b, bool add, View<float> c);
void tn(View<const double> a, View<const double> b, bool add, View<double> c);

}  // namespace millrace::gemm
