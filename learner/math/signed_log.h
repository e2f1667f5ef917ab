#pragma once

#include <cmath>

/// The transform `log1p` of features and labels, for numbers of either sign, and its inverse.
namespace millrace::math {

/// sign(x) · log1p(|x|)
inline double signed_log1p(double x) { return std::copysign(std::log1p(std::fabs(x)), x); }

/// sign(y) · expm1(|y|)
inline double signed_expm1(double y) { return std::copysign(std::expm1(std::fabs(y)), y); }

}  // namespace millrace::math
