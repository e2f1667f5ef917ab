#include "store/rollback.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "learner/base/failpoint.h"
#include "store/database.h"
#include "store/error.h"
#include "store/files.h"
#include "store/history.h"
#include "store/keys.h"
#include "store/lock.h"
#include "store/recovery.h"
#include "store/seal.h"
#include "store/side_file.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

// The journal holds one word: what is to be done with the folder beside it.
constexpr const char* kJournal = "rollback";
constexpr const char* kPrepare = "prepare\n";  // the new state is being made: undo
constexpr const char* kSwap = "swap\n";        // it is complete: put it in place
constexpr const char* kBeside = ".rollback";

// What `kKeep` takes from the snapshot: all that the models own.
constexpr std::string_view kModels = "model/";

constexpr std::uint64_t kBatchBytes = 16 << 20;

void write_journal(const fs::path& store, std::string_view word) {
  const fs::path next = store / (std::string(kJournal) + ".next");
  fs::remove(next);
  write_file(next, word);
  rename_in_folder(next, store / kJournal);
}

std::string read_journal(const fs::path& store) {
  std::ifstream file(store / kJournal);
  std::string word;
  std::getline(file, word);
  return word + '\n';
}

void remove_journal(const fs::path& store) {
  // Renamed first: a state that is half removed must never be put in place.
  const fs::path next = store / kBeside / "db", undone = store / kBeside / "undone";
  fs::remove_all(undone);
  if (fs::exists(next)) rename_in_folder(next, undone);
  fs::remove_all(store / kBeside);
  sync_folder(store);
  MILLRACE_FAILPOINT("rollback.before_end");
  fs::remove(store / kJournal);
  sync_folder(store);
}

// Every step is skipped where it was done already.
void swap_in(const fs::path& store) {
  const fs::path live = store / "db", next = store / kBeside / "db", old = store / kBeside / "old";
  if (fs::exists(next)) {
    if (fs::exists(live)) {
      fs::remove_all(old);
      rename_across(live, old);
    }
    MILLRACE_FAILPOINT("rollback.moved_away");
    rename_across(next, live);
  }
  MILLRACE_FAILPOINT("rollback.moved_in");
  remove_journal(store);
}

// Table files never change and are shared; the others are copied.
void copy_database(const fs::path& from, const fs::path& to) {
  make_folder(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path target = to / entry.path().filename();
    if (entry.path().extension() == ".sst") {
      fs::create_hard_link(entry.path(), target);
    } else {
      copy_file_synced(entry.path(), target);
    }
  }
  sync_folder(to);
}

std::optional<std::string> identity_in(const Database& database) {
  return database.get(Family::kValues, keys::value("service", "identity"));
}

// Changes in several synced writes of bounded size.
class BoundedWriter {
 public:
  explicit BoundedWriter(Database& database) : database_(database) { begin(); }
  WriteSet& changes() {
    if (changes_->bytes() >= kBatchBytes) flush();
    return *changes_;
  }
  void flush() {
    database_.write(*changes_);
    begin();
  }

 private:
  void begin() { changes_ = std::make_unique<WriteSet>(database_); }
  Database& database_;
  std::unique_ptr<WriteSet> changes_;
};

// Puts the models' keys of `from` in the place of those in `into`.
void replace_models(const Database& from, Database& into) {
  const std::string live = std::string(keys::kLivePrefix) + std::string(kModels);
  BoundedWriter writer(into);
  into.scan(Family::kMeta, live, [&](std::string_view key, std::string_view) {
    writer.changes().erase(Family::kMeta, key);
  });
  into.scan(Family::kValues, kModels, [&](std::string_view key, std::string_view) {
    writer.changes().erase(Family::kValues, key);
  });
  into.scan(Family::kIndex, kModels, [&](std::string_view key, std::string_view) {
    writer.changes().erase(Family::kIndex, key);
    writer.changes().erase(Family::kBlocks, key);
  });
  writer.flush();
  auto copy = [&](Family family, std::string_view prefix) {
    from.scan(family, prefix, [&](std::string_view key, std::string_view value) {
      writer.changes().put(family, key, {value});
    });
  };
  copy(Family::kMeta, live);
  copy(Family::kValues, kModels);
  copy(Family::kIndex, kModels);
  copy(Family::kBlocks, kModels);
  writer.flush();
}

struct Now {
  std::uint64_t sequence = 0;
  std::vector<StoreEvent> history;
};

// What is known of the state that is left; a damaged one does not hinder going back.
Now look_at(const fs::path& store) {
  Now now;
  if (const auto told = read_acknowledged(store)) {
    now.sequence = std::max(told->commit, told->named);
  }
  try {
    const auto database = Database::open((store / "db").string(), Database::Access::kRead);
    now.sequence = std::max(now.sequence, recover(*database).sequence);
    now.history = read_history(*database);
  } catch (const StoreError&) {
  }
  return now;
}

