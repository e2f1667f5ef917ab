#pragma once

#include <cmath>

#include "learner/base/host_device.h"

/// Softmax of one row of E values.
namespace millrace::math {

/// g_e = e^{u_e} / Σ_j e^{u_j}, for logits of any size. g and u may be the same row.
template <class T>
MILLRACE_HD void softmax(const T* u, T* g, int E) {
  using std::exp;
  T most = u[0];
  for (int e = 1; e < E; ++e) most = u[e] > most ? u[e] : most;
  T sum = 0;
  for (int e = 0; e < E; ++e) sum += g[e] = exp(u[e] - most);
  const T scale = 1 / sum;
  for (int e = 0; e < E; ++e) g[e] *= scale;
}

/// a_e ← g_e (a_e − Σ_j g_j a_j): from slopes in g = softmax(u) to slopes in u, in place.
template <class T>
MILLRACE_HD void softmax_backward(const T* g, T* a, int E) {
  T mean = 0;
  for (int e = 0; e < E; ++e) mean += g[e] * a[e];
  for (int e = 0; e < E; ++e) a[e] = g[e] * (a[e] - mean);
}

}  // namespace millrace::math
