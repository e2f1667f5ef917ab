#include "learner/balance/balancer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "learner/balance/fixed.h"
#include "learner/balance/gradnorm.h"
#include "learner/balance/loss_ratio.h"
#include "learner/balance/random_weights.h"
#include "learner/balance/uncertainty.h"
#include "learner/base/check.h"

namespace millrace {

std::unique_ptr<Balancer> make_balancer(const BalanceOptions& options,
                                        const std::vector<Task>& tasks, std::uint64_t seed) {
  switch (options.method) {
    case BalanceMethod::kFixed:
      return std::make_unique<FixedBalancer>(options, tasks);
    case BalanceMethod::kUncertainty:
      return std::make_unique<UncertaintyBalancer>(options, tasks);
    case BalanceMethod::kGradnorm:
      return std::make_unique<GradNormBalancer>(options, tasks);
    case BalanceMethod::kDwa:
    case BalanceMethod::kDtp:
    case BalanceMethod::kPerformance:
      return std::make_unique<WindowBalancer>(options, tasks.size());
    case BalanceMethod::kRandom:
      return std::make_unique<RandomBalancer>(options, tasks.size(), seed);
  }
  MILLRACE_CHECK(false);
  return nullptr;
}

void normalise_weights(std::span<double> weights, double least) {
  const auto scale = [&] {
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    MILLRACE_CHECK(sum > 0);
    for (double& weight : weights) weight *= static_cast<double>(weights.size()) / sum;
  };
  scale();
  if (least <= 0 || *std::min_element(weights.begin(), weights.end()) >= least) return;
  for (double& weight : weights) weight = std::max(weight, least);
  scale();
}

void normalise_present(std::span<double> weights, const std::vector<bool>& present, double before,
                       double least) {
  double sum = 0;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (present[k]) sum += weights[k] = std::max(weights[k], least);
  }
  if (!(sum > 0)) return;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (present[k]) weights[k] *= before / sum;
  }
}

double read_finite(ByteReader& reader) {
  const auto value = reader.get<double>();
  if (!std::isfinite(value)) throw StateError("the balancer's state is not finite");
  return value;
}

void accept_weights(std::span<double> weights) {
  double sum = 0;
  for (const double weight : weights) {
    if (!(weight >= 0)) throw StateError("the balancer's state has a negative weight");
    sum += weight;
  }
  if (!(sum > 0)) throw StateError("the balancer's state has no weight");
  const auto tasks = static_cast<double>(weights.size());
  if (std::abs(sum - tasks) > 1e-6 * tasks) normalise_weights(weights, 0);
}

}  // namespace millrace
