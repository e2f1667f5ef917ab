#include "store/store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

#include "learner/base/check.h"
#include "learner/base/failpoint.h"
#include "store/cold_blocks.h"
#include "store/database.h"
#include "store/files.h"
#include "store/keys.h"
#include "store/lock.h"
#include "store/piece_index.h"
#include "store/recovery.h"
#include "store/rollback.h"
#include "store/side_file.h"

namespace millrace {

namespace fs = std::filesystem;

struct Store::Parts {
  const std::string path;
  const Access access;
  std::optional<FolderLock> lock;  // let go of after the database
  std::unique_ptr<Database> database;
  SnapshotFolder snapshots;
  Recovered now{};  // its sequence is that of the next member
  std::atomic<std::uint64_t> sequence{0};
  std::optional<Lost> lost{};
  bool acknowledged_damaged = false;
  std::uint64_t named = 0;                // of the side file
  std::vector<keys::PieceKey> cleaned{};  // handed out since the last commit
  bool failed = false;
  StoreProbe probe{};
  std::map<std::string, StoredColdBlocks> cold_readers{};  // by participant
  ColdSpace cold_space{};

  void check_writable() const {
    MILLRACE_CHECK(access == Access::kWrite);
    if (failed) {
      throw StoreError("the store in " + path +
                       " is not written any more after a failure; open it again");
    }
  }
  void count_sizes() {
    const PieceIndex::Totals totals = now.index.totals();
    probe.blocks = totals.pieces;
    probe.block_bytes = totals.bytes;
    probe.live_bytes = totals.live_bytes;
  }
  void compare(const std::optional<Acknowledged>& told);
  void acknowledge();
  std::vector<keys::PieceKey> cleaned_by(const Commit& commit) const;
  void committed(const Commit& commit, const std::vector<keys::PieceKey>& removed,
                 const std::vector<WrittenPiece>& written);
};

namespace {

[[noreturn]] void no_store(const std::string& path) {
  throw StoreError("there is no store in " + path + "; name the folder of store.path");
}

std::string database_folder(const std::string& path) { return (fs::path(path) / "db").string(); }

constexpr int kWaitsForRollback = 50;

// A database that is being swapped is away for a moment.
bool has_database(const std::string& path) {
  for (int wait = 0;; ++wait) {
    if (fs::exists(fs::path(database_folder(path)) / "CURRENT")) return true;
    if (!rollback_is_open(path)) return false;
    if (wait == kWaitsForRollback) {
      throw StoreError("a rollback of the store in " + path +
                       " was broken off; the next `millrace run` finishes it");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// Commits were acknowledged, so a database without any is not a new one.
void refuse_empty(const std::string& path, const std::optional<Acknowledged>& told) {
  if (!told || told->commit == 0) return;
  throw StoreDamagedError("the store in " + path + " is damaged: it is empty, though commit " +
                          std::to_string(told->commit) + " was written to it");
}

// Whether it was ever begun as a store of ours.
bool is_begun(const Database& database, const std::string& path,
              const std::optional<Acknowledged>& told) {
  if (!database.get(Family::kMeta, keys::kSchema)) refuse_empty(path, told);
  return has_schema(database, path);
}

std::unique_ptr<Database> open_to_read(const std::string& path,
                                       const std::optional<Acknowledged>& told) {
  if (!has_database(path)) {
    refuse_empty(path, told);
    no_store(path);
  }
  auto database = Database::open(database_folder(path), Database::Access::kRead);
  if (!is_begun(*database, path, told)) no_store(path);
  return database;
}

std::unique_ptr<Database> open_to_write(const std::string& path,
                                        const std::optional<Acknowledged>& told) {
  if (!fs::exists(database_folder(path))) refuse_empty(path, told);
  make_folder(database_folder(path));
  auto database = Database::open(database_folder(path), Database::Access::kWrite);
  if (!is_begun(*database, path, told)) begin_schema(*database);
  return database;
}

bool is_snapshot(const std::string& path) { return fs::exists(fs::path(path) / "manifest.json"); }

// What to do about a damaged store.
std::string way_back(const std::string& path) {
  if (is_snapshot(path)) return "";
  const auto good = SnapshotFolder(fs::path(path) / "snapshots").newest_good();
  if (!good) {
    return "; no snapshot of it is whole. To begin anew, name another store.path: events that the "
           "topics still hold are learned again";
  }
  return "; its newest good snapshot is " + good->name + " (commit " +
         std::to_string(good->commit) + "): go back to it by `millrace snapshot rollback --store " +
         path + " --to " + good->name +
         " --offsets rewind`, then the events since are learned again";
}

// Runs what reads the store, and adds the way back to what it says of damage.
template <class Action>
auto with_way_back(const std::string& path, const Action& action) {
  try {
    return action();
  } catch (const StoreDamagedError& error) {
    throw StoreDamagedError(error.what() + way_back(path));
  } catch (const StateError& error) {
    throw StoreDamagedError("the store in " + path + " is damaged (" + error.what() + ")" +
                            way_back(path));
  }
}

// About what it takes in one write.
std::size_t bytes_of(const Commit& commit) {
  std::size_t bytes = 4096;
  for (const Commit::Part& part : commit.parts) {
    for (const StateChanges::Value& value : part.changes.values) bytes += value.bytes.size() + 128;
    for (const StateChanges::Block& block : part.changes.blocks) bytes += block.bytes.size() + 1024;
    for (const StateChanges::ColdBlock& block : part.changes.cold_blocks) {
      bytes += block.bytes->size() + block.directory.size() + 128;
    }
  }
  return bytes;
}

}  // namespace

Store::Store(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Store::~Store() = default;

std::unique_ptr<Store> Store::open(const std::string& path, Access access) {
  auto parts = std::unique_ptr<Parts>(
      new Parts{path, access, std::nullopt, nullptr, SnapshotFolder(fs::path(path) / "snapshots")});
  Parts& p = *parts;
  if (access == Access::kWrite) {
    make_folder(path);
    p.lock = FolderLock::take(path, FolderLock::Kind::kAlone);
    if (!p.lock) {
      throw StoreLockedError("the store in " + path +
                             " is held by another process; stop it, or use another store.path");
    }
    settle_rollback(path);
    p.snapshots.remove_incomplete();
  } else if (is_snapshot(path)) {
    p.lock = FolderLock::take(path, FolderLock::Kind::kShared);  // it is not removed meanwhile
  }
  // Read before the database: what another process acknowledges meanwhile is in there then.
  const std::optional<Acknowledged> told = read_acknowledged(path);
  p.acknowledged_damaged = !told && acknowledged_is_damaged(path);
  with_way_back(path, [&] {
    p.database = access == Access::kWrite ? open_to_write(path, told) : open_to_read(path, told);
    MILLRACE_FAILPOINT("recovery.opened");
    p.now = recover(*p.database);
    p.compare(told);
  });
  p.sequence = p.now.sequence;
  p.count_sizes();
  return std::unique_ptr<Store>(new Store(std::move(parts)));
}

void Store::Parts::compare(const std::optional<Acknowledged>& told) {
  if (!told) return;
  named = told->named;
  const std::uint64_t recovered = now.sequence;
  if (recovered < told->commit) lost = Lost{told->commit, recovered};
  const std::uint64_t last = std::max(told->commit, told->named);
  if (access == Access::kRead || recovered >= last) return;
  // The same state under a number that nobody has heard of yet.
  WriteSet changes(*database);
  if (lost) {
    add_to_history(
        read_history(*database),
        {.kind = StoreEvent::Kind::kLost, .from = told->commit, .to = recovered, .commit = last},
        changes);
  } else {
    put_sequence(last, changes);
  }
  database->write(changes);
  now.sequence = last;
}

bool Store::exists(const std::string& path) { return has_database(path); }

std::uint64_t Store::sequence() const { return parts_->sequence; }
std::optional<Store::Lost> Store::lost() const { return parts_->lost; }
bool Store::acknowledged_damaged() const { return parts_->acknowledged_damaged; }
std::vector<StoreEvent> Store::history() const { return read_history(*parts_->database); }

void Store::restore(Participant& participant) const {
  const std::string name = participant.participant_name();
  participant.use_cold(
      parts_->cold_readers.try_emplace(name, *parts_->database, name).first->second);
  with_way_back(parts_->path, [&] { restore_participant(*parts_->database, participant); });
}

std::vector<std::string> Store::participants() const {
  return {parts_->now.participants.begin(), parts_->now.participants.end()};
}

std::optional<std::string> Store::value(std::string_view participant, std::string_view name) const {
  auto bytes = parts_->database->get(Family::kValues, keys::value(participant, name));
  if (!bytes) return std::nullopt;
  if (bytes->empty()) {
    throw StoreDamagedError("the store in " + parts_->path + " is damaged: a value has no flag");
  }
  return bytes->substr(1);
}

void Store::write(const Commit& commit) {
  parts_->check_writable();
  MILLRACE_CHECK(commit.sequence > parts_->sequence);
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<keys::PieceKey> removed = parts_->cleaned_by(commit);
  WriteSet changes(*parts_->database, bytes_of(commit));
  const std::vector<WrittenPiece> written = encode_commit(commit, removed, changes);
  parts_->now.seal.apply(commit, removed, written);
  parts_->now.seal.write(changes);
  try {
    MILLRACE_FAILPOINT("commit.before_write");
    if (!removed.empty()) MILLRACE_FAILPOINT("clean.before_write");
    parts_->database->write(changes);
    parts_->cold_space.committed(commit, *parts_->database);
    if (!removed.empty()) MILLRACE_FAILPOINT("clean.after_write");
    MILLRACE_FAILPOINT("commit.after_write");
  } catch (...) {
    parts_->failed = true;
    ++parts_->probe.failures;
    throw;
  }
  parts_->committed(commit, removed, written);
  parts_->acknowledge();
  MILLRACE_FAILPOINT("commit.acknowledged");

  StoreProbe& probe = parts_->probe;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  ++probe.commits;
  probe.commit_bytes += changes.bytes();
  probe.commit_seconds_total = probe.commit_seconds_total + took.count();
  probe.last_commit_seconds = took.count();
}

void Store::forget(const std::string& participant) {
  parts_->check_writable();
  const std::string prefix = keys::participant_prefix(participant);
  Database& database = *parts_->database;
  WriteSet changes(database);
  const auto erase = [&](Family family, const std::string& all) {
    database.scan(family, all, [&](std::string_view key, std::string_view) {
      changes.erase(family, key);
      if (family == Family::kIndex) changes.erase(Family::kBlocks, key);
    });
  };
  erase(Family::kValues, prefix);
  erase(Family::kIndex, prefix);
  erase(Family::kMeta, std::string(keys::kLivePrefix) + prefix);
  parts_->now.seal.forget(prefix);
  parts_->now.seal.write(changes);
  try {
    database.write(changes);
  } catch (...) {
    parts_->failed = true;
    ++parts_->probe.failures;
    throw;
  }
  parts_->now.index.forget(participant);
  parts_->now.participants.erase(participant);
  parts_->count_sizes();
}

// Only an owner that is part of the commit has put its entries again.
std::vector<keys::PieceKey> Store::Parts::cleaned_by(const Commit& commit) const {
  std::set<std::string_view> owners;
  for (const Commit::Part& part : commit.parts) owners.insert(part.participant);
  std::vector<keys::PieceKey> removed;
  for (const keys::PieceKey& piece : cleaned) {
    if (owners.contains(piece.participant)) removed.push_back(piece);
  }
  return removed;
}

void Store::Parts::committed(const Commit& commit, const std::vector<keys::PieceKey>& removed,
                             const std::vector<WrittenPiece>& written) {
  for (const keys::PieceKey& piece : removed) now.index.remove_oldest(piece);
  for (const WrittenPiece& piece : written) now.index.add(piece.key, piece.bytes);
  for (const Commit::Part& part : commit.parts) {
    for (const StateChanges::Size& size : part.changes.sizes) {
      now.index.set_live_bytes(part.participant, size.set, size.live_bytes);
    }
    if (!part.changes.values.empty() || !part.changes.blocks.empty()) {
      now.participants.insert(part.participant);
    }
  }
  now.index.end_commit();
  cleaned.clear();
  sequence = commit.sequence;
  count_sizes();
}

// The commit is safe whatever becomes of the side file: without it a torn log would not be noticed.
void Store::Parts::acknowledge() {
  try {
    write_acknowledged(path, {sequence, named});
  } catch (const StoreError&) {
    ++probe.side_file_failures;
  }
}

std::vector<Cleaning> Store::cleanings() {
  if (parts_->access == Access::kRead) return {};
  parts_->check_writable();
  parts_->cleaned = parts_->now.index.to_clean();
  if (!parts_->cleaned.empty()) MILLRACE_FAILPOINT("clean.before_read");
  std::vector<Cleaning> handed;
  for (const keys::PieceKey& piece : parts_->cleaned) {
    auto bytes = parts_->database->get(Family::kBlocks, keys::piece(piece));
    if (!bytes) {
      throw StoreDamagedError("the store in " + parts_->path + " is damaged: a piece of " +
                              piece.participant + '/' + piece.set + " is in the index only");
    }
    handed.push_back({piece.participant, piece.set, piece.sequence, std::move(*bytes)});
  }
  return handed;
}

std::uint64_t Store::digest() const { return summarize().digest; }

StateSummary Store::summarize() const { return millrace::summarize(*parts_->database); }

SnapshotInfo Store::snapshot(EventTime now, int keep) {
  MILLRACE_CHECK(parts_->access == Access::kWrite);
  try {
    SnapshotInfo info = parts_->snapshots.take(*parts_->database, now, keep);
    ++parts_->probe.snapshots;
    return info;
  } catch (...) {
    ++parts_->probe.failures;
    throw;
  }
}

std::vector<SnapshotInfo> Store::snapshots() const { return parts_->snapshots.list(); }

const StoreProbe& Store::probe() const { return parts_->probe; }

}  // namespace millrace
