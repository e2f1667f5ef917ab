#pragma once

#include <vector>

#include "ops/config/config.h"
#include "ops/config/document.h"
#include "ops/config/reader.h"

namespace millrace {

/// `doubts` gets what was changed of something that is off: how often it would be measured, how
/// many rows a cap that there is not would leave. Requires: policies of delayed feedback are set.
void check_idle(const ConfigReader& reader, const Config& config, std::vector<Problem>& doubts);

}  // namespace millrace
