#pragma once

#include <atomic>
#include <cstdint>

namespace millrace {

/// What the store counts: plain numbers, written by the threads that work, read by any.
struct StoreProbe {
  std::atomic<std::uint64_t> commits{0};       ///< Written and synced.
  std::atomic<std::uint64_t> commit_bytes{0};  ///< Of all commits together.
  std::atomic<std::uint64_t> failures{0};      ///< Writes and snapshots that failed.
  std::atomic<std::uint64_t> snapshots{0};     ///< Taken.
  std::atomic<std::uint64_t> side_file_failures{0};
  std::atomic<double> commit_seconds_total{0}, last_commit_seconds{0};
  /// Now: the pieces of all sets' blocks, and what the owners say lives in them.
  std::atomic<std::uint64_t> blocks{0}, block_bytes{0}, live_bytes{0};
};

}  // namespace millrace
