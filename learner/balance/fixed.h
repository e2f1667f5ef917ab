#pragma once

#include "learner/balance/balancer.h"

namespace millrace {

/// Constant weights: those given by task name, 1 where a task is not named, scaled to Σ = T.
class FixedBalancer final : public Balancer {
 public:
  /// Requires: no weight is negative, and not all are 0.
  FixedBalancer(const BalanceOptions& options, const std::vector<Task>& tasks);

  std::span<const double> weights() const override { return weights_; }
  void add(std::span<const TaskLoss>, double) override {}
  void save(ByteWriter&) const override {}
  void restore(ByteReader&) override {}

 private:
  std::vector<double> weights_;
};

}  // namespace millrace
