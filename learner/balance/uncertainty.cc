#include "learner/balance/uncertainty.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"

namespace millrace {
namespace {

constexpr double kMost = 5;  // of |ln σ²|

}  // namespace

UncertaintyBalancer::UncertaintyBalancer(const BalanceOptions& options,
                                         const std::vector<Task>& tasks)
    : rate_(options.rate),
      min_weight_(options.min_weight),
      states_(tasks.size()),
      weights_(tasks.size()) {
  for (const Task& task : tasks) factors_.push_back(is_distance(task.kind) ? 0.5 : 1);
  update_weights();
}

double UncertaintyBalancer::raw_weight(int task) const {
  const auto k = static_cast<std::size_t>(task);
  return factors_[k] * std::exp(-states_[k].s);
}

void UncertaintyBalancer::add(std::span<const TaskLoss> losses, double fraction) {
  MILLRACE_CHECK(losses.size() == states_.size());
  for (std::size_t k = 0; k < losses.size(); ++k) {
    states_[k].loss_sum += losses[k].sum;
    states_[k].loss_count += losses[k].count;
  }
  fraction_ += fraction;
  // Sixteen batches of a sixteenth are a step, whatever their fractions' rounding.
  if (fraction_ < 1 - 1e-9) return;
  fraction_ = 0;
  for (std::size_t k = 0; k < states_.size(); ++k) {
    if (states_[k].loss_count > 0) step(states_[k], factors_[k]);
    states_[k].loss_sum = states_[k].loss_count = 0;
  }
  update_weights();
}

void UncertaintyBalancer::step(State& state, double factor) const {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
  const double loss = state.loss_sum / state.loss_count;
  const double slope = 0.5 - factor * std::exp(-state.s) * loss;
  state.steps += 1;
  state.moment += (1 - kBeta1) * (slope - state.moment);
  state.square += (1 - kBeta2) * (slope * slope - state.square);
  const double moment = state.moment / (1 - std::pow(kBeta1, state.steps));
  const double square = state.square / (1 - std::pow(kBeta2, state.steps));
  state.s = std::clamp(state.s - rate_ * moment / (std::sqrt(square) + kEpsilon), -kMost, kMost);
}

void UncertaintyBalancer::update_weights() {
  for (std::size_t k = 0; k < states_.size(); ++k) weights_[k] = raw_weight(static_cast<int>(k));
  normalise_weights(weights_, min_weight_);
}

void UncertaintyBalancer::save(ByteWriter& writer) const {
  writer.put(fraction_);
  for (const State& state : states_) {
    for (const double value :
         {state.s, state.moment, state.square, state.steps, state.loss_sum, state.loss_count}) {
      writer.put(value);
    }
  }
}

void UncertaintyBalancer::restore(ByteReader& reader) {
  const auto number = [&reader] {
    const auto value = reader.get<double>();
    if (!std::isfinite(value)) throw StateError("the balancer's state is not finite");
    return value;
  };
  fraction_ = number();
  for (State& state : states_) {
    for (double* value : {&state.s, &state.moment, &state.square, &state.steps, &state.loss_sum,
                          &state.loss_count}) {
      *value = number();
    }
    if (std::abs(state.s) > kMost || state.square < 0 || state.steps < 0) {
      throw StateError("the balancer's state is out of its range");
    }
  }
  update_weights();
}

}  // namespace millrace
