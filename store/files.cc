#include "store/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

#include "learner/base/hash.h"
#include "store/error.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& doing, const fs::path& path, int error) {
  throw StoreError("cannot " + doing + ' ' + path.string() + ": " +
                   std::generic_category().message(error));
}

// An open file, closed at the end.
class Handle {
 public:
  Handle(const fs::path& path, int flags) : file_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (file_ < 0) fail("open", path, errno);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { ::close(file_); }
  int get() const { return file_; }

 private:
  const int file_;
};

}  // namespace

void make_folder(const fs::path& folder) {
  const fs::path absolute = fs::absolute(folder).lexically_normal();
  if (fs::is_directory(absolute)) return;
  const fs::path parent = absolute.parent_path();
  if (parent != absolute) make_folder(parent);
  std::error_code error;
  fs::create_directory(absolute, error);
  if (error) fail("create the folder", absolute, error.value());
  sync_folder(parent);
}

void sync_folder(const fs::path& folder) {
  const Handle handle(folder.empty() ? fs::path(".") : folder, O_RDONLY | O_DIRECTORY);
  if (::fsync(handle.get()) != 0) fail("sync", folder, errno);
}

void write_file(const fs::path& path, std::string_view text) {
  const Handle handle(path, O_WRONLY | O_CREAT | O_EXCL);
  while (!text.empty()) {
    const ssize_t written = ::write(handle.get(), text.data(), text.size());
    if (written < 0) fail("write", path, errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(handle.get()) != 0) fail("sync", path, errno);
}

void rename_in_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail("rename", from, error.value());
  sync_folder(to.parent_path());
}

void rename_across(const fs::path& from, const fs::path& to) {
  rename_in_folder(from, to);
  sync_folder(from.parent_path());
}

void copy_file_synced(const fs::path& from, const fs::path& to) {
  const Handle source(from, O_RDONLY);
  const Handle target(to, O_WRONLY | O_CREAT | O_EXCL);
  std::string chunk(1 << 20, '\0');
  for (;;) {
    const ssize_t got = ::read(source.get(), chunk.data(), chunk.size());
    if (got < 0) fail("read", from, errno);
    if (got == 0) break;
    std::string_view left(chunk.data(), static_cast<std::size_t>(got));
    while (!left.empty()) {
      const ssize_t written = ::write(target.get(), left.data(), left.size());
      if (written < 0) fail("write", to, errno);
      left.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  if (::fsync(target.get()) != 0) fail("sync", to, errno);
}

std::uint64_t hash_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("open", path, errno);
  std::string chunk(1 << 20, '\0');
  std::uint64_t hash = 0;
  while (file) {
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    const auto count = static_cast<std::size_t>(file.gcount());
    if (count > 0) hash = hash_bytes(std::string_view(chunk).substr(0, count), hash);
  }
  if (file.bad()) fail("read", path, errno);
  return hash;
}

}  // namespace millrace
