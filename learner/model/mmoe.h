#pragma once

#include "learner/model/expert_level.h"

namespace millrace {

/// Multi-gate mixture of experts (Ma et al. 2018, eq. 6–8): one level of `experts` shared experts,
/// and a gate for each task over them all, which starts at an even mixture. With `one_gate` a
/// single gate serves all tasks (OMoE).
std::vector<LevelShape> mmoe_levels(int inputs, int tasks, const ModelOptions& options);

}  // namespace millrace
