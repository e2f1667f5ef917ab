#pragma once

#include "learner/balance/balancer.h"

namespace millrace {

/// Random loss weighting (Lin et al. 2022): ω = T · softmax(N(0, 1)), new numbers each step, drawn
/// by Philox of the seed and the step. The baseline that a method must beat.
class RandomBalancer final : public Balancer {
 public:
  RandomBalancer(const BalanceOptions& options, std::size_t tasks, std::uint64_t seed);

  std::span<const double> weights() const override { return weights_; }
  void step(const StepMeasures& measures) override;
  void save(ByteWriter& writer) const override;
  void restore(ByteReader& reader) override;
  int task_values() const override { return 0; }

 private:
  void draw();

  const std::uint64_t seed_;
  const double min_weight_;
  std::uint64_t steps_ = 0;
  std::vector<double> weights_;
};

}  // namespace millrace
