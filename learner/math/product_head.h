#pragma once

#include <cmath>
#include <limits>

#include "learner/base/host_device.h"
#include "learner/math/activation.h"

/// The product of conditional probabilities that a chain of tasks is trained on over all rows
/// (ESMM, Ma et al. 2018), for a chain of any length, in log space throughout.
///
///   p_i = σ(z_i),  q = Π p_i        click → cart → buy: p(buy) = p(click) p(cart|click)
///   p(buy|cart) log q       = −Σ sp(−z_i) log (1 − q) = log Σ_i (1 − p_i) Π_{j<i} p_j     a sum of
///   positive terms: nothing cancels ∂BCE(t,q)/∂z_i = (q − t) (1 − p_i) / (1 − q)
///
/// log(p·c) of already rounded probabilities is never formed. Every value is finite for logits far
/// beyond ±40, in float too.
namespace millrace::math {

/// q of the chain so far, as two logarithms. Begins as the empty product, q = 1.
template <class T>
struct Product {
  T log_q = 0;
  T log_not_q = -std::numeric_limits<T>::infinity();

  /// log q − log(1 − q): what a single logit would have to be; orders rows as q does.
  MILLRACE_HD T logit() const { return log_q - log_not_q; }
};

/// log(e^a + e^b); −∞ stands for an absent term.
template <class T>
MILLRACE_HD T log_add(T a, T b) {
  using std::exp;
  using std::log1p;
  const T high = a > b ? a : b, low = a > b ? b : a;
  if (low == -std::numeric_limits<T>::infinity()) return high;
  return high + log1p(exp(low - high));
}

/// The chain with one more factor σ(z).
template <class T>
MILLRACE_HD Product<T> times(Product<T> chain, T z) {
  return {chain.log_q - softplus(-z), log_add(chain.log_not_q, chain.log_q - softplus(z))};
}

/// −t log q − (1 − t) log(1 − q), for a label 0 ≤ t ≤ 1 of the last task and all conditions.
/// Requires: the chain is not empty.
template <class T>
MILLRACE_HD T product_loss(Product<T> chain, T t) {
  return -t * chain.log_q - (1 - t) * chain.log_not_q;
}

/// ∂(log q − log(1 − q))/∂z for the factor of the finished chain that has logit z: (1 − p)/(1 − q).
template <class T>
MILLRACE_HD T product_logit_slope(Product<T> chain, T z) {
  using std::exp;
  return exp(-softplus(z) - chain.log_not_q);
}

/// ∂BCE(t,q)/∂z for the factor of the finished chain that has logit z.
/// (q − t)(1 − p)/(1 − q) = (1 − t) q (1 − p)/(1 − q) − t (1 − p), and (1 − p)/(1 − q) ≤ 1.
template <class T>
MILLRACE_HD T product_slope(Product<T> chain, T z, T t) {
  using std::exp;
  const T from_zero = exp(chain.log_q - softplus(z) - chain.log_not_q);
  return (1 - t) * from_zero - t * sigmoid(-z);
}

}  // namespace millrace::math
