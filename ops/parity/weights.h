#pragma once

#include <vector>

#include "learner/base/result.h"
#include "learner/publish/publication.h"
#include "ops/config/config.h"
#include "ops/parity/batch_file.h"
#include "ops/parity/tensor_file.h"

namespace millrace {

/// What a trainer starts from (Trainer::start_from).
struct GivenWeights {
  std::vector<float> dense;         ///< The model's whole block.
  std::vector<TableUpdate> tables;  ///< One for each of Schema::tables.
  KeyTexts texts;                   ///< Of the tables' keys.
};

/// Weights in a file are arrays by name:
///
///   expert.0.layer.0.weight [D,H], expert.0.layer.0.bias [H], …   the dense weights; y = x W + b
///   embedding.<table> [n,dimension]     rows, in the order of the values that the text
///   embedding.<table>.keys              gives: a JSON array of n strings
///
/// Error: a dense array is missing or of another shape, a table's rows and texts do not fit, or
/// there is something that the configuration does not have; names it and what was expected.
Result<GivenWeights> read_weights(const TensorFile& file, const Config& config);

/// The same file from a complete publication; rows in the order of their texts. A numeric feature
/// that is standardised adds standardisation.<feature> [2]: mean and 1 / deviation.
/// Requires: `texts` has every key that has a row.
TensorFile weights_file(const Publication& publication, const Config& config,
                        const KeyTexts& texts);

}  // namespace millrace
