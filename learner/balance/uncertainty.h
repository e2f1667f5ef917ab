#pragma once

#include "learner/balance/balancer.h"
#include "learner/balance/scalar_adam.h"

namespace millrace {

/// Uncertainty weighting (Kendall et al. 2018): s_k = ln σ_k² descends
///
///   J = Σ_k [ c_k e^{−s_k} L_k + ½ s_k ],  c = 1 for cross-entropy and Poisson, ½ for
///                                         squared error and Huber's
///   ∂J/∂s_k = ½ − c_k e^{−s_k} L_k,        at the optimum c_k e^{−s_k} L_k = ½
///
/// by Adam (rate 0.01, .9, .999), s from 0 and within [−5, 5]. It always descends by its raw weight
/// c_k e^{−s_k}; what the network sees is scaled to Σω = T, none below `min_weight` of the mean
/// (`raw`: it sees the raw weights, none below `min_weight`). A task that is absent from a step
/// keeps its s.
class UncertaintyBalancer final : public Balancer {
 public:
  UncertaintyBalancer(const BalanceOptions& options, const std::vector<Task>& tasks);

  std::span<const double> weights() const override { return weights_; }
  void step(const StepMeasures& measures) override;
  void save(ByteWriter& writer) const override;
  void restore(ByteReader& reader) override;
  int task_values() const override { return 1 + ScalarAdam::kValues; }

  /// c_k e^{−s_k}, before scaling.
  double raw_weight(int task) const;

 private:
  struct State {
    double s = 0;  ///< ln σ²
    ScalarAdam adam;
  };
  void update_weights();

  const double rate_, min_weight_;
  const bool raw_;
  std::vector<double> factors_;  ///< c_k
  std::vector<State> states_;
  std::vector<double> weights_;
};

}  // namespace millrace
