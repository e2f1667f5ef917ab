#include "store/snapshot.h"

#include <algorithm>
#include <charconv>
#include <iomanip>
#include <optional>
#include <sstream>
#include <system_error>

#include "learner/base/check.h"
#include "learner/base/failpoint.h"
#include "store/error.h"
#include "store/files.h"
#include "store/recovery.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIncomplete = ".tmp-";
constexpr std::size_t kCommitDigits = 20;

std::string digits(std::uint64_t number) {
  const std::string text = std::to_string(number);
  return std::string(kCommitDigits - text.size(), '0') + text;
}

// The reverse of a snapshot's name; nothing for any other.
std::optional<SnapshotInfo> parse_name(const std::string& name) {
  SnapshotInfo info;
  info.name = name;
  if (name.size() < kCommitDigits + 2 || name[kCommitDigits] != '-') return std::nullopt;
  const char* end = name.data() + kCommitDigits;
  const auto [stop, error] = std::from_chars(name.data(), end, info.commit);
  const auto taken = parse_rfc3339(std::string_view(name).substr(kCommitDigits + 1));
  if (error != std::errc{} || stop != end || !taken) return std::nullopt;
  info.taken = *taken;
  return info;
}

std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

// Names of RocksDB's files need no escapes in JSON.
std::string manifest_of(const SnapshotInfo& info, const fs::path& database) {
  std::ostringstream text;
  text << "{\"commit\": " << info.commit << ", \"taken\": \"" << print_rfc3339(info.taken)
       << "\", \"files\": [";
  const char* separator = "\n";
  for (const fs::path& file : files_of(database)) {
    text << separator << "  {\"name\": \"" << file.filename().string()
         << "\", \"bytes\": " << std::dec << fs::file_size(file) << ", \"hash\": \"" << std::hex
         << std::setw(16) << std::setfill('0') << hash_file(file) << "\"}";
    separator = ",\n";
  }
  text << "\n]}\n";
  return text.str();
}

}  // namespace

SnapshotInfo SnapshotFolder::take(Database& database, EventTime now, int keep) try {
  MILLRACE_CHECK(keep >= 1);
  const std::lock_guard lock(taking_);
  make_folder(folder_);
  const fs::path incomplete = folder_ / (std::string(kIncomplete) + std::to_string(now.ms));
  fs::remove_all(incomplete);
  make_folder(incomplete);
  MILLRACE_FAILPOINT("checkpoint.before_copy");
  database.checkpoint((incomplete / "db").string());
  MILLRACE_FAILPOINT("checkpoint.after_copy");
  // Commits went on meanwhile: only the copy itself knows which is its last.
  SnapshotInfo info;
  info.taken = now;
  info.commit =
      recover(*Database::open((incomplete / "db").string(), Database::Access::kRead)).sequence;
  info.name = digits(info.commit) + '-' + print_rfc3339(now);
  write_file(incomplete / "manifest.json", manifest_of(info, incomplete / "db"));
  sync_folder(incomplete / "db");
  sync_folder(incomplete);
  const fs::path complete = folder_ / info.name;
  if (fs::exists(complete)) {
    fs::remove_all(incomplete);
  } else {
    MILLRACE_FAILPOINT("checkpoint.before_rename");
    rename_in_folder(incomplete, complete);
    MILLRACE_FAILPOINT("checkpoint.after_rename");
  }
  auto all = list();
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i) remove(all[i]);
  for (const SnapshotInfo& one : all) {
    if (one.name == info.name) info.bytes = one.bytes;
  }
  return info;
} catch (const fs::filesystem_error& error) {
  throw StoreError(std::string("cannot take a snapshot: ") + error.what());
}

std::vector<SnapshotInfo> SnapshotFolder::list() const try {
  std::vector<SnapshotInfo> all;
  if (!fs::exists(folder_)) return all;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    auto info = parse_name(entry.path().filename().string());
    std::error_code gone;  // another process may remove it meanwhile
    if (!info || !fs::exists(entry.path() / "manifest.json", gone)) continue;
    fs::directory_iterator files(entry.path() / "db", gone);
    for (; !gone && files != fs::directory_iterator(); files.increment(gone)) {
      const auto bytes = files->file_size(gone);
      if (!gone) info->bytes += bytes;
    }
    if (!gone) all.push_back(std::move(*info));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
} catch (const fs::filesystem_error& error) {
  throw StoreError(std::string("cannot list the snapshots: ") + error.what());
}

void SnapshotFolder::remove(const SnapshotInfo& snapshot) {
  // Renamed first, so that no half of it is ever listed.
  const fs::path incomplete = folder_ / (std::string(kIncomplete) + snapshot.name);
  rename_in_folder(folder_ / snapshot.name, incomplete);
  MILLRACE_FAILPOINT("checkpoint.before_remove");
  fs::remove_all(incomplete);
}

void SnapshotFolder::remove_incomplete() try {
  if (!fs::exists(folder_)) return;
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().filename().string().starts_with(kIncomplete)) left.push_back(entry.path());
  }
  for (const fs::path& path : left) fs::remove_all(path);
} catch (const fs::filesystem_error& error) {
  throw StoreError(std::string("cannot remove an incomplete snapshot: ") + error.what());
}

}  // namespace millrace
