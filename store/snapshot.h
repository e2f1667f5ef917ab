#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "store/database.h"

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
/// Threads: any.
class SnapshotFolder {
 public:
  explicit SnapshotFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Copies `database` as of now; removes all but the newest `keep`. Error: throws StoreError.
  SnapshotInfo take(Database& database, EventTime now, int keep);

  /// The complete ones, oldest first.
  std::vector<SnapshotInfo> list() const;

  /// Removes what a crash left behind. Requires: no other process uses the folder.
  void remove_incomplete();

 private:
  void remove(const SnapshotInfo& snapshot);

  const std::filesystem::path folder_;
  std::mutex taking_;
};

}  // namespace millrace
