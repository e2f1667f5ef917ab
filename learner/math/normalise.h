#pragma once

#include <cmath>

#include "learner/base/host_device.h"

/// The normalisation of an expert's unit by running statistics (algorithms 2.3; the expert of HoME,
/// Wang et al. 2024, arXiv 2408.05430: Swish of a normalised last layer), for one element:
///
///   h = γ (a − μ) / √(v + ε) + β,   y = swish(h)
///
/// μ and v are constants of a step: no slope goes through them.
namespace millrace::math {

/// ε, as in batch normalisation (Ioffe and Szegedy 2015).
inline constexpr double kNormEpsilon = 1e-5;

template <class T>
MILLRACE_HD T inverse_deviation(T variance) {
  using std::sqrt;
  return 1 / sqrt(variance + static_cast<T>(kNormEpsilon));
}

}  // namespace millrace::math
