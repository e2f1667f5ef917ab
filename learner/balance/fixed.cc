#include "learner/balance/fixed.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"

namespace millrace {

FixedBalancer::FixedBalancer(const BalanceOptions& options, const std::vector<Task>& tasks)
    : window_(options.window), min_weight_(options.min_weight) {
  const auto given = [](const auto& values, const std::string& name) {
    const auto found = values.find(name);
    return found == values.end() ? 1 : found->second;
  };
  for (const Task& task : tasks) {
    start_.push_back(given(options.weights, task.name));
    MILLRACE_CHECK(start_.back() >= 0);
    const double decay = given(options.decay, task.name);
    MILLRACE_CHECK(decay > 0);
    log_decay_.push_back(std::log(decay));
    scheduled_ |= decay != 1;
  }
  weights_ = start_;
  normalise_weights(weights_, 0);
}

void FixedBalancer::step(const StepMeasures&) {
  steps_ += 1;
  if (scheduled_ && std::fmod(steps_, window_) == 0) schedule();
}

// In logarithms: a stream has no last window, and γ^t no smallest number.
void FixedBalancer::schedule() {
  const double t = std::floor(steps_ / window_);
  double most = -INFINITY;
  for (std::size_t k = 0; k < start_.size(); ++k) {
    weights_[k] = std::log(start_[k]) + t * log_decay_[k];
    most = std::max(most, weights_[k]);
  }
  double sum = 0;
  for (double& weight : weights_) sum += weight = std::exp(weight - most);
  for (std::size_t k = 0; k < start_.size(); ++k) {
    const double least = start_[k] > 0 ? min_weight_ * sum / static_cast<double>(start_.size()) : 0;
    weights_[k] = std::max(weights_[k], least);
  }
  normalise_weights(weights_, 0);
}

void FixedBalancer::save(ByteWriter& writer) const { writer.put(steps_); }

void FixedBalancer::restore(ByteReader& reader) {
  steps_ = read_finite(reader);
  if (steps_ < 0) throw StateError("the balancer's state is out of its range");
  if (scheduled_ && steps_ >= window_) schedule();
}

}  // namespace millrace
