#pragma once

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
  return {softplus(z) - y * z, sigmoid(z) - y};
}

/// Squared error: ℓ = (z − y)², dℓ/dz = 2 (z − y). Uncertainty weighting's ½ belongs to this ℓ.
template <class T>
MILLRACE_HD Loss<T> squared(T z, T y) {
  return {(z - y) * (z - y), 2 * (z - y)};
}

}  // namespace millrace::math
