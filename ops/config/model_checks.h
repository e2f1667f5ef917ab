#pragma once

#include <vector>

#include "ops/config/config.h"
#include "ops/config/reader.h"

namespace millrace {

/// Holds the options of the backbones against the one that was chosen: a method that it does not
/// have is refused, by both names; a size that it does not have is doubtful.
void check_model(ConfigReader& reader, const ModelOptions& model, std::vector<Problem>& doubts);

}  // namespace millrace
