#pragma once

#include <cstdint>
#include <string>

namespace millrace {

/// Says no before the disk does: a commit or a snapshot is begun only where more than `least` bytes
/// are free, since what a full disk does to a database is nowhere written down.
class FreeSpace {
 public:
  /// Of the disk that holds `path` (or will hold it). 0: never says no.
  FreeSpace(std::string path, std::uint64_t least) : path_(std::move(path)), least_(least) {}

  /// Whether there is enough; also where the disk does not tell. Cost: one system call.
  bool enough() const;
  /// "only 12MiB are free for the store in …, less than store.free_space (256MiB)".
  std::string complaint() const;

 private:
  const std::string path_;
  const std::uint64_t least_;
};

}  // namespace millrace
