#pragma once

#include <cmath>

#include "learner/base/host_device.h"

/// Activations and their slopes for one element.
namespace millrace::math {

/// max(z, 0); a NaN stays a NaN, so that it is found in the loss.
template <class T>
MILLRACE_HD T relu(T z) {
  return z < 0 ? T(0) : z;
}

/// From the slope in y = relu(z) to the slope in z; y itself says where z was positive.
template <class T>
MILLRACE_HD T relu_slope(T y, T dy) {
  return y > 0 ? dy : T(0);
}

/// σ(z) = 1 / (1 + e^{−z}), without overflow for any z.
template <class T>
MILLRACE_HD T sigmoid(T z) {
  using std::exp;
  if (z >= 0) return 1 / (1 + exp(-z));
  const T e = exp(z);
  return e / (1 + e);
}

/// sp(z) = log(1 + e^z) = max(z, 0) + log1p(e^{−|z|}); −sp(−z) = log σ(z), −sp(z) = log(1 − σ(z)).
template <class T>
MILLRACE_HD T softplus(T z) {
  using std::exp;
  using std::fabs;
  using std::log1p;
  return (z > 0 ? z : T(0)) + log1p(exp(-fabs(z)));
}

/// swish(z) = z σ(z) (Ramachandran et al. 2017), and its slope; s = σ(z).
template <class T>
MILLRACE_HD T swish(T z, T s) {
  return z * s;
}
template <class T>
MILLRACE_HD T swish_slope(T z, T s) {
  return s * (1 + z * (1 - s));
}

}  // namespace millrace::math
