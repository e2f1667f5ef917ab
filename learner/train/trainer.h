#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learner/balance/options.h"
#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/embedding/options.h"
#include "learner/evaluate/options.h"
#include "learner/evaluate/tally.h"
#include "learner/model/options.h"
#include "learner/publish/publication.h"
#include "learner/relation/options.h"
#include "learner/train/guardrail_options.h"
#include "learner/train/options.h"
#include "learner/train/report.h"

namespace millrace {

/// Everything of a configuration that the learner reads.
struct LearnerOptions {
  ModelOptions model;
  BalanceOptions balance;
  RelationOptions relations;
  TrainOptions train;
  EmbeddingOptions embeddings;
  GuardrailOptions guardrails;
  EvaluateOptions evaluate;
};

/// One model that learns from a stream of batches: each batch is scored, measured, then trained on.
///
/// Deterministic: the same batches give the same bits, whatever the number of threads. All of its
/// state is what it saves as a participant ("model/<name>").
/// Rows that weigh nothing (guardrails.user_cap) are scored, measured, and their first scores kept;
/// to all that is learned they are not there: no normaliser, share, statistic, range, first bias or
/// guardrail sees them, and no key gets, or keeps, a row for being in one.
/// A batch with a non-finite loss or gradient updates nothing and is counted. What of a batch is
/// learned is decided by the guardrails (guardrail.h): a frozen task's labels have no weight, and
/// its own parameters stay as they are, moments included; where no task learns, nothing changes.
/// Memory: tables grow with the keys up to `embeddings.max_rows` each; all else is taken at
/// construction. Threads: one at a time, but for `probe`.
class Trainer final : public Participant {
 public:
  Trainer(std::string name, const Schema& schema, const LearnerOptions& options);
  ~Trainer() override;

  /// Begins with given weights instead of the initial ones: `dense` is the whole block (empty: the
  /// initial one), tables[t] has keys that get rows of table t, as last seen at `seen`, and their
  /// weights (none: the initial ones). Given dense weights are taken as they are: no first bias is
  /// set from the labels. For comparisons with other code.
  /// Requires: nothing was trained or restored; keys get a row when they are first seen.
  void start_from(std::span<const float> dense, std::span<const TableUpdate> tables,
                  EventTime seen);

  /// One step, and the labels that are only measured; without a row these alone.
  /// Requires: batch.rows ≤ options.train.batch.
  void train(const Batch& batch);

  /// What stands against publishing the weights as they are: `unbounded` (a weight that is not
  /// finite, or one or a step beyond guardrails.publish) or `loss` (a task's loss on the last batch
  /// rose by more than guardrails.publish.max_loss under them); empty: nothing. Changes nothing.
  std::string_view held();
  /// Whether the guardrails hold the weights until they are good again. It is the part of `held`
  /// that a restart remembers.
  bool holds_versions() const;
  /// What changed since the last call (everything, the first time), for the scorers.
  Publication publish();
  /// Nobody has what was published any more: the next publication is of everything. Until then what
  /// changed is not noted.
  void unpublish();

  /// As TaskMetrics::observe: called within `train`, on its thread.
  using Observer = std::function<void(int task, const Measurement& row, std::uint64_t user)>;
  void observe(Observer observer);

  /// The index of the task of that name.
  std::optional<int> find_task(std::string_view name) const;
  /// An administrator's commands, between two steps; `task`: its index, or none for all. They are
  /// part of the state. `resume` returns whether anything was frozen.
  void freeze(std::optional<int> task, std::string reason);
  bool resume(std::optional<int> task);
  /// What the guardrails and the gates have to tell, each once, for the log.
  std::vector<std::string> take_notices();

  const std::string& name() const;
  /// A copy of what is known of every task. Not `whole`: figures of some tasks may be those of an
  /// earlier call, so that it is cheap enough for a few times a second, whatever the tasks.
  TrainerReport report(bool whole = true) const;
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
