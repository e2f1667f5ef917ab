#pragma once

#include <vector>

#include "ops/config/config.h"
#include "ops/config/document.h"
#include "ops/config/reader.h"

namespace millrace {

/// `balance` and `relations`: weights and schedules of tasks that there are not, and what does not
/// go together. `doubts` gets what has no effect.
void check_balance(ConfigReader& reader, const Config& config, std::vector<Problem>& doubts);

}  // namespace millrace
