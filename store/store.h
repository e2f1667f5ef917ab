#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/time.h"

namespace millrace {

/// The store cannot be opened, read or written; says which file and why.
struct StoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Another process holds the store.
struct StoreLockedError : StoreError {
  using StoreError::StoreError;
};

/// Everything up to one barrier, of every participant.
struct Commit {
  std::uint64_t sequence = 0;
  struct Part {
    std::string participant;
    StateChanges changes;
  };
  std::vector<Part> parts;
};

struct SnapshotInfo {
  std::string name;
  std::uint64_t commit = 0;
  EventTime taken;  ///< By the wall clock.
  std::uint64_t bytes = 0;
};

/// What the store counts; plain numbers, read by any thread.
struct StoreProbe {
  std::atomic<std::uint64_t> commits{0}, commit_bytes{0}, failures{0}, snapshots{0};
  std::atomic<double> commit_seconds_total{0}, last_commit_seconds{0};
  std::atomic<std::uint64_t> blocks{0}, block_bytes{0}, live_bytes{0};
};

/// The commit log of the whole service in RocksDB: one synced write batch a commit, each with all
/// participants' changes, so that after any crash all of them stand at the same barrier.
///
/// Large sets are logs of blocks: each commit appends one block a set; the oldest blocks are
/// cleaned when the log is much larger than what lives in it: their living entries are put again by
/// the owner, in a later commit that also deletes them. So the store stays within a multiple of the
/// live state however long it runs. FORMAT.md has each key and value.
///
/// Threads: `write` and `cleanings` from one thread at a time; `snapshot`, `probe` from any.
class Store {
 public:
  enum class Access { kWrite, kRead };
  /// Opens or (kWrite) creates; kRead also works beside a process that writes.
  /// Error: throws StoreLockedError, StoreError (no store there, a newer schema, damage).
  static std::unique_ptr<Store> open(const std::string& path, Access access);
  ~Store();

  /// The sequence of the last durable commit; 0 for a new store.
  std::uint64_t sequence() const;

  /// Restores a participant from the last commit; does nothing where the store has none of it.
  void restore(Participant& participant) const;
  /// The names of all participants of the last commit.
  std::vector<std::string> participants() const;
  /// One value of the last commit.
  std::optional<std::string> value(std::string_view participant, std::string_view name) const;

  /// Writes and syncs one commit. Requires: its sequence is above the last one's.
  /// Error: throws StoreError; the store must then not be written again by this object.
  void write(const Commit& commit);

  /// The blocks that the owners should put again in the next commit; they are deleted by the commit
  /// that `write` is next given. Call once before each barrier.
  std::vector<Cleaning> cleanings();

  /// 64 bits over the set of entries of weights, optimiser, learner and join state; whatever their
  /// order and place. Reads the whole state.
  std::uint64_t digest() const;

  /// Takes a snapshot (hard links) under the store's folder; keeps the newest `keep`.
  SnapshotInfo snapshot(EventTime now, int keep);
  std::vector<SnapshotInfo> snapshots() const;

  const StoreProbe& probe() const;

 private:
  struct Parts;
  explicit Store(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
