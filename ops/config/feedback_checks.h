#pragma once

#include <string>
#include <vector>

#include "ops/config/config.h"
#include "ops/config/document.h"
#include "ops/config/reader.h"

namespace millrace {

/// The index of the task of this name; complains at `key`.`name`, and gives −1, where there is
/// none.
int find_task(ConfigReader& reader, const Config& config, const std::string& key,
              const std::string& name);

/// How long after its impression a task's label is decided: after its own window, and no earlier
/// than its condition; 0 where only samples carry it.
Duration decided_after(const Config& config, int task);

/// `train.delayed_feedback`: what does not fit its task; the others' tasks get policy and short
/// wait. `doubts` gets what has no effect.
void check_feedback(ConfigReader& reader, Config& config, std::vector<Problem>& doubts);

/// `train.negative_sampling`: what does not fit together; the task gets its shift of the logit.
void check_sampling(ConfigReader& reader, Config& config, std::vector<Problem>& doubts);

}  // namespace millrace
