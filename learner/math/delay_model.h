#pragma once

#include <cmath>

#include "learner/base/host_device.h"
#include "learner/math/activation.h"

/// The delayed feedback model (Chapelle 2014, "Modeling delayed feedback in display advertising";
/// algorithms 2.14): P(a 1 comes) = σ(x), and what comes has an exponential delay of rate λ.
///
///   came after d       ℓ = sp(−x) − ln λ + λ d        ∂x = σ(x) − 1           ∂λ = d − 1/λ
///   not come by e      ℓ = sp(x) − sp(x − λe)         ∂x = σ(x) − σ(x − λe)   ∂λ = e σ(x − λe)
///   never comes        the limit e → ∞:  sp(x)        ∂x = σ(x)               ∂λ = 0
///
///   λ = softplus(w)    ∂w = ∂λ σ(w)
///
/// An impression of a stream is looked at several times. What a later look adds is the likelihood
/// of what it sees *given* that nothing had come at the earlier one, after s: the difference of the
/// two losses. An exponential delay has no memory, so that difference is the same model anew, with
/// the odds that are left, and with the time since s:
///
///   x → x − λ s,   d → d − s,   e → e − s             (∂λ also has −s ∂x)
///
/// So the looks at one impression add up to the loss of what the last one saw, and each look by
/// itself has the mean slope 0 at the true σ(x) and λ, whatever is left of the earlier ones: no
/// look leans on rows that come before or after it, which is what a stream wants. (To train the
/// whole likelihood of the first look and of the last would weigh early delays twice.)
///
/// Once a label is decided (`never`, or it came), the slopes in x add up to those of its
/// cross-entropy: σ(x) is asymptotically P(the label is 1) whatever the delays are, exponential or
/// not; λ only says how much of it is known early.
namespace millrace::math {

/// What one look says, and its slopes.
template <class T>
struct DelayLoss {
  T value;    ///< −log P(it came, or did not), without the density of the delay: never negative.
  T density;  ///< −ln λ + λ (d − s) of what came; 0 else. value + density is the whole loss.
  T odds;     ///< ∂/∂x of both together, which is that of `value` alone,
  T rate;     ///< and ∂/∂w of both together.
};

/// σ(w) / softplus(w), without 0/0 for any w.
template <class T>
MILLRACE_HD T softplus_slope_ratio(T w) {
  return w < -30 ? T(1) : sigmoid(w) / softplus(w);
}
/// ln softplus(w), without ln 0 for any w.
template <class T>
MILLRACE_HD T log_softplus(T w) {
  using std::log;
  return w < -30 ? w : log(softplus(w));
}

/// It came at `d`, and had not at s. Time is in any unit, λ in its inverse. A d before s (the news
/// was late) counts as one at s.
template <class T>
MILLRACE_HD DelayLoss<T> came(T x, T w, T s, T d) {
  const T rate = softplus(w), left = x - rate * s, rest = d > s ? d - s : T(0);
  const T odds = -sigmoid(-left);
  return {softplus(-left), rate * rest - log_softplus(w), odds,
          (rest - s * odds) * sigmoid(w) - softplus_slope_ratio(w)};
}

/// It had not come by `e`, nor by s before that; e = ∞: it never comes.
template <class T>
MILLRACE_HD DelayLoss<T> not_come(T x, T w, T s, T e) {
  using std::isinf;
  const T rate = softplus(w), left = x - rate * s;
  const T chance = sigmoid(left);  // that it came after s
  if (isinf(e)) return {softplus(left), T(0), chance, -s * chance * sigmoid(w)};
  const T rest = e > s ? e - s : T(0), later = sigmoid(left - rate * rest);
  const T odds = chance - later;
  const T value = softplus(left) - softplus(left - rate * rest);  // below 0 by rounding at most
  return {value > 0 ? value : T(0), T(0), odds, (rest * later - s * odds) * sigmoid(w)};
}

}  // namespace millrace::math
