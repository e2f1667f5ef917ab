#include "learner/balance/loss_ratio.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"

namespace millrace {
namespace {

constexpr double kLeastLoss = 1e-9, kMostRatio = 100;
constexpr double kLeastFigure = 0.01;

double ratio(double last, double before_last) {
  if (!(before_last > kLeastLoss) || last < 0) return 1;
  return std::min(last / before_last, kMostRatio);
}

}  // namespace

WindowBalancer::WindowBalancer(const BalanceOptions& options, std::size_t tasks)
    : method_(options.method),
      window_(options.window),
      temperature_(options.temperature),
      focus_(options.focus),
      share_(options.share),
      min_weight_(options.min_weight),
      states_(tasks),
      weights_(tasks, 1) {
  MILLRACE_CHECK(method_ == BalanceMethod::kDwa || method_ == BalanceMethod::kDtp ||
                 method_ == BalanceMethod::kPerformance);
}

bool WindowBalancer::needs_performance() const {
  return method_ != BalanceMethod::kDwa && steps_ + 1 >= window_;
}

void WindowBalancer::step(const StepMeasures& measures) {
  MILLRACE_CHECK(measures.losses.size() == states_.size());
  for (std::size_t k = 0; k < states_.size(); ++k) {
    states_[k].sum += measures.losses[k].sum;
    states_[k].count += measures.losses[k].count;
  }
  steps_ += 1;
  if (steps_ < window_) return;
  steps_ = 0;
  if (method_ == BalanceMethod::kDwa) {
    by_loss_ratios();
  } else if (!measures.performance.empty()) {
    by_performance(measures.performance);
  }
  for (State& state : states_) state.sum = state.count = 0;
}

void WindowBalancer::by_loss_ratios() {
  std::vector<double> shares(states_.size());
  std::vector<bool> present(states_.size());
  double most = 0;
  for (std::size_t k = 0; k < states_.size(); ++k) {
    State& state = states_[k];
    if (state.count == 0) continue;
    state.before_last = state.last;
    state.last = state.sum / state.count;
    state.windows = std::min(state.windows + 1, 2.0);
    present[k] = true;
    shares[k] = (state.windows < 2 ? 1 : ratio(state.last, state.before_last)) / temperature_;
    most = std::max(most, shares[k]);
  }
  for (double& share : shares) share = std::exp(share - most);
  share_out(shares, present, 1);
}

void WindowBalancer::by_performance(std::span<const double> performance) {
  MILLRACE_CHECK(performance.size() == states_.size());
  const bool dtp = method_ == BalanceMethod::kDtp;
  std::vector<double> shares(states_.size());
  std::vector<bool> present(states_.size());
  for (std::size_t k = 0; k < states_.size(); ++k) {
    if (states_[k].count == 0 || !std::isfinite(performance[k])) continue;
    const double now = std::clamp(performance[k], kLeastFigure, 1 - kLeastFigure);
    double& figure = states_[k].figure;
    // The performance rule is itself a running mean, of the weights.
    figure = figure < 0 || !dtp ? now : figure + share_ * (now - figure);
    present[k] = true;
    shares[k] = dtp ? -std::pow(1 - figure, focus_) * std::log(figure) : figure;
  }
  share_out(shares, present, dtp ? 1 : share_);
}

void WindowBalancer::share_out(const std::vector<double>& shares, const std::vector<bool>& present,
                               double part) {
  double before = 0, sum = 0;
  for (std::size_t k = 0; k < states_.size(); ++k) {
    if (!present[k]) continue;
    before += weights_[k];
    sum += shares[k];
  }
  if (!(sum > 0)) return;
  for (std::size_t k = 0; k < states_.size(); ++k) {
    if (present[k]) weights_[k] += part * (shares[k] * (before / sum) - weights_[k]);
  }
  normalise_present(weights_, present, before, min_weight_);
}

void WindowBalancer::save(ByteWriter& writer) const {
  writer.put(steps_);
  for (std::size_t k = 0; k < states_.size(); ++k) {
    const State& state = states_[k];
    for (const double value : {weights_[k], state.sum, state.count, state.last, state.before_last,
                               state.windows, state.figure}) {
      writer.put(value);
    }
  }
}

void WindowBalancer::restore(ByteReader& reader) {
  steps_ = read_finite(reader);
  for (std::size_t k = 0; k < states_.size(); ++k) {
    State& state = states_[k];
    for (double* value : {&weights_[k], &state.sum, &state.count, &state.last, &state.before_last,
                          &state.windows, &state.figure}) {
      *value = read_finite(reader);
    }
    if (steps_ < 0 || state.count < 0 || state.figure > 1) {
      throw StateError("the balancer's state is out of its range");
    }
  }
  accept_weights(weights_);
}

}  // namespace millrace
