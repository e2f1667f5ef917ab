#pragma once

#include <vector>

#include "ops/config/config.h"
#include "ops/config/reader.h"

namespace millrace {

/// Holds a configuration whose sections were read against what must be true across keys: addresses,
/// topics, layers, weights and policies by task, the score. Takes the policies over into the tasks.
/// Complaints go to `reader`, what is merely doubtful to `doubts`.
void check_config(ConfigReader& reader, Config& config, std::vector<Problem>& doubts);

}  // namespace millrace
