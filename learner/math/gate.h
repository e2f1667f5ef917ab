#pragma once

#include <cmath>

#include "learner/base/host_device.h"
#include "learner/math/activation.h"

/// What is done to one row of a gate beside its softmax (learner/math/softmax.h): E weights g, or
/// their logits.
namespace millrace::math {

/// A learned temperature, τ = least + softplus(ρ) (algorithms 2.3); its slope in ρ is σ(ρ).
template <class T>
MILLRACE_HD T temperature(T rho, T least) {
  return least + softplus(rho);
}

/// Σ_c du_c u_c of one row, from slopes du in u = (logits / τ): −τ times its share of ∂L/∂τ.
template <class T>
MILLRACE_HD T temperature_slope(const T* u, const T* du, int E) {
  T sum = 0;
  for (int e = 0; e < E; ++e) sum += du[e] * u[e];
  return sum;
}

/// Gate dropout (Zhao et al. 2019): weights that `drops(e)` names become 0, the others are divided
/// by their sum. Where nothing would be left, nothing is dropped. It is what −∞ in place of the
/// dropped logits gives, so slopes in the logits are those of the softmax at these weights.
template <class T, class Drops>
MILLRACE_HD void drop_weights(T* g, int E, const Drops& drops) {
  T sum = 0;
  for (int e = 0; e < E; ++e) sum += drops(e) ? T(0) : g[e];
  if (!(sum > 0)) return;
  for (int e = 0; e < E; ++e) g[e] = drops(e) ? T(0) : g[e] / sum;
}

/// du_e += factor · ∂(−H(g))/∂u_e = factor · g_e (ln g_e − Σ_j g_j ln g_j), g = softmax(u); a
/// weight of 0 has none.
template <class T>
MILLRACE_HD void add_entropy_slope(const T* g, T factor, T* du, int E) {
  using std::log;
  T mean = 0;
  for (int e = 0; e < E; ++e) mean += g[e] > 0 ? g[e] * log(g[e]) : T(0);
  for (int e = 0; e < E; ++e) du[e] += g[e] > 0 ? factor * g[e] * (log(g[e]) - mean) : T(0);
}

/// du_e += factor · ∂(Σ_j p_j g_j)/∂u_e = factor · g_e (p_e − Σ_j g_j p_j), g = softmax(u). With p
/// the mean of g over n rows and factor 2E/n it is a row's share of the slope of CV²(Σ_rows g) =
/// E Σ_e p_e² − 1, the load-balance penalty (Shazeer et al. 2017, eq. 6–7, for weights that sum to
/// 1).
template <class T>
MILLRACE_HD void add_share_slope(const T* g, const T* p, T factor, T* du, int E) {
  T mean = 0;
  for (int e = 0; e < E; ++e) mean += g[e] * p[e];
  for (int e = 0; e < E; ++e) du[e] += factor * g[e] * (p[e] - mean);
}

}  // namespace millrace::math
