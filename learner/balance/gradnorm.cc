#include "learner/balance/gradnorm.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "learner/base/check.h"
#include "learner/math/running_mean.h"

namespace millrace {

GradNormBalancer::GradNormBalancer(const BalanceOptions& options, const std::vector<Task>& tasks)
    : options_(options.gradnorm),
      min_weight_(options.min_weight),
      states_(tasks.size()),
      weights_(tasks.size(), 1) {
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    const bool ln2 = options_.start_loss == StartLoss::kLn2 && tasks[k].kind == TaskKind::kBinary;
    starts_at_ln2_.push_back(ln2);
    if (ln2) states_[k].start = std::numbers::ln2;
  }
}

bool GradNormBalancer::needs_norms() const { return std::fmod(steps_, options_.every) == 0; }

void GradNormBalancer::take(State& state, double loss, bool given_start) const {
  const double length = options_.loss_steps;
  state.loss += math::running_share(state.loss_steps, 1, length) * (loss - state.loss);
  state.loss_steps = std::min(state.loss_steps + 1, length);
  if (!given_start && state.start_steps < options_.start_steps) {
    state.start_steps += 1;
    state.start += (loss - state.start) / state.start_steps;
  } else {
    state.start += options_.start_drift * (state.loss - state.start);
  }
}

double GradNormBalancer::relative_loss(const State& state) const {
  constexpr double kLeast = 1e-12;
  return state.start > kLeast ? std::max(state.loss, 0.0) / state.start : 1;
}

void GradNormBalancer::step(const StepMeasures& measures) {
  MILLRACE_CHECK(measures.losses.size() == states_.size());
  for (std::size_t k = 0; k < states_.size(); ++k) {
    const TaskLoss& loss = measures.losses[k];
    if (loss.count > 0) take(states_[k], loss.sum / loss.count, starts_at_ln2_[k]);
  }
  if (needs_norms() && !measures.norms.empty()) move(measures.losses, measures.norms);
  steps_ += 1;
}

void GradNormBalancer::move(std::span<const TaskLoss> losses, std::span<const double> norms) {
  MILLRACE_CHECK(norms.size() == states_.size());
  std::vector<bool> present(states_.size());
  double count = 0, gradient = 0, relative = 0, sum = 0;
  for (std::size_t k = 0; k < states_.size(); ++k) {
    present[k] = losses[k].count > 0 && std::isfinite(norms[k]);
    if (!present[k]) continue;
    count += 1;
    gradient += weights_[k] * norms[k];
    relative += relative_loss(states_[k]);
    sum += weights_[k];
  }
  if (count == 0) return;
  gradient /= count;
  relative /= count;
  for (std::size_t k = 0; k < states_.size(); ++k) {
    if (!present[k]) continue;
    const double r = relative > 0 ? relative_loss(states_[k]) / relative : 1;
    // Compared, not subtracted: a fused product would find a task that is alone above or below
    // itself.
    const double size = weights_[k] * norms[k], target = gradient * std::pow(r, options_.alpha);
    const double sign = size > target ? 1 : size < target ? -1 : 0;
    weights_[k] -= options_.rate * states_[k].adam.step(sign * norms[k]);
  }
  normalise_present(weights_, present, sum, min_weight_);
}

void GradNormBalancer::save(ByteWriter& writer) const {
  writer.put(steps_);
  for (std::size_t k = 0; k < states_.size(); ++k) {
    const State& state = states_[k];
    for (const double value :
         {weights_[k], state.loss, state.loss_steps, state.start, state.start_steps}) {
      writer.put(value);
    }
    state.adam.save(writer);
  }
}

void GradNormBalancer::restore(ByteReader& reader) {
  steps_ = read_finite(reader);
  for (std::size_t k = 0; k < states_.size(); ++k) {
    State& state = states_[k];
    for (double* value :
         {&weights_[k], &state.loss, &state.loss_steps, &state.start, &state.start_steps}) {
      *value = read_finite(reader);
    }
    state.adam.restore(reader);
    if (steps_ < 0 || state.loss_steps < 0 || state.start_steps < 0) {
      throw StateError("the balancer's state is out of its range");
    }
  }
  accept_weights(weights_);
}

}  // namespace millrace
