#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "learner/balance/options.h"
#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/embedding/options.h"
#include "learner/model/options.h"
#include "learner/publish/publication.h"
#include "learner/train/options.h"
#include "learner/train/report.h"

namespace millrace {

/// Everything of a configuration that the learner reads.
struct LearnerOptions {
  ModelOptions model;
  BalanceOptions balance;
  TrainOptions train;
  EmbeddingOptions embeddings;
};

/// One model that learns from a stream of batches: each batch is scored, measured, then trained on.
///
/// Deterministic: the same batches give the same bits, whatever the number of threads. All of its
/// state is what it saves as a participant ("model/<name>").
/// A batch with a non-finite loss or gradient updates nothing and is counted.
/// Memory: tables grow with the keys up to `embeddings.max_rows` each; all else is taken at
/// construction. Threads: one at a time, but for `probe`.
class Trainer final : public Participant {
 public:
  Trainer(std::string name, const Schema& schema, const LearnerOptions& options);
  ~Trainer() override;

  /// One step, and the labels that are only measured; without a row these alone.
  /// Requires: batch.rows ≤ options.train.batch.
  void train(const Batch& batch);

  /// What changed since the last call (everything, the first time), for the scorers.
  Publication publish();

  const std::string& name() const;
  /// A copy of what is known of every task; cheap enough for a few times a second.
  TrainerReport report() const;
  const TrainerProbe& probe() const;

  std::string participant_name() const override;
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) override;
  void restored() override;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
