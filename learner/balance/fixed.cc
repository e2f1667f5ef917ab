#include "learner/balance/fixed.h"

#include "learner/base/check.h"

namespace millrace {

FixedBalancer::FixedBalancer(const BalanceOptions& options, const std::vector<Task>& tasks) {
  for (const Task& task : tasks) {
    const auto given = options.weights.find(task.name);
    weights_.push_back(given == options.weights.end() ? 1 : given->second);
    MILLRACE_CHECK(weights_.back() >= 0);
  }
  normalise_weights(weights_, 0);
}

}  // namespace millrace
