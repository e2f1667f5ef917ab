#pragma once

#include <cmath>

#include "learner/base/host_device.h"
#include "learner/math/activation.h"

/// Losses of one row and one task: from its own output z and its label y to the value and to the
/// slope dℓ/dz. Masks, weights and normalisation are the caller's (algorithms: task loss, PLE
/// eq. 9).
namespace millrace::math {

/// A loss and its slope in z.
template <class T>
struct Loss {
  T value;
  T slope;
};

/// Binary cross-entropy of a logit: ℓ = sp(z) − y z, dℓ/dz = σ(z) − y. Finite for every finite z.
template <class T>
MILLRACE_HD Loss<T> bce(T z, T y) {
  using std::exp;
  using std::fabs;
  using std::log1p;
  // softplus(z) and sigmoid(z) to the bit, by one exponential.
  const T e = exp(-fabs(z));
  return {(z > 0 ? z : T(0)) + log1p(e) - y * z, (z >= 0 ? 1 : e) / (1 + e) - y};
}

/// Squared error: ℓ = (z − y)², dℓ/dz = 2 (z − y). Uncertainty weighting's ½ belongs to this ℓ.
template <class T>
MILLRACE_HD Loss<T> squared(T z, T y) {
  return {(z - y) * (z - y), 2 * (z - y)};
}

/// Huber's loss (1964), twice his so that it is `squared` near the label: with r = z − y,
/// ℓ = r² where |r| ≤ δ, else 2 δ |r| − δ²; dℓ/dz = 2 r within ± 2 δ. Requires: δ > 0.
template <class T>
MILLRACE_HD Loss<T> huber(T z, T y, T delta) {
  using std::fabs;
  const T r = z - y, size = fabs(r);
  if (!(size > delta)) return squared(z, y);
  return {2 * delta * size - delta * delta, r > 0 ? 2 * delta : -2 * delta};
}

/// Poisson of a log rate z, for a count y ≥ 0: dℓ/dz = e^z − y, and
///   ℓ = e^z − y z − (y − y ln y)   half the deviance: the negative log likelihood less its least.
/// The part without z makes ℓ ≥ 0, 0 for the very rate, so that balancers and guardrails, which
/// compare losses by their ratios, can read it; it moves no slope. e^z overflows beyond z = 709
/// (88 in float): a step that is not finite.
template <class T>
MILLRACE_HD Loss<T> poisson(T z, T y) {
  using std::exp;
  using std::log;
  const T rate = exp(z);
  const T least = y > 0 ? y - y * log(y) : T(0);
  return {rate - y * z - least, rate - y};
}

}  // namespace millrace::math
