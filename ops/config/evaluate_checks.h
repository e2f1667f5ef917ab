#pragma once

#include <vector>

#include "ops/config/config.h"
#include "ops/config/document.h"
#include "ops/config/reader.h"

namespace millrace {

/// `evaluate`: names of tasks and features that there are not, formulas that cannot be read or
/// whose tasks are never known together. `doubts` gets what has no effect.
void check_evaluate(ConfigReader& reader, const Config& config, std::vector<Problem>& doubts);

}  // namespace millrace
