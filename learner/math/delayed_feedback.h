#pragma once

#include <cmath>

#include "learner/base/host_device.h"
#include "learner/math/activation.h"

/// Importance weights of labels that are trained before they are decided, for one row
/// (algorithms 2.14). All arguments are held constant: a weight has no slope.
///
///   p     the model's own probability in the same pass
///   f_dp  P(the label becomes 1 after the short wait)
///   f_rn  P(what is 0 at the short wait stays 0)
///
/// Where p, f_dp and f_rn are the true ones, the weighted slope of the cross-entropy is 0 in the
/// mean over the policy's stream (tests/learner/math/delayed_feedback_test.cc).
namespace millrace::math {

/// Fake negative weighted (Ktena et al. 2019).
template <class T>
MILLRACE_HD T fnw_weight(bool positive, T p) {
  return positive ? 1 + p : (1 - p) * (1 + p);
}

/// ES-DFM (Yang et al. 2021).
template <class T>
MILLRACE_HD T es_dfm_weight(bool positive, T f_dp, T f_rn) {
  return (1 + f_dp) * (positive ? T(1) : f_rn);
}

/// DEFER (Gu et al. 2021): p/(p − f_dp/2) and (1 − p)/(1 − p + f_dp/2). What becomes 1 late becomes
/// 1, so f_dp ≤ p in truth; a head that says more is cut there, which bounds the weight by 2.
template <class T>
MILLRACE_HD T defer_weight(bool positive, T p, T f_dp) {
  const T late = f_dp < p ? f_dp : p;
  const T below = positive ? p - late / 2 : 1 - p + late / 2;
  if (!(below > 0)) return 1;
  return (positive ? p : 1 - p) / below;
}

/// DEFUSE (Chen et al. 2022, "Asymptotically unbiased estimation for delayed feedback modeling via
/// label correction"): what an observed label weighs as a 1 and as a 0. Of a 0 the share 1 − f_rn
/// is a 1 that has not come:
///
///   1 at the short wait                 1 + f_dp as a 1
///   1 that came later                   1 as a 1
///   0 at the short wait                 (1 − f_rn) f_dp as a 1, f_rn (1 + f_dp) as a 0
template <class T>
struct ClassShares {
  T positive, negative;
};
template <class T>
MILLRACE_HD ClassShares<T> defuse_shares(bool positive, bool later, T f_dp, T f_rn) {
  if (positive) return {later ? T(1) : 1 + f_dp, T(0)};
  return {(1 - f_rn) * f_dp, f_rn * (1 + f_dp)};
}

/// Fake negative calibration (Ktena et al. 2019): the model learns b = p / (1 + p); this is
/// log p = log (b / (1 − b)) from log b and log (1 − b), cut at p = 1.
template <class T>
MILLRACE_HD T fnc_log_probability(T log_b, T log_not_b) {
  const T log_p = log_b - log_not_b;
  return log_p < 0 ? log_p : T(0);
}

/// log p − log (1 − p) from log p ≤ 0; no more than 16, where the measures of a logit end.
template <class T>
MILLRACE_HD T logit_of_log(T log_p) {
  using std::expm1;
  using std::log;
  constexpr T kMost = 16;
  const T rest = -expm1(log_p);  // 1 − p
  if (!(rest > 0)) return kMost;
  const T logit = log_p - log(rest);
  return logit < kMost ? logit : kMost;
}

}  // namespace millrace::math
