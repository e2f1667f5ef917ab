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

/// Row-wise Adagrad (Naumov et al. 2019): one accumulator for a row of `count` weights,
///   n ← n + mean g²,  w ← w − rate · g / (√n + ε)
template <class T>
MILLRACE_HD void rowwise_adagrad(T rate, T epsilon, const T* g, int count, T& n, T* w) {
  using std::sqrt;
  T squares = 0;
  for (int d = 0; d < count; ++d) squares += g[d] * g[d];
  n += squares / static_cast<T>(count);
  const T step = rate / (sqrt(n) + epsilon);
  for (int d = 0; d < count; ++d) w[d] -= step * g[d];
}

/// FTRL-Proximal (McMahan et al. 2013) with λ1 = 0, without its z: from z = −w ((β + √n)/α + λ2),
/// which z_0 = −w_0 (β/α + λ2) starts and every step keeps, the update of the paper is
///   n ← n + g²,  w ← w − α g / (β + √n + α λ2)
/// so a weight that started at random is not thrown away. `damping` is β + α λ2.
template <class T>
MILLRACE_HD void ftrl(T alpha, T damping, T g, T& n, T& w) {
  using std::sqrt;
  n += g * g;
  w -= alpha * g / (sqrt(n) + damping);
}

/// FTRL-Proximal as published, for λ1 > 0; w starts at 0, and z with it.
template <class T>
struct FtrlStep {
  T alpha;
  T beta;
  T l1;
  T l2;
};

///   σ = (√(n+g²) − √n)/α,  z ← z + g − σ w,  n ← n + g²
///   w = 0 if |z| ≤ λ1, else −(z − sgn(z) λ1)/((β + √n)/α + λ2)
template <class T>
MILLRACE_HD void ftrl_sparse(const FtrlStep<T>& step, T g, T& z, T& n, T& w) {
  using std::sqrt;
  const T root = sqrt(n + g * g);
  z += g - (root - sqrt(n)) / step.alpha * w;
  n += g * g;
  const T size = z < 0 ? -z : z;
  const T shrunk = z < 0 ? z + step.l1 : z - step.l1;
  w = size <= step.l1 ? T{0} : -shrunk / ((step.beta + root) / step.alpha + step.l2);
}

/// Adam of a row that has its own count of steps t (lazy Adam): its bias corrections 1 − β^t are
/// the moments of a constant 1 with the same decays, kept beside the row, so that a row's first
/// step is `rate` however late it comes.
template <class T>
struct LazyAdamStep {
  T rate;
  T beta1;
  T beta2;
  T epsilon;
};

/// One step of a row: c1 and c2 are 1 − β1^t and 1 − β2^t, from 0.
template <class T>
MILLRACE_HD void lazy_adam(const LazyAdamStep<T>& step, const T* g, int count, T& c1, T& c2, T* m,
                           T* v, T* w) {
  using std::sqrt;
  const T take1 = 1 - step.beta1, take2 = 1 - step.beta2;
  c1 = step.beta1 * c1 + take1;
  c2 = step.beta2 * c2 + take2;
  const T rate = step.rate / c1, unbias_root = 1 / sqrt(c2);
  for (int d = 0; d < count; ++d) {
    m[d] = step.beta1 * m[d] + take1 * g[d];
    v[d] = step.beta2 * v[d] + take2 * (g[d] * g[d]);
    w[d] -= rate * m[d] / (sqrt(v[d]) * unbias_root + step.epsilon);
  }
}

}  // namespace millrace::math
