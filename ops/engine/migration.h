#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "ops/config/config.h"

namespace millrace {

/// What a migration kept, made anew and dropped.
struct MigrationReport {
  struct Names {
    std::vector<std::string> kept, made, dropped;
  };
  Names tasks, features, tables;
  /// Blocks of dense weights: `kept` wholly; in part where inputs or experts changed.
  Names weights;
  std::vector<std::string> weights_in_part;
  bool keeps_dense_optimizer = true;
  bool keeps_balance = true;
  std::uint64_t impressions = 0;           ///< That go on waiting,
  std::uint64_t impressions_finished = 0;  ///< and those that have nothing left to wait for.
  std::uint64_t labels_dropped = 0;        ///< That waited, of tasks that went or changed.
  std::uint64_t outcomes = 0, outcomes_dropped = 0;  ///< That wait for their impression.
  std::string snapshot;                              ///< Taken before.
  std::uint64_t commit = 0;                          ///< The first one of the new shape.
};

/// For a reader, a line for each kind of thing.
std::string to_text(const MigrationReport& report);

/// Carries the store of `config.store.path` over to another shape: tasks, features, experts,
/// windows and methods may change; the model's name and the seed may not. What both shapes have
/// keeps its bits. A snapshot is taken first; the new state is made beside the old one and takes
/// its place in one step, so that a process that dies on the way leaves either of them.
///
/// Nothing where there is no store, or it fits already. Requires: nobody holds the store. Memory:
/// that of the join, whose waiting impressions are read and written once; tables are copied.
/// Error: throws IdentityError (what cannot be migrated), StoreError, StateError.
std::optional<MigrationReport> migrate_store(const Config& config, EventTime now);

}  // namespace millrace
