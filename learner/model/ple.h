#pragma once

#include "learner/model/expert_level.h"

namespace millrace {

/// Progressive layered extraction (Tang et al. 2020): x_k^0 = x_s^0 = x; at level j each task has
/// `task_experts` experts of x_k^{j−1} and all share `shared_experts` of x_s^{j−1}; task k's gate
/// reads x_k^{j−1} and mixes its own and the shared ones to x_k^j; below the last level a shared
/// gate reads x_s^{j−1} and mixes ALL experts to x_s^j. CGC is one level.
///
/// Options, for comparison: a shared gate over the shared experts alone; none, so that the shared
/// experts above the first level read what the first task does.
std::vector<LevelShape> ple_levels(int inputs, int tasks, const ModelOptions& options);

}  // namespace millrace
