#include "learner/balance/uncertainty.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"

namespace millrace {
namespace {

constexpr double kMost = 5;  // of |ln σ²|

double factor_of(const Task& task, bool half_for_all) {
  return half_for_all || is_distance(task.kind) ? 0.5 : 1;
}

}  // namespace

UncertaintyBalancer::UncertaintyBalancer(const BalanceOptions& options,
                                         const std::vector<Task>& tasks)
    : rate_(options.rate),
      min_weight_(options.min_weight),
      raw_(options.uncertainty.raw),
      states_(tasks.size()),
      weights_(tasks.size()) {
  for (const Task& task : tasks) {
    factors_.push_back(factor_of(task, options.uncertainty.half_for_all));
  }
  update_weights();
}

double UncertaintyBalancer::raw_weight(int task) const {
  const auto k = static_cast<std::size_t>(task);
  return factors_[k] * std::exp(-states_[k].s);
}

void UncertaintyBalancer::step(const StepMeasures& measures) {
  MILLRACE_CHECK(measures.losses.size() == states_.size());
  for (std::size_t k = 0; k < states_.size(); ++k) {
    const TaskLoss& loss = measures.losses[k];
    if (loss.count == 0) continue;
    State& state = states_[k];
    const double slope = 0.5 - factors_[k] * std::exp(-state.s) * (loss.sum / loss.count);
    state.s = std::clamp(state.s - rate_ * state.adam.step(slope), -kMost, kMost);
  }
  update_weights();
}

void UncertaintyBalancer::update_weights() {
  for (std::size_t k = 0; k < states_.size(); ++k) weights_[k] = raw_weight(static_cast<int>(k));
  if (!raw_) {
    normalise_weights(weights_, min_weight_);
    return;
  }
  for (double& weight : weights_) weight = std::max(weight, min_weight_);
}

void UncertaintyBalancer::save(ByteWriter& writer) const {
  for (const State& state : states_) {
    writer.put(state.s);
    state.adam.save(writer);
  }
}

void UncertaintyBalancer::restore(ByteReader& reader) {
  for (State& state : states_) {
    state.s = read_finite(reader);
    if (std::abs(state.s) > kMost) throw StateError("the balancer's state is out of its range");
    state.adam.restore(reader);
  }
  update_weights();
}

}  // namespace millrace
