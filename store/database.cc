#include "store/database.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <thread>
#include <vector>

#include "learner/base/check.h"
#include "store/error.h"

namespace millrace {

#ifdef MILLRACE_FAILPOINTS
rocksdb::Env* env_with_faults();  // tests/support/faults/faulty_files.h
#endif

namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, kFamilies> kFamilyNames{"default", "values",     "index",
                                                          "blocks",  "cold_index", "cold"};
constexpr std::size_t kWriteBuffer = 64 << 20;
constexpr std::uint64_t kMaxLog = 192 << 20;
constexpr int kOpenAttempts = 50;

std::size_t index_of(Family family) { return static_cast<std::size_t>(family); }

bool is_locked(const rocksdb::Status& status) {
  const std::string text = status.ToString();
  return status.IsIOError() && (text.find("While lock file") != std::string::npos ||
                                text.find("lock hold by current process") != std::string::npos);
}

[[noreturn]] void fail(const rocksdb::Status& status, const std::string& folder,
                       const std::string& doing) {
  if (is_locked(status)) {
    throw StoreLockedError("the store in " + folder +
                           " is held by another process; stop it, or use another store.path");
  }
  const std::string what = "cannot " + doing + " the store in " + folder + ": ";
  if (status.IsNoSpace()) {
    throw StoreFullError(what + "the disk is full (" + status.ToString() +
                         "); make room, the last commit is safe");
  }
  // A file that the database names and that is not there is damage, too, and so is a family.
  if (status.IsCorruption() || status.IsPathNotFound() || status.IsInvalidArgument()) {
    throw StoreDamagedError(what + "it is damaged (" + status.ToString() + ")");
  }
  throw StoreError(what + status.ToString());
}

void check(const rocksdb::Status& status, const std::string& folder, const std::string& doing) {
  if (!status.ok()) fail(status, folder, doing);
}

// Remembers the first failure of RocksDB's own threads, and keeps it from going on by itself.
class Watch final : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    const std::lock_guard lock(mutex_);
    if (first_.ok()) first_ = *status;
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* recover_by_itself) override {
    *recover_by_itself = false;
  }
  rocksdb::Status first() const {
    const std::lock_guard lock(mutex_);
    return first_;
  }

 private:
  mutable std::mutex mutex_;
  rocksdb::Status first_;
};

rocksdb::DBOptions database_options(Database::Access access) {
  rocksdb::DBOptions options;
  options.create_if_missing = access == Database::Access::kWrite;
  options.create_missing_column_families = access == Database::Access::kWrite;
  // A reader holds every file from the start, so that a writer may delete them under it.
  options.max_open_files = -1;
  options.max_total_wal_size = kMaxLog;
  // Of a log with a torn end everything before the tear is taken: positions go back with the
  // weights, so that is one state, if an older one.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.paranoid_checks = true;
  options.max_bgerror_resume_count = 0;
  options.max_background_jobs = 2;
  options.bytes_per_sync = 1 << 20;
  options.max_manifest_file_size = 4 << 20;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 4 << 20;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
#ifdef MILLRACE_FAILPOINTS
  options.env = env_with_faults();
#endif
  return options;
}

rocksdb::ColumnFamilyOptions family_options() {
  rocksdb::ColumnFamilyOptions options;
  options.write_buffer_size = kWriteBuffer;
  options.max_write_buffer_number = 2;
  options.compression = rocksdb::kNoCompression;
  options.target_file_size_base = 4 * kWriteBuffer;
  options.max_bytes_for_level_base = 8 * kWriteBuffer;
  options.level0_file_num_compaction_trigger = 4;
  return options;
}

