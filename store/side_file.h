#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace millrace {

/// What the world was told of a store: `<store>/acknowledged`, one line of fixed size beside the
/// database, written in place after each durable commit. An open store that stands below it has
/// lost commits (a torn end of its write-ahead log), which nothing else would show.
///
/// It needs no room on a full disk once it is there. Threads: one writes at a time.
struct Acknowledged {
  std::uint64_t commit = 0;  ///< The last one that was written and synced.
  /// A version may have been named after a commit up to this one without its being written: a start
  /// that waits for room on the disk serves what it restored under the next number.
  std::uint64_t named = 0;
};

/// Nothing where there is no such file, or it is not whole (one that is written for the first time
/// while the power fails).
std::optional<Acknowledged> read_acknowledged(const std::filesystem::path& store);

/// Whether the file is there and says nothing: what was acknowledged is unknown then.
bool acknowledged_is_damaged(const std::filesystem::path& store);

/// The number that a version may be named by without a commit: above `at_least` and all that were
/// used before, and kept, so that the next commit goes beyond it. Error: throws StoreError.
std::uint64_t name_without_commit(const std::filesystem::path& store, std::uint64_t at_least);

/// Overwrites and syncs it. Error: throws StoreError.
void write_acknowledged(const std::filesystem::path& store, const Acknowledged& acknowledged);

}  // namespace millrace
