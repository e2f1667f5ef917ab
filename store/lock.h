#pragma once

#include <filesystem>
#include <optional>

namespace millrace {

/// A hold on a folder that other processes respect, and other objects of this one; it ends with the
/// object, and with the process whatever it dies of. Nothing is written. Threads: any.
class FolderLock {
 public:
  enum class Kind {
    kShared,  ///< Many at once: the folder is in use.
    kAlone,   ///< One, and no shared one.
  };
  /// Nothing where another hold stands against it, which is not waited for.
  /// Error: throws StoreError where the folder cannot be opened.
  static std::optional<FolderLock> take(const std::filesystem::path& folder, Kind kind);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;
  ~FolderLock();

 private:
  explicit FolderLock(int file) : file_(file) {}
  int file_ = -1;
};

}  // namespace millrace