// What the positions are kept of.
void require_state(const fs::path& store) {
  const fs::path live = store / "db";
  if (fs::exists(live / "CURRENT")) {
    const auto database = Database::open(live.string(), Database::Access::kRead);
    if (has_schema(*database, store.string()) && recover(*database).sequence > 0) return;
  }
  throw StoreError("the store in " + store.string() +
                   " has no state, so there are no positions to keep; use --offsets rewind");
}

// Makes the new state in `<store>/.rollback/db`.
void prepare(const fs::path& store, const fs::path& snapshot, const RolledBack& wanted,
             const Now& now, EventTime time) {
  const fs::path next = store / kBeside / "db";
  make_folder(store / kBeside);
  if (wanted.offsets == Offsets::kRewind) {
    copy_database(snapshot, next);
  } else {
    Database::open((store / "db").string(), Database::Access::kWrite)->checkpoint(next.string());
  }
  MILLRACE_FAILPOINT("rollback.copied");
  const auto database = Database::open(next.string(), Database::Access::kWrite);
  if (wanted.offsets == Offsets::kKeep) {
    const auto from = Database::open(snapshot.string(), Database::Access::kRead);
    if (identity_in(*from) != identity_in(*database)) {
      throw StoreError("the snapshot " + wanted.snapshot +
                       " was taken with another configuration (tasks, features, model …), so its "
                       "models do not go with the present positions; use --offsets rewind");
    }
    replace_models(*from, *database);
    WriteSet seal(*database);
    Seal::of(*database).write(seal);
    database->write(seal);
  }
  WriteSet last(*database);
  add_to_history(now.history,
                 {.kind = StoreEvent::Kind::kRolledBack,
                  .from = wanted.from,
                  .to = wanted.to,
                  .commit = wanted.commit,
                  .time = time,
                  .snapshot = wanted.snapshot,
                  .keeps_offsets = wanted.offsets == Offsets::kKeep},
                 last);
  database->write(last);
}

// Puts what `make` leaves in `<store>/.rollback/db` in the place of the database.
void replace(const fs::path& store, const std::function<void()>& make) {
  try {
    write_journal(store, kPrepare);
    MILLRACE_FAILPOINT("rollback.begun");
    make();
    MILLRACE_FAILPOINT("rollback.prepared");
    write_journal(store, kSwap);
  } catch (...) {
    remove_journal(store);
    throw;
  }
  MILLRACE_FAILPOINT("rollback.decided");
  swap_in(store);
}

}  // namespace

bool rollback_is_open(const fs::path& store) { return fs::exists(store / kJournal); }

void settle_rollback(const fs::path& store) try {
  if (!rollback_is_open(store)) return;
  if (read_journal(store) == kSwap) {
    swap_in(store);
  } else {
    remove_journal(store);
  }
} catch (const fs::filesystem_error& error) {
  throw StoreError(std::string("cannot finish an interrupted rollback: ") + error.what());
}

RolledBack roll_back(const std::string& path, const std::string& name, Offsets offsets,
                     EventTime time) try {
  const fs::path store = path;
  if (!fs::is_directory(store)) {
    throw StoreError("there is no store in " + path + "; name the folder of store.path");
  }
  const auto lock = FolderLock::take(store, FolderLock::Kind::kAlone);
  if (!lock) throw StoreLockedError("the store in " + path + " is held by another process");
  settle_rollback(store);
  const SnapshotFolder snapshots(store / "snapshots");
  const Result<SnapshotInfo> found = snapshots.find(name);
  if (!found) throw StoreError(found.error().message);
  const FolderLock held = snapshots.hold(*found);
  const Result<Ok> whole = snapshots.verify(*found);
  if (!whole) throw StoreError(whole.error().message);

  if (offsets == Offsets::kKeep) require_state(store);
  const Now now = look_at(store);
  RolledBack wanted{found->name, now.sequence, found->commit,
                    std::max(now.sequence, found->commit) + 1, offsets};
  replace(store, [&] { prepare(store, snapshots.folder_of(*found) / "db", wanted, now, time); });
  return wanted;
} catch (const fs::filesystem_error& error) {
  throw StoreError(std::string("cannot roll back: ") + error.what());
}

void replace_database(const std::string& path,
                      const std::function<void(const std::string&)>& make) try {
  const fs::path store = path;
  const auto lock = FolderLock::take(store, FolderLock::Kind::kAlone);
  if (!lock) throw StoreLockedError("the store in " + path + " is held by another process");
  settle_rollback(store);
  replace(store, [&] {
    make_folder(store / kBeside);
    make((store / kBeside).string());
  });
} catch (const fs::filesystem_error& error) {
  throw StoreError(std::string("cannot replace the database: ") + error.what());
}

}  // namespace millrace
