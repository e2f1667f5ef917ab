#pragma once

#include <cmath>

#include "learner/base/host_device.h"

/// One optimiser step of one weight. The coefficients of a step are worked out once, in double, by
/// the caller; the element then costs a few multiplications, one root and one division.
namespace millrace::math {

/// Adam's coefficients for a step of a batch that is the share φ = n/B of a full one:
///   m ← β₁^φ m + (1 − β₁^φ) g            v ← β₂^φ v + (1 − β₂^φ) φ g²
///   w ← w − rate φ · m̂ / (√v̂ + ε)        m̂ = m / (1 − β₁^Σφ),  v̂ = v / (1 − β₂^Σφ)
/// At φ = 1 this is Adam (Kingma and Ba 2015) bit for bit; for a constant φ it is Adam with rate
/// √φ·rate, the scaling of Malladi et al. 2022.
template <class T>
struct AdamStep {
  T keep_m;       ///< β₁^φ
  T take_m;       ///< 1 − β₁^φ
  T keep_v;       ///< β₂^φ
  T take_v;       ///< (1 − β₂^φ) φ
  T rate;         ///< rate φ / (1 − β₁^Σφ)
  T unbias_root;  ///< 1 / √(1 − β₂^Σφ)
  T epsilon;      ///< outside the root
};

/// `share_sum` is Σφ, this step's included.
template <class T>
AdamStep<T> adam_coefficients(double rate, double share, double share_sum, double beta1 = 0.9,
                              double beta2 = 0.999, double epsilon = 1e-8) {
  const double keep_m = std::pow(beta1, share), keep_v = std::pow(beta2, share);
  return {static_cast<T>(keep_m),
          static_cast<T>(1 - keep_m),
          static_cast<T>(keep_v),
          static_cast<T>((1 - keep_v) * share),
          static_cast<T>(rate * share / (1 - std::pow(beta1, share_sum))),
          static_cast<T>(1 / std::sqrt(1 - std::pow(beta2, share_sum))),
          static_cast<T>(epsilon)};
}

/// Moves weight w by the gradient g of the batch's mean loss.
template <class T>
MILLRACE_HD void adam(const AdamStep<T>& step, T g, T& m, T& v, T& w) {
  using std::sqrt;
  m = step.keep_m * m + step.take_m * g;
  v = step.keep_v * v + step.take_v * (g * g);
  w -= step.rate * m / (sqrt(v) * step.unbias_root + step.epsilon);
}

/// Stochastic gradient descent for a batch that is the share φ of a full one, with momentum μ:
///   m ← μ^φ m + (1 − μ^φ)/(1 − μ) g,  w ← w − rate φ m
/// At φ = 1 this is m ← μ m + g, w ← w − rate m; without momentum it is the plain rule on φ·g; a
/// constant gradient moves a weight by rate g/(1 − μ) a full batch in the end, however it is cut.
template <class T>
struct SgdStep {
  T keep;  ///< μ^φ
  T take;  ///< (1 − μ^φ)/(1 − μ)
  T rate;  ///< rate φ
};

template <class T>
SgdStep<T> sgd_coefficients(double rate, double share, double momentum) {
  const double keep = std::pow(momentum, share);
  const double take = share == 1 ? 1 : (1 - keep) / (1 - momentum);
  return {static_cast<T>(keep), static_cast<T>(take), static_cast<T>(rate * share)};
}

template <class T>
MILLRACE_HD void sgd(const SgdStep<T>& step, T g, T& m, T& w) {
  m = step.keep * m + step.take * g;
  w -= step.rate * m;
}

/// Adagrad (Duchi et al. 2011): n ← n + g², w ← w − rate · g / (√n + ε), ε outside the root.
template <class T>
MILLRACE_HD void adagrad(T rate, T epsilon, T g, T& n, T& w) {
  using std::sqrt;
  n += g * g;
  w -= rate * g / (sqrt(n) + epsilon);
}

}  // namespace millrace::math
