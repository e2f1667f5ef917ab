#pragma once

#include "learner/balance/balancer.h"

namespace millrace {

/// Weights that no loss moves: those given by task name, 1 where a task is not named, scaled to
/// Σ = T; with `decay` by a geometric schedule over windows of steps (PLE, Tang et al. 2020,
/// eq. 10):
///
///   ω_k(t) ∝ ω_k(0) γ_k^t,  t = ⌊steps / window⌋
///
/// A weight that is not 0 stays at `min_weight` of the mean at least, once there is a schedule.
class FixedBalancer final : public Balancer {
 public:
  /// Requires: no weight is negative, not all are 0; every γ > 0.
  FixedBalancer(const BalanceOptions& options, const std::vector<Task>& tasks);

  std::span<const double> weights() const override { return weights_; }
  void step(const StepMeasures& measures) override;
  void save(ByteWriter& writer) const override;
  void restore(ByteReader& reader) override;
  int task_values() const override { return 0; }

 private:
  void schedule();

  const int window_;
  const double min_weight_;
  bool scheduled_ = false;
  std::vector<double> start_, log_decay_;
  double steps_ = 0;
  std::vector<double> weights_;
};

}  // namespace millrace
