#include "store/snapshot.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <system_error>

#include "learner/base/check.h"
#include "learner/base/failpoint.h"
#include "store/error.h"
#include "store/files.h"
#include "store/manifest.h"
#include "store/recovery.h"
#include "store/tar.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIncomplete = ".tmp-";
constexpr const char* kManifest = "manifest.json";
constexpr std::size_t kCommitDigits = 20;

std::string digits(std::uint64_t number) {
  const std::string text = std::to_string(number);
  return std::string(kCommitDigits - text.size(), '0') + text;
}

std::string name_of(std::uint64_t commit, EventTime taken) {
  return digits(commit) + '-' + print_rfc3339(taken);
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

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw StoreError("cannot read " + path.string());
  return text.str();
}

Result<Manifest> manifest_in(const fs::path& folder) {
  return parse_manifest(read_text(folder / kManifest));
}

// A folder that is being made: held, so that nobody takes it for a dead one's, and removed unless
// it is renamed.
class Incomplete {
 public:
  Incomplete(const fs::path& folder, const std::string& name)
      : path_(folder / (std::string(kIncomplete) + name)) {
    make_folder(folder);
    fs::remove_all(path_);
    make_folder(path_);
    lock_ = FolderLock::take(path_, FolderLock::Kind::kShared);
  }
  Incomplete(const Incomplete&) = delete;
  Incomplete& operator=(const Incomplete&) = delete;
  ~Incomplete() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }

  const fs::path& path() const { return path_; }
  void become(const fs::path& complete) {
    sync_folder(path_ / "db");
    sync_folder(path_);
    if (fs::exists(complete)) return;  // of the same commit and time
    MILLRACE_FAILPOINT("checkpoint.before_rename");
    rename_in_folder(path_, complete);
    path_.clear();
    MILLRACE_FAILPOINT("checkpoint.after_rename");
  }

 private:
  fs::path path_;
  std::optional<FolderLock> lock_;
};

void copy_to_folder(const fs::path& from, const Manifest& manifest, const fs::path& to) {
  make_folder(to / "db");
  for (const Manifest::File& file : manifest.files) {
    copy_file_synced(from / "db" / file.name, to / "db" / file.name);
  }
  write_file(to / kManifest, print_manifest(manifest));
  sync_folder(to / "db");
  sync_folder(to);
}

void copy_to_tar(const fs::path& from, const Manifest& manifest, const fs::path& to) {
  TarWriter tar(to);
  tar.add_text(kManifest, print_manifest(manifest));
  for (const Manifest::File& file : manifest.files) {
    tar.add("db/" + file.name, from / "db" / file.name);
  }
  tar.finish();
}

void extract_tar(const fs::path& from, const fs::path& to) {
  make_folder(to / "db");
  TarReader tar(from);
  while (const auto name = tar.next()) {
    const bool of_database = name->starts_with("db/");
    const std::string plain = of_database ? name->substr(3) : *name;
    const bool fine = !plain.empty() && plain.front() != '.' &&
                      plain.find('/') == std::string::npos && (of_database || plain == kManifest);
    if (!fine) throw StoreError(from.string() + " holds \"" + *name + "\", which no snapshot has");
    tar.extract(of_database ? to / "db" / plain : to / plain);
  }
}

void copy_folder(const fs::path& from, const fs::path& to) {
  const Result<Manifest> manifest = manifest_in(from);
  if (!manifest) throw StoreError(from.string() + " is refused: " + manifest.error().message);
  const Result<Ok> whole = verify_files(*manifest, from / "db");
  if (!whole) throw StoreError(from.string() + " is refused: " + whole.error().message);
  copy_to_folder(from, *manifest, to);
}

}  // namespace

