#pragma once

#include "learner/balance/balancer.h"
#include "learner/balance/scalar_adam.h"

namespace millrace {

/// GradNorm (Chen et al. 2018): the tasks' gradients on the last shared layer W are brought to one
/// size, larger for those that learn slowly.
///
///   n_k = ‖∇_W L_k‖,  G_k = w_k n_k,  Ḡ = mean_k G_k
///   r_k = L̃_k / mean_j L̃_j,  L̃_k = L_k / L_k(0)
///   w_k ← w_k − rate · Adam(sign(G_k − Ḡ r_k^α) n_k)
///
/// with the target Ḡ r_k^α held constant, so that only the weights get this gradient; then those
/// below `min_weight` are lifted and Σ w = T restored. L_k is a running mean over steps, L_k(0) the
/// mean of a task's first steps (or ln 2), which may follow L_k slowly. A task that is absent from
/// a step, or has no norm, keeps its weight exactly and is in neither mean. A loss that is not
/// positive (a count's likelihood may be negative) counts as 0, one that began at 0 as not changed.
class GradNormBalancer final : public Balancer {
 public:
  GradNormBalancer(const BalanceOptions& options, const std::vector<Task>& tasks);

  std::span<const double> weights() const override { return weights_; }
  bool needs_norms() const override;
  void step(const StepMeasures& measures) override;
  void save(ByteWriter& writer) const override;
  void restore(ByteReader& reader) override;
  int task_values() const override { return 5 + ScalarAdam::kValues; }

 private:
  struct State {
    double loss = 0, loss_steps = 0;    ///< The running mean, and the steps in it.
    double start = 0, start_steps = 0;  ///< L(0)
    ScalarAdam adam;
  };
  void take(State& state, double loss, bool given_start) const;
  double relative_loss(const State& state) const;
  void move(std::span<const TaskLoss> losses, std::span<const double> norms);

  const GradNormOptions options_;
  const double min_weight_;
  std::vector<bool> starts_at_ln2_;
  double steps_ = 0;
  std::vector<State> states_;
  std::vector<double> weights_;
};

}  // namespace millrace
