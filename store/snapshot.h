#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/result.h"
#include "learner/base/time.h"
#include "store/database.h"
#include "store/lock.h"

namespace millrace {

struct SnapshotInfo {
  std::string name;          ///< Of its folder: "<commit, 20 digits>-<time, UTC>".
  std::uint64_t commit = 0;  ///< The last one that it holds.
  EventTime taken;           ///< By the wall clock.
  std::uint64_t bytes = 0;   ///< Of its files; shared with the store while both need them.
};

/// The folder of a store's snapshots. Each is a folder `<name>` with the database under `db`, made
/// of hard links, and `manifest.json`: commit, time, and of each file its size and hash. One that
/// is not complete has a name that begins with ".tmp-".
///
/// Whoever reads a snapshot holds its folder, in whatever process; what is held is not removed.
/// Threads: any. Error: everything throws StoreError.
class SnapshotFolder {
 public:
  explicit SnapshotFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Copies `database` as of now; removes all but the newest `keep`, and those that are in use.
  SnapshotInfo take(Database& database, EventTime now, int keep);

  /// The complete ones, oldest first.
  std::vector<SnapshotInfo> list() const;

  /// By its name, or "latest". Error: there is none; names what there is.
  Result<SnapshotInfo> find(std::string_view name) const;

  /// Keeps it from being removed. Throws where it is gone.
  FolderLock hold(const SnapshotInfo& snapshot) const;

  /// Whether every file is what the manifest says. Reads all of it.
  Result<Ok> verify(const SnapshotInfo& snapshot) const;

  /// The newest one that is whole; nothing where none is.
  std::optional<SnapshotInfo> newest_good() const;

  /// Copies a snapshot to `to`, which must not exist: a tar file where its name ends in ".tar",
  /// else a folder. Verified first: a damaged one is not copied.
  void export_to(const SnapshotInfo& snapshot, const std::filesystem::path& to) const;

  /// The reverse: what is not byte for byte what its manifest says is refused, and never listed.
  SnapshotInfo import_from(const std::filesystem::path& from);

  /// Removes what a crash left behind, except what another process is making just now.
  void remove_incomplete();

  std::filesystem::path folder_of(const SnapshotInfo& snapshot) const {
    return folder_ / snapshot.name;
  }

 private:
  void remove_if_unused(const SnapshotInfo& snapshot);
  void remove_all_but(int keep);

  const std::filesystem::path folder_;
  std::mutex taking_;
};

}  // namespace millrace
