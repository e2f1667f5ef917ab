#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "learner/base/time.h"
#include "store/snapshot.h"

namespace millrace {

/// What a rollback does with what came in since the snapshot.
enum class Offsets {
  kRewind,  ///< Everything as in the snapshot: the events since are read and learned again.
  kKeep,    ///< The models as in the snapshot; positions, join, open batches, dead letters as now.
};

struct RolledBack {
  std::string snapshot;
  std::uint64_t from = 0;    ///< The last commit before.
  std::uint64_t to = 0;      ///< The snapshot's commit.
  std::uint64_t commit = 0;  ///< The number that the state has now, higher than any before.
  Offsets offsets = Offsets::kRewind;
  std::string held = {};  ///< Of a daemon: why the weights are not served; empty where they are.
};

/// Why a daemon did not roll back.
struct RollbackRefusal {
  std::string message;
  bool no_such_snapshot = false;
};

/// Goes back to a snapshot (by name, or "latest"), whose files are verified first. The new state is
/// made beside the old one and takes its place in one step, so that a process that dies on the way
/// leaves either of them: a journal (`<store>/rollback`) says which, and the next one that opens
/// the store for writing finishes or undoes it.
///
/// Works on a store whose database is damaged too, with kRewind. Requires: nobody holds the store.
/// Cost: kRewind little (hard links); kKeep reads and writes the models' state once.
/// Error: throws StoreLockedError, StoreFullError, StoreError (no such snapshot, a damaged one, of
/// another configuration with kKeep); the store is then as it was.
RolledBack roll_back(const std::string& store, const std::string& snapshot, Offsets offsets,
                     EventTime now);

/// Puts a database that `make(folder)` writes as `<folder>/db` in the place of the store's, by the
/// same journal: for a migration. Requires: nobody holds the store. Error: as `roll_back`, and what
/// `make` throws; the store is then as it was.
void replace_database(const std::string& store,
                      const std::function<void(const std::string& folder)>& make);

/// Finishes or undoes what a dead process began. Requires: the caller holds the store.
/// Error: throws StoreError.
void settle_rollback(const std::filesystem::path& store);

/// Whether one is under way, or was broken off.
bool rollback_is_open(const std::filesystem::path& store);

}  // namespace millrace
