#pragma once

#include "learner/balance/balancer.h"

namespace millrace {

/// Uncertainty weighting (Kendall et al. 2018): s_k = ln σ_k² descends
///
///   J = Σ_k [ c_k e^{−s_k} L_k + ½ s_k ],  c = 1 for cross-entropy and Poisson, ½ for
///                                         squared error and Huber's
///   ∂J/∂s_k = ½ − c_k e^{−s_k} L_k,        at the optimum c_k e^{−s_k} L_k = ½
///
/// by Adam (rate 0.01, .9, .999), s from 0 and within [−5, 5]. It always descends by its raw weight
/// c_k e^{−s_k}; what the network sees is scaled to Σω = T, none below `min_weight` of the mean. A
/// task that is absent from a step keeps its s.
class UncertaintyBalancer final : public Balancer {
 public:
  UncertaintyBalancer(const BalanceOptions& options, const std::vector<Task>& tasks);

  std::span<const double> weights() const override { return weights_; }
  void add(std::span<const TaskLoss> losses, double fraction) override;
  void save(ByteWriter& writer) const override;
  void restore(ByteReader& reader) override;

  /// c_k e^{−s_k}, before scaling.
  double raw_weight(int task) const;

 private:
  struct State {
    double s = 0;                              ///< ln σ²
    double moment = 0, square = 0, steps = 0;  ///< Adam's, of this task's own steps.
    double loss_sum = 0, loss_count = 0;       ///< Since the last step.
  };
  void step(State& state, double factor) const;
  void update_weights();

  const double rate_, min_weight_;
  std::vector<double> factors_;  ///< c_k
  std::vector<State> states_;
  double fraction_ = 0;  ///< Σφ since the last step.
  std::vector<double> weights_;
};

}  // namespace millrace
