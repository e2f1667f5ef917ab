#include "learner/balance/balancer.h"

#include <algorithm>
#include <numeric>

#include "learner/balance/fixed.h"
#include "learner/balance/uncertainty.h"
#include "learner/base/check.h"

namespace millrace {

std::unique_ptr<Balancer> make_balancer(const BalanceOptions& options,
                                        const std::vector<Task>& tasks) {
  if (options.method == BalanceMethod::kFixed) {
    return std::make_unique<FixedBalancer>(options, tasks);
  }
  MILLRACE_CHECK(options.method == BalanceMethod::kUncertainty);
  return std::make_unique<UncertaintyBalancer>(options, tasks);
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

}  // namespace millrace
