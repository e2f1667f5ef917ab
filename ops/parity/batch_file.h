#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "learner/base/result.h"
#include "learner/data/batch.h"
#include "ops/config/config.h"

namespace millrace {

/// The name of each row (row_names.h), by its key, for each of Schema::tables.
using KeyTexts = std::vector<std::map<std::uint64_t, std::string>>;

/// Batches as a file gives them, ready for a trainer.
struct GivenBatches {
  std::vector<Batch> batches;
  KeyTexts texts;  ///< Of all values that occur.
};

/// Reads samples (contract, Samples), one a line, each with the number of its batch beside:
///
///   {"type": "sample", "time": 1764000000000, "batch": 0, "features": {…}, "labels": {…}}
///
/// A line may have `delays` for tasks under dfm, in ms (Batch::since, until); without, their labels
/// are learned as they are:
///
///   "delays": {"cvr": {"until": 5400000, "since": 900000}, "buy": {"until": "never"}}
///
/// Consecutive lines of one number are a batch; lines without one fill batches of train.batch rows.
/// Labels and features become what they become in training; sampling, load shedding and caps do
/// not apply. The batches are of the stream of samples.
/// Error: names the line and what is wrong with it: it is no sample, has no label (training passes
/// over such rows), or a batch has more than train.batch rows.
Result<GivenBatches> read_batches(const std::string& path, const Config& config);

}  // namespace millrace
