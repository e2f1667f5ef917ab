#pragma once

#include <vector>

#include "ops/config/document.h"
#include "ops/config/load.h"

namespace millrace {

/// Writes the overrides over the tree, in their order. A key is a path: `train.batch`,
/// `features.0.dimension`, `tasks.ctr.kind` (entries of a list by number or by name),
/// `kafka.properties.linger.ms` (the rest of the path is one key there). What a path leads through
/// is made where it is absent, but for entries of lists.
void apply_overrides(ConfigNode& root, const std::vector<ConfigOverride>& overrides,
                     std::vector<Problem>& problems);

}  // namespace millrace
