#include "store/side_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <string>
#include <system_error>

#include "learner/base/hash.h"
#include "store/error.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "acknowledged";
// "<commit, 20 digits> <named, 20 digits> <hash of both, 16 hex digits>\n"
constexpr std::size_t kNumbers = 41, kLine = kNumbers + 1 + 16 + 1;

std::string line_of(const Acknowledged& acknowledged) {
  std::array<char, kLine + 1> line;
  std::snprintf(line.data(), line.size(), "%020llu %020llu",
                static_cast<unsigned long long>(acknowledged.commit),
                static_cast<unsigned long long>(acknowledged.named));
  const std::uint64_t hash = hash_bytes(std::string_view(line.data(), kNumbers), 0);
  std::snprintf(line.data() + kNumbers, line.size() - kNumbers, " %016llx\n",
                static_cast<unsigned long long>(hash));
  return {line.data(), kLine};
}

[[noreturn]] void fail(const fs::path& path) {
  throw StoreError("cannot write " + path.string() + ": " + std::generic_category().message(errno));
}

}  // namespace

std::optional<Acknowledged> read_acknowledged(const fs::path& store) {
  std::ifstream file(store / kName, std::ios::binary);
  std::string line(kLine, '\0');
  if (!file.read(line.data(), kLine)) return std::nullopt;
  Acknowledged found;
  std::from_chars(line.data(), line.data() + 20, found.commit);
  std::from_chars(line.data() + 21, line.data() + kNumbers, found.named);
  if (line_of(found) != line) return std::nullopt;
  return found;
}

bool acknowledged_is_damaged(const fs::path& store) {
  std::error_code unknown;
  const bool absent = fs::status(store / kName, unknown).type() == fs::file_type::not_found;
  return !absent && !read_acknowledged(store);
}

void write_acknowledged(const fs::path& store, const Acknowledged& acknowledged) {
  const fs::path path = store / kName;
  const std::string line = line_of(acknowledged);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) fail(path);
  const bool written = ::pwrite(file, line.data(), line.size(), 0) == std::ssize(line);
  const bool synced = written && ::fdatasync(file) == 0;
  const int error = errno;
  ::close(file);
  errno = error;
  if (!synced) fail(path);
}

std::uint64_t name_without_commit(const fs::path& store, std::uint64_t at_least) {
  Acknowledged told = read_acknowledged(store).value_or(Acknowledged{});
  told.named = std::max({told.commit, told.named, at_least}) + 1;
  write_acknowledged(store, told);
  return told.named;
}

}  // namespace millrace