SnapshotInfo SnapshotFolder::take(Database& database, EventTime now, int keep) try {
  MILLRACE_CHECK(keep >= 1);
  const std::lock_guard lock(taking_);
  Incomplete incomplete(folder_, std::to_string(now.ms));
  MILLRACE_FAILPOINT("checkpoint.before_copy");
  const fs::path copy = incomplete.path() / "db";
  database.checkpoint(copy.string());
  MILLRACE_FAILPOINT("checkpoint.after_copy");
  // Commits went on meanwhile: only the copy itself knows which is its last.
  SnapshotInfo info;
  info.taken = now;
  info.commit = recover(*Database::open(copy.string(), Database::Access::kRead)).sequence;
  info.name = name_of(info.commit, now);
  const Manifest manifest = make_manifest(info.commit, now, copy);
  for (const Manifest::File& file : manifest.files) info.bytes += file.bytes;
  write_file(incomplete.path() / kManifest, print_manifest(manifest));
  incomplete.become(folder_ / info.name);
  remove_all_but(keep);
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
    if (!info || !fs::exists(entry.path() / kManifest, gone)) continue;
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

Result<SnapshotInfo> SnapshotFolder::find(std::string_view name) const {
  const std::vector<SnapshotInfo> all = list();
  if (all.empty()) return Error{"there is no snapshot in " + folder_.string()};
  if (name == "latest") return all.back();
  for (const SnapshotInfo& one : all) {
    if (one.name == name) return one;
  }
  return Error{"there is no snapshot " + std::string(name) + "; the latest is " + all.back().name};
}

FolderLock SnapshotFolder::hold(const SnapshotInfo& snapshot) const {
  auto lock = FolderLock::take(folder_of(snapshot), FolderLock::Kind::kShared);
  if (!lock) throw StoreError("the snapshot " + snapshot.name + " is being removed");
  return std::move(*lock);
}

Result<Ok> SnapshotFolder::verify(const SnapshotInfo& snapshot) const {
  const FolderLock held = hold(snapshot);
  const fs::path folder = folder_of(snapshot);
  const Result<Manifest> manifest = manifest_in(folder);
  const std::string what = "the snapshot " + snapshot.name + " is damaged: ";
  if (!manifest) return Error{what + manifest.error().message};
  if (manifest->commit != snapshot.commit) return Error{what + "its manifest is another's"};
  const Result<Ok> whole = verify_files(*manifest, folder / "db");
  if (!whole) return Error{what + whole.error().message};
  return Ok{};
}

std::optional<SnapshotInfo> SnapshotFolder::newest_good() const {
  const std::vector<SnapshotInfo> all = list();
  for (auto one = all.rbegin(); one != all.rend(); ++one) {
    try {
      if (verify(*one)) return *one;
    } catch (const StoreError&) {  // what cannot be read is not good
    }
  }
  return std::nullopt;
}

void SnapshotFolder::export_to(const SnapshotInfo& snapshot, const fs::path& target) const {
  const fs::path to = target.has_filename() ? target : target.parent_path();  // without its last /
  const Result<Ok> whole = verify(snapshot);
  if (!whole) throw StoreError(whole.error().message);
  const FolderLock held = hold(snapshot);
  if (fs::exists(to)) throw StoreError(to.string() + " is there already; name a new one");
  const Manifest manifest = manifest_in(folder_of(snapshot)).value();
  // Under another name until it is whole, so that a half one is never taken for a snapshot.
  const fs::path half = to.string() + ".part";
  fs::remove_all(half);
  fs::path made = half;
  try {
    if (to.extension() == ".tar") {
      copy_to_tar(folder_of(snapshot), manifest, half);
    } else {
      copy_to_folder(folder_of(snapshot), manifest, half);
    }
    fs::rename(half, to);
    made = to;
    sync_folder(to.parent_path());
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(made, ignored);
    throw;
  }
}

SnapshotInfo SnapshotFolder::import_from(const fs::path& from) try {
  if (!fs::exists(from)) throw StoreError("there is no " + from.string());
  const std::string refused = from.string() + " is refused: ";
  Incomplete incomplete(folder_, "import-" + from.stem().string());
  if (fs::is_directory(from)) {
    copy_folder(from, incomplete.path());
  } else {
    extract_tar(from, incomplete.path());
  }
  if (!fs::exists(incomplete.path() / kManifest)) throw StoreError(refused + "it has no manifest");
  const Result<Manifest> manifest = manifest_in(incomplete.path());
  if (!manifest) throw StoreError(refused + manifest.error().message);
  const Result<Ok> whole = verify_files(*manifest, incomplete.path() / "db");
  if (!whole) throw StoreError(refused + whole.error().message);

  SnapshotInfo info{name_of(manifest->commit, manifest->taken), manifest->commit, manifest->taken};
  for (const Manifest::File& file : manifest->files) info.bytes += file.bytes;
  if (fs::exists(folder_ / info.name)) {
    throw StoreError("the snapshot " + info.name + " is in the store already");
  }
  {  // One that this version cannot read is of no use here.
    const auto database =
        Database::open((incomplete.path() / "db").string(), Database::Access::kRead);
    if (!has_schema(*database, from.string()) || recover(*database).sequence != info.commit) {
      throw StoreError(refused + "it does not hold the commit of its manifest");
    }
  }
  incomplete.become(folder_ / info.name);
  return info;
} catch (const fs::filesystem_error& error) {
  throw StoreError("cannot import " + from.string() + ": " + error.what());
}

void SnapshotFolder::remove_all_but(int keep) {
  const std::vector<SnapshotInfo> all = list();
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i) {
    remove_if_unused(all[i]);
  }
}

void SnapshotFolder::remove_if_unused(const SnapshotInfo& snapshot) {
  const auto alone = FolderLock::take(folder_of(snapshot), FolderLock::Kind::kAlone);
  if (!alone) return;  // the next snapshot tries again
  // Renamed first, so that no half of it is ever listed.
  const fs::path incomplete = folder_ / (std::string(kIncomplete) + snapshot.name);
  rename_in_folder(folder_of(snapshot), incomplete);
  MILLRACE_FAILPOINT("checkpoint.before_remove");
  fs::remove_all(incomplete);
}

void SnapshotFolder::remove_incomplete() try {
  if (!fs::exists(folder_)) return;
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.path().filename().string().starts_with(kIncomplete)) left.push_back(entry.path());
  }
  for (const fs::path& path : left) {
    const auto alone = FolderLock::take(path, FolderLock::Kind::kAlone);
    if (alone) fs::remove_all(path);
  }
} catch (const fs::filesystem_error& error) {
  throw StoreError(std::string("cannot remove an incomplete snapshot: ") + error.what());
}

}  // namespace millrace
