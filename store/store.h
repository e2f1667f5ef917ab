#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/time.h"
#include "store/commit.h"
#include "store/digest.h"
#include "store/error.h"
#include "store/history.h"
#include "store/probe.h"
#include "store/snapshot.h"

namespace millrace {

/// The commit log of the whole service in RocksDB: one synced write batch a commit, each with all
/// participants' changes, so that after any crash all of them stand at the same barrier.
///
/// Large sets are logs of blocks: each commit appends one block a set; the oldest blocks are
/// cleaned when the log is much larger than what lives in it: their living entries are put again by
/// the owner, in a later commit that also deletes them. So the store stays within a multiple of the
/// live state however long it runs. Entries that do not fit into their owner's memory lie in cold
/// blocks, which it reads one by one. FORMAT.md has each key and value.
///
/// Threads: `snapshot`, `snapshots`, `sequence` and `probe` from any, cold blocks are read on their
/// owner's; everything else from one at a time.
class Store {
 public:
  enum class Access { kWrite, kRead };
  /// Opens or (kWrite) creates. kRead also works beside a process that writes: it changes nothing,
  /// and sees the last commit at the moment of the call. A snapshot is opened by its folder's path.
  /// kWrite finishes or undoes a rollback that was broken off, and where acknowledged commits are
  /// gone (see `lost`) keeps that in the history.
  /// Error: throws StoreLockedError, StoreFullError, StoreError (no store there, a newer schema),
  /// StoreDamagedError, which says how to go back to the newest good snapshot.
  static std::unique_ptr<Store> open(const std::string& path, Access access);
  ~Store();

  /// Whether there is a store at all.
  static bool exists(const std::string& path);

  /// The sequence of the last durable commit; 0 for a new store. Above every number that a version
  /// was ever named after, so that the next commit's is new.
  std::uint64_t sequence() const;

  /// What was acknowledged as written and is not there: the end of the write-ahead log was torn, or
  /// files were put back by hand. The state is that of an earlier commit, positions included, so
  /// the events since are learned again.
  struct Lost {
    std::uint64_t acknowledged = 0;  ///< The last commit that was,
    std::uint64_t recovered = 0;     ///< and the one that is there.
  };
  std::optional<Lost> lost() const;
  /// Whether `<store>/acknowledged` was there and could not be read: commits may be lost, and
  /// nobody can tell. The next commit writes it anew.
  bool acknowledged_damaged() const;

  /// Losses and rollbacks, oldest first; the last few.
  std::vector<StoreEvent> history() const;

  /// Restores a participant from the last commit; does nothing where the store has none of it. A
  /// large block comes in several pieces, in order, each with the block's sequence. Of cold blocks
  /// the directories come; from now on, also of a new store, it reads their bytes here.
  /// Error: throws StoreError; StoreDamagedError also for what the participant cannot read.
  void restore(Participant& participant) const;
  /// The names of all participants of the last commit.
  std::vector<std::string> participants() const;
  /// One value of the last commit.
  std::optional<std::string> value(std::string_view participant, std::string_view name) const;

  /// Writes and syncs one commit. Requires: opened with kWrite; its sequence is above the last
  /// one's; at most one block a set.
  /// Error: throws StoreError; the store then refuses to be written again by this object, because
  /// what is on the disk is known only after it was opened anew.
  void write(const Commit& commit);

  /// Removes all that the store has of a participant, in one synced write. Requires: opened with
  /// kWrite, and nothing was written yet; it has no cold blocks. Error: as `write`.
  void forget(const std::string& participant);

  /// The pieces that the owners should put again in the next commit; they are deleted by the commit
  /// that `write` is next given, where their participant is part of it. Call once before each
  /// barrier, after the `write` of the one before. None where the store is only read.
  /// Error: throws StoreError.
  std::vector<Cleaning> cleanings();

  /// 64 bits over the set of entries of weights, optimiser, learner and join state; whatever their
  /// order and place. Reads the whole state (see `summarize`).
  std::uint64_t digest() const;
  /// The digest, and the size of each set.
  StateSummary summarize() const;

  /// Takes a snapshot (hard links) under the store's folder; removes all but the newest `keep` and
  /// those in use.
  /// Commits go on meanwhile. Requires: keep ≥ 1. Error: throws StoreError.
  SnapshotInfo snapshot(EventTime now, int keep);
  /// The complete ones, oldest first.
  std::vector<SnapshotInfo> snapshots() const;

  const StoreProbe& probe() const;

 private:
  struct Parts;
  explicit Store(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
