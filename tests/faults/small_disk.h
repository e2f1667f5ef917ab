#pragma once

#include <sys/mount.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace millrace {

/// Why a test of a full disk is skipped.
constexpr const char* kNeedsMount =
    "a tmpfs may not be mounted here; runs where it may, as root on Linux (CAP_SYS_ADMIN)";

/// A tmpfs of a given size at a new folder, gone with this object. `mounted` says whether it could
/// be made.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path, const std::string& size) : path_(path) {
    std::filesystem::create_directory(path);
    mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  /// Leaves so many bytes free.
  void fill(std::uint64_t free) const {
    std::ofstream ballast(path_ + "/ballast", std::ios::binary);
    const std::uint64_t available = std::filesystem::space(path_).available;
    const std::string chunk(4096, 'x');
    for (std::uint64_t left = available > free ? available - free : 0; left >= chunk.size();
         left -= chunk.size()) {
      ballast << chunk << std::flush;
    }
  }
  void empty() const { std::filesystem::remove(path_ + "/ballast"); }

 private:
  const std::string path_;
  bool mounted_ = false;
};

}  // namespace millrace
