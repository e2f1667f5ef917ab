#include "store/free_space.h"

#include <sys/statvfs.h>

#include <filesystem>
#include <limits>

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::uint64_t free_bytes(const std::string& path) {
  std::error_code error;
  fs::path folder = fs::absolute(path, error);
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) return std::numeric_limits<std::uint64_t>::max();
  return static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
}

std::string mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + "MiB"; }

}  // namespace

bool FreeSpace::enough() const { return least_ == 0 || free_bytes(path_) >= least_; }

std::string FreeSpace::complaint() const {
  return "only " + mebibytes(free_bytes(path_)) + " are free for the store in " + path_ +
         ", less than store.free_space (" + mebibytes(least_) + "); make room";
}

}  // namespace millrace
