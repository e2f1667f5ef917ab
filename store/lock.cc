#include "store/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "store/error.h"

namespace millrace {

std::optional<FolderLock> FolderLock::take(const std::filesystem::path& folder, Kind kind) {
  FolderLock lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (lock.file_ < 0) {
    throw StoreError("cannot open " + folder.string() + ": " +
                     std::generic_category().message(errno));
  }
  const int wanted = (kind == Kind::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  if (::flock(lock.file_, wanted) == 0) return lock;
  if (errno == EWOULDBLOCK) return std::nullopt;
  throw StoreError("cannot lock " + folder.string() + ": " +
                   std::generic_category().message(errno));
}

FolderLock::FolderLock(FolderLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

FolderLock::~FolderLock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace millrace