rocksdb::ColumnFamilyOptions family_options(std::string_view name) {
  rocksdb::ColumnFamilyOptions options = family_options();
  if (name != kFamilyNames[index_of(Family::kCold)]) return options;
  // One value of some KiB is read at a time; the keys differ in their last bytes alone.
  rocksdb::BlockBasedTableOptions table;
  table.block_size = 16 << 10;
  table.index_block_restart_interval = 16;
  table.no_block_cache = true;
  options.level0_file_num_compaction_trigger =
      1;  // files are only moved down, to where they can go
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// All families that are there, ours first: a newer schema may have more, and RocksDB opens all or
// none.
std::vector<rocksdb::ColumnFamilyDescriptor> families_in(const std::string& folder) {
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  families.reserve(kFamilies);
  for (const char* name : kFamilyNames) families.emplace_back(name, family_options(name));
  std::vector<std::string> there;
  if (rocksdb::DB::ListColumnFamilies({}, folder, &there).ok()) {
    for (const std::string& name : there) {
      const bool ours =
          std::find(kFamilyNames.begin(), kFamilyNames.end(), name) != kFamilyNames.end();
      if (!ours) families.emplace_back(name, family_options());
    }
  }
  return families;
}

// Without CURRENT RocksDB would begin a new database over the files of the old one.
void refuse_headless(const std::string& folder) {
  std::error_code none;
  if (fs::exists(fs::path(folder) / "CURRENT", none)) return;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const fs::path extension = entry.path().extension();
    if (extension == ".sst" || extension == ".log") {
      throw StoreDamagedError("cannot open the store in " + folder +
                              ": it is damaged (its file CURRENT is missing)");
    }
  }
}

// The log of changes to the set of files, as it stands: while it stays the same, no write-ahead log
// was given up.
std::string version_of(const std::string& folder) {
  std::ifstream file(fs::path(folder) / "CURRENT");
  std::string name;
  std::getline(file, name);
  std::error_code gone;
  const auto bytes = fs::file_size(fs::path(folder) / name, gone);
  return gone ? "" : name + ' ' + std::to_string(bytes);
}

}  // namespace

struct Database::Parts {
  std::string folder;
  Access access = Access::kRead;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  std::shared_ptr<Watch> watch = std::make_shared<Watch>();

  ~Parts() {
    for (rocksdb::ColumnFamilyHandle* handle : handles) db->DestroyColumnFamilyHandle(handle);
  }
  rocksdb::ColumnFamilyHandle* handle(Family family) const { return handles[index_of(family)]; }
};

struct WriteSet::Parts {
  const Database::Parts& database;
  rocksdb::WriteBatch batch;
};

WriteSet::WriteSet(const Database& database, std::size_t bytes)
    : parts_(new Parts{*database.parts_, rocksdb::WriteBatch(bytes)}) {}
WriteSet::~WriteSet() = default;

void WriteSet::put(Family family, std::string_view key,
                   std::initializer_list<std::string_view> parts) {
  const rocksdb::Slice key_slice(key);
  std::vector<rocksdb::Slice> slices(parts.begin(), parts.end());
  const rocksdb::SliceParts value(slices.data(), static_cast<int>(slices.size()));
  const auto status =
      parts_->batch.Put(parts_->database.handle(family), rocksdb::SliceParts(&key_slice, 1), value);
  check(status, parts_->database.folder, "write");
}

void WriteSet::erase(Family family, std::string_view key) {
  check(parts_->batch.Delete(parts_->database.handle(family), key), parts_->database.folder,
        "write");
}

std::uint64_t WriteSet::bytes() const { return parts_->batch.GetDataSize(); }

