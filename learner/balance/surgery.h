#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/balance/options.h"

namespace millrace {

/// Inner products of the tasks' gradients, ⟨g_i, g_j⟩: symmetric, [T,T] by rows. Both methods of
/// gradient surgery give a linear combination Σ_k c_k g_k whose coefficients follow from these
/// alone, so that the gradients themselves, dense weights and embedding rows, are combined once.
class Gram {
 public:
  explicit Gram(int tasks)
      : tasks_(tasks), values_(static_cast<std::size_t>(tasks) * static_cast<std::size_t>(tasks)) {}

  int tasks() const { return tasks_; }
  double operator()(int i, int j) const { return values_[index(i, j)]; }
  double& operator()(int i, int j) { return values_[index(i, j)]; }
  /// Sets both ⟨g_i, g_j⟩ and ⟨g_j, g_i⟩.
  void set(int i, int j, double value) { values_[index(i, j)] = values_[index(j, i)] = value; }

 private:
  std::size_t index(int i, int j) const {
    return static_cast<std::size_t>(i) * static_cast<std::size_t>(tasks_) +
           static_cast<std::size_t>(j);
  }
  int tasks_;
  std::vector<double> values_;
};

/// PCGrad (Yu et al. 2020): each gradient loses what conflicts with the others, and all are summed.
///
///   for each i: h = g_i; for j ≠ i in random order: if ⟨h, g_j⟩ < 0: h ← h − ⟨h, g_j⟩ / ‖g_j‖² g_j
///   Σ_i h_i = Σ_k c_k g_k
///
/// Returns c [T]. An h below 1e-5 of ‖g_i‖ is the rounding of floats, and left out: Adam would make
/// whole steps of it. The order is drawn for each i by Philox of `seed` and `step`. Tasks without
/// gradient (⟨g_k, g_k⟩ = 0: absent) take no part: c_k = 0. Cost: O(T³).
std::vector<double> pcgrad(const Gram& gram, std::uint64_t seed, std::uint64_t step);

/// CAGrad (Liu et al. 2021): the direction that raises the worst task's progress most within a ball
/// around the mean gradient g_0 of radius `radius` · ‖g_0‖.
///
///   w = argmin over the simplex of F(w) = ⟨g_w, g_0⟩ + √φ ‖g_w‖,  g_w = Σ w_k g_k, φ = r² ‖g_0‖²
///   d = (g_0 + √φ / ‖g_w‖ g_w) / (1 + r²) = Σ_k c_k g_k
///
/// A g_w below 1e-5 of the longest gradient is the rounding of floats: d = g_0 / (1 + r²).
/// Returns c [T]. This is of the mean, where PCGrad is of the sum. Tasks without gradient take no
/// part, in the mean neither. Two tasks: a convex search in one number; more: pairwise Frank–Wolfe
/// with exact steps (Lacoste-Julien and Jaggi 2015), to a gap of 1e-12 of ‖g_0‖ · max ‖g_k‖ or 10 T
/// + 1,000 steps of O(T). Deterministic.
std::vector<double> cagrad(const Gram& gram, double radius);

/// What `cagrad` minimises over, [T]; for tests and inspection.
std::vector<double> cagrad_simplex(const Gram& gram, double radius);

}  // namespace millrace
