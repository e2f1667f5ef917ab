#include "store/store.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <set>

#include "learner/base/check.h"
#include "learner/base/failpoint.h"
#include "store/cold_blocks.h"
#include "store/database.h"
#include "store/files.h"
#include "store/keys.h"
#include "store/piece_index.h"
#include "store/recovery.h"

namespace millrace {

namespace fs = std::filesystem;

struct Store::Parts {
  const std::string path;
  const Access access;
  std::unique_ptr<Database> database;
  SnapshotFolder snapshots;
  Recovered now{};  // its sequence is that of the next member
  std::atomic<std::uint64_t> sequence{0};
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
  std::vector<keys::PieceKey> cleaned_by(const Commit& commit) const;
  void committed(const Commit& commit, const std::vector<keys::PieceKey>& removed,
                 const std::vector<WrittenPiece>& written);
};

namespace {

[[noreturn]] void no_store(const std::string& path) {
  throw StoreError("there is no store in " + path + "; name the folder of store.path");
}

std::string database_folder(const std::string& path) { return (fs::path(path) / "db").string(); }

std::unique_ptr<Database> open_database(const std::string& path, Store::Access access) {
  if (access == Store::Access::kRead) {
    if (!fs::exists(fs::path(database_folder(path)) / "CURRENT")) {
      no_store(path);
    }
    auto database = Database::open(database_folder(path), Database::Access::kRead);
    if (!has_schema(*database, path)) no_store(path);
    return database;
  }
  make_folder(database_folder(path));
  auto database = Database::open(database_folder(path), Database::Access::kWrite);
  if (!has_schema(*database, path)) begin_schema(*database);
  return database;
}

}  // namespace

Store::Store(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Store::~Store() = default;

std::unique_ptr<Store> Store::open(const std::string& path, Access access) {
  auto database = open_database(path, access);
  MILLRACE_FAILPOINT("recovery.opened");
  auto parts = std::unique_ptr<Parts>(
      new Parts{path, access, std::move(database), SnapshotFolder(fs::path(path) / "snapshots")});
  if (access == Access::kWrite) parts->snapshots.remove_incomplete();
  parts->now = recover(*parts->database);
  parts->sequence = parts->now.sequence;
  parts->count_sizes();
  return std::unique_ptr<Store>(new Store(std::move(parts)));
}

std::uint64_t Store::sequence() const { return parts_->sequence; }

void Store::restore(Participant& participant) const {
  const std::string name = participant.participant_name();
  participant.use_cold(
      parts_->cold_readers.try_emplace(name, *parts_->database, name).first->second);
  restore_participant(*parts_->database, participant);
}

std::vector<std::string> Store::participants() const {
  return {parts_->now.participants.begin(), parts_->now.participants.end()};
}

std::optional<std::string> Store::value(std::string_view participant, std::string_view name) const {
  auto bytes = parts_->database->get(Family::kValues, keys::value(participant, name));
  if (!bytes) return std::nullopt;
  if (bytes->empty()) throw StoreError("the store in " + parts_->path + " is damaged: no flag");
  return bytes->substr(1);
}

void Store::write(const Commit& commit) {
  parts_->check_writable();
  MILLRACE_CHECK(commit.sequence > parts_->sequence);
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<keys::PieceKey> removed = parts_->cleaned_by(commit);
  WriteSet changes(*parts_->database);
  const std::vector<WrittenPiece> written = encode_commit(commit, removed, changes);
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

  StoreProbe& probe = parts_->probe;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  ++probe.commits;
  probe.commit_bytes += changes.bytes();
  probe.commit_seconds_total = probe.commit_seconds_total + took.count();
  probe.last_commit_seconds = took.count();
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

std::vector<Cleaning> Store::cleanings() {
  parts_->check_writable();
  parts_->cleaned = parts_->now.index.to_clean();
  if (!parts_->cleaned.empty()) MILLRACE_FAILPOINT("clean.before_read");
  std::vector<Cleaning> handed;
  for (const keys::PieceKey& piece : parts_->cleaned) {
    auto bytes = parts_->database->get(Family::kBlocks, keys::piece(piece));
    if (!bytes) {
      throw StoreError("the store in " + parts_->path + " is damaged: a piece of " +
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
  } catch (const StoreError&) {
    ++parts_->probe.failures;
    throw;
  }
}

std::vector<SnapshotInfo> Store::snapshots() const { return parts_->snapshots.list(); }

const StoreProbe& Store::probe() const { return parts_->probe; }

}  // namespace millrace
