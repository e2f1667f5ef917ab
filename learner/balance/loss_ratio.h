#pragma once

#include "learner/balance/balancer.h"

namespace millrace {

/// Rules that look back over windows of steps; a window's loss is the mean over its rows.
///
///   dwa          ω = T · softmax(ρ / τ),  ρ_k = L_k(t−1) / L_k(t−2)  (Liu et al. 2019, eq. 7);
///                1 for the first two windows
///   dtp          ω_k ∝ −(1 − κ_k)^γ ln κ_k  (Guo et al. 2018), κ_k the running figure of how well
///                the task is predicted, within [0.01, 0.99]
///   performance  ω ← (1 − α) ω + α T κ_k / Σ κ: more for those that are predicted well
///
/// A task without labels (dwa), or without a figure (dtp, performance), in a window keeps its
/// weight exactly, and the others share what is left of T; dwa then goes by its last two windows
/// with labels. A ratio to a loss that is not positive counts as 1.
class WindowBalancer final : public Balancer {
 public:
  /// Requires: the method is one of the three.
  WindowBalancer(const BalanceOptions& options, std::size_t tasks);

  std::span<const double> weights() const override { return weights_; }
  bool needs_performance() const override;
  void step(const StepMeasures& measures) override;
  void save(ByteWriter& writer) const override;
  void restore(ByteReader& reader) override;
  int task_values() const override { return kTaskValues; }

 private:
  static constexpr int kTaskValues = 7;
  struct State {
    double sum = 0, count = 0;         ///< Of the window in progress.
    double last = 0, before_last = 0;  ///< Mean losses of the last two windows with labels.
    double windows = 0;                ///< How many of these there are, at most 2.
    double figure = -1;                ///< κ; −1: none yet.
  };
  void by_loss_ratios();
  void by_performance(std::span<const double> performance);
  /// Gives the tasks that are `present` weights in proportion to `shares`.
  void share_out(const std::vector<double>& shares, const std::vector<bool>& present, double part);

  const BalanceMethod method_;
  const int window_;
  const double temperature_, focus_, share_, min_weight_;
  double steps_ = 0;  ///< In the window in progress.
  std::vector<State> states_;
  std::vector<double> weights_;
};

}  // namespace millrace
