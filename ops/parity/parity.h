#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "learner/base/result.h"
#include "ops/config/config.h"
#include "ops/parity/batch_file.h"
#include "ops/parity/tensor_file.h"

namespace millrace {

/// Training steps on given batches, without Kafka, join or store, so that other code can be held
/// against them. The guardrails that judge losses and labels are off: nothing is frozen.
struct ParityRun {
  Config config;
  GivenBatches batches;
  std::optional<TensorFile> weights;  ///< To start from; none: the initial ones.
  std::int64_t steps = 0;             ///< Batches are taken in turn, and from the first again.
};

/// What came of it.
struct ParityResult {
  TensorFile weights;  ///< After the steps (weights_file).
  /// One JSON object a step: {"step": 0, "rows": n, "tasks": {"ctr": {"loss": L, "weight": ω}}},
  /// the mean loss of the batch before the step (null without a label) and its weight in the step.
  std::string trace;
};

/// The weights that training would start from: dense ones and the rows of all values in the
/// batches, by train.seed.
Result<TensorFile> initial_weights(const Config& config, const GivenBatches& batches);

/// Error: the weights do not fit the configuration, embeddings.admit_after is above 1 (given rows
/// are rows), or a step was skipped because something in it was not finite.
Result<ParityResult> run_parity(const ParityRun& run);

}  // namespace millrace
