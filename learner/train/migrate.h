#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/data/schema.h"
#include "learner/model/migrate.h"
#include "learner/train/trainer.h"

namespace millrace {

/// Carries the saved state of one model over to another shape: tasks, features or experts that came
/// or went. What both shapes have is kept bit for bit, optimiser state and metrics included; what
/// is new starts as in a new model, from the configured seed. It works on saved bytes, so that a
/// store is migrated without ever holding its tables in memory.
///
/// What belongs to a method that changed (balancing, an optimiser) is made anew. Threads:
/// immutable.
class TrainerMigration {
 public:
  /// Borrows nothing. Requires: both were validated.
  TrainerMigration(const Schema& old_schema, const LearnerOptions& old_options,
                   const Schema& new_schema, const LearnerOptions& new_options);

  /// The value in the new shape; nothing where it belongs to what went, or is made anew.
  /// Error: throws StateError.
  std::optional<std::string> value(std::string_view name, std::string_view bytes) const;
  /// Whether the entries of this set stay as they are; otherwise they go.
  bool keeps_set(std::string_view set) const;

  const ModelMigration& model() const { return model_; }
  /// By task and feature of the new schema: the same one of the old, or −1.
  const std::vector<int>& tasks() const { return tasks_; }
  const std::vector<int>& features() const { return features_; }
  /// Names of embedding tables that keep their rows, start empty, and go.
  const std::vector<std::string>& kept_tables() const { return kept_tables_; }
  const std::vector<std::string>& made_tables() const { return made_tables_; }
  const std::vector<std::string>& dropped_tables() const { return dropped_tables_; }
  bool keeps_dense_optimizer() const;
  bool keeps_balance() const;
  /// Whether the scores kept for labels that are learned before they are decided, and the auxiliary
  /// heads of their policies, stay as they are: only where neither tasks nor inputs changed.
  bool keeps_admission() const;
  bool keeps_scores() const;
  bool keeps_heads() const;
  /// Whether what was measured of the tasks' relations stays: only where neither tasks nor network
  /// changed.
  bool keeps_relations() const;

 private:
  std::string dense(std::string_view bytes) const;
  std::string numeric(std::string_view bytes) const;
  std::string tables(std::string_view bytes) const;
  bool keeps_metrics(std::string_view name) const;
  bool keeps_evaluation(std::string_view name) const;

  const Schema old_schema_, new_schema_;
  const LearnerOptions old_options_, new_options_;
  std::vector<int> tasks_, features_;
  ModelMigration model_;
  std::vector<std::string> kept_tables_, made_tables_, dropped_tables_;
};

}  // namespace millrace
