#pragma once

#include "ops/config/config.h"
#include "ops/config/reader.h"

namespace millrace {

/// `embeddings` and `train.embedding`: parameters of another optimiser than the one chosen, and
/// what cannot work together. A parameter at its default says nothing.
void check_embeddings(ConfigReader& reader, const Config& config);

}  // namespace millrace