Database::Database(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Database::~Database() = default;

std::unique_ptr<Database> Database::open_once(const std::string& folder, Access access) {
  auto parts = std::make_unique<Parts>();
  parts->folder = folder;
  parts->access = access;
  const auto families = families_in(folder);
  rocksdb::DBOptions options = database_options(access);
  options.listeners.push_back(parts->watch);
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      access == Access::kWrite
          ? rocksdb::DB::Open(options, folder, families, &parts->handles, &db)
          : rocksdb::DB::OpenForReadOnly(options, folder, families, &parts->handles, &db);
  check(status, folder, "open");
  parts->db.reset(db);
  return std::unique_ptr<Database>(new Database(std::move(parts)));
}

std::unique_ptr<Database> Database::open(const std::string& folder, Access access) {
  if (access == Access::kWrite) {
    refuse_headless(folder);
    return open_once(folder, access);
  }
  // A writer may replace files while they are opened: then one is missing, or, worse, a log that
  // held the newest changes is gone without a word. Both show as a changed version.
  for (int attempt = 1;; ++attempt) {
    const std::string before = version_of(folder);
    std::exception_ptr problem;
    try {
      auto database = open_once(folder, access);
      if (!before.empty() && version_of(folder) == before) return database;
    } catch (const StoreError&) {
      problem = std::current_exception();
    }
    const bool stands_still = !before.empty() && version_of(folder) == before;
    if (problem && (stands_still || attempt == kOpenAttempts)) std::rethrow_exception(problem);
    if (attempt == kOpenAttempts) {
      throw StoreError("the store in " + folder + " changes too fast to be read; try again");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

std::optional<std::string> Database::get(Family family, std::string_view key) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::string value;
  const rocksdb::Status status = parts_->db->Get(options, parts_->handle(family), key, &value);
  if (status.IsNotFound()) return std::nullopt;
  check(status, parts_->folder, "read");
  return value;
}

std::vector<std::string> Database::get_all(Family family, std::span<const std::string> keys) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
  std::vector<rocksdb::PinnableSlice> found(keys.size());
  std::vector<rocksdb::Status> statuses(keys.size());
  parts_->db->MultiGet(options, parts_->handle(family), keys.size(), slices.data(), found.data(),
                       statuses.data());
  std::vector<std::string> values;
  values.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (statuses[i].IsNotFound()) {
      throw StoreDamagedError("the store in " + parts_->folder + " is damaged: a value of family " +
                              kFamilyNames[index_of(family)] + " is missing");
    }
    check(statuses[i], parts_->folder, "read");
    values.emplace_back(found[i].data(), found[i].size());
  }
  return values;
}

void Database::scan(Family family, std::string_view prefix, const Visit& visit) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  options.readahead_size = 4 << 20;
  const std::unique_ptr<rocksdb::Iterator> at(
      parts_->db->NewIterator(options, parts_->handle(family)));
  for (at->Seek(prefix); at->Valid() && at->key().starts_with(prefix); at->Next()) {
    visit(at->key().ToStringView(), at->value().ToStringView());
  }
  check(at->status(), parts_->folder, "read");
}

void Database::scan_back(Family family, const Visit& visit) const {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> at(
      parts_->db->NewIterator(options, parts_->handle(family)));
  for (at->SeekToLast(); at->Valid(); at->Prev()) {
    visit(at->key().ToStringView(), at->value().ToStringView());
  }
  check(at->status(), parts_->folder, "read");
}

void Database::write(WriteSet& changes) {
  MILLRACE_CHECK(parts_->access == Access::kWrite);
  rocksdb::WriteOptions options;
  options.sync = true;
  check(parts_->watch->first(), parts_->folder, "write");
  check(parts_->db->Write(options, &changes.parts_->batch), parts_->folder, "write");
}

void Database::drop_files(Family family, std::string_view begin, std::string_view end) {
  MILLRACE_CHECK(parts_->access == Access::kWrite);
  const rocksdb::Slice from(begin), to(end);
  check(rocksdb::DeleteFilesInRange(parts_->db.get(), parts_->handle(family), &from, &to, false),
        parts_->folder, "free space of");
}

void Database::checkpoint(const std::string& folder) {
  MILLRACE_CHECK(parts_->access == Access::kWrite);
  rocksdb::Checkpoint* made = nullptr;
  check(rocksdb::Checkpoint::Create(parts_->db.get(), &made), parts_->folder, "copy");
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  check(checkpoint->CreateCheckpoint(folder), parts_->folder, "copy");
}

}  // namespace millrace
