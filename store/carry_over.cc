#include "store/carry_over.h"

#include <cstdint>
#include <memory>
#include <unordered_set>
#include <vector>

#include "learner/base/hash.h"
#include "learner/base/state.h"
#include "store/cold_blocks.h"
#include "store/commit.h"
#include "store/error.h"
#include "store/keys.h"
#include "store/recovery.h"
#include "store/seal.h"

namespace millrace {
namespace {

constexpr std::uint64_t kBatchBytes = 16 << 20;

[[noreturn]] void unknown_key(std::string_view family) {
  throw StoreDamagedError("the store is damaged: family " + std::string(family) +
                          " holds a key that is none of ours");
}

// Changes in several synced writes of bounded size.
class BoundedWriter {
 public:
  explicit BoundedWriter(Database& database) : database_(database) { begin(); }
  void put(Family family, std::string_view key, std::string_view value) {
    changes_->put(family, key, {value});
    if (changes_->bytes() >= kBatchBytes) flush();
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

// The pieces of one set, oldest first.
std::vector<keys::PieceKey> pieces_of(const Database& database, std::string_view participant,
                                      std::string_view set) {
  std::vector<keys::PieceKey> pieces;
  database.scan(Family::kIndex, keys::participant_prefix(participant),
                [&](std::string_view key, std::string_view) {
                  const auto piece = keys::parse_piece(key);
                  if (!piece) unknown_key("index");
                  if (piece->set == set) pieces.push_back(*piece);
                });
  return pieces;
}

std::string piece_bytes(const Database& database, const keys::PieceKey& piece) {
  auto bytes = database.get(Family::kBlocks, keys::piece(piece));
  if (!bytes) {
    throw StoreDamagedError("the store is damaged: a piece of " + piece.participant + '/' +
                            piece.set + " is in the index only");
  }
  return std::move(*bytes);
}

}  // namespace

void for_each_value(const Database& database, std::string_view participant,
                    const std::function<void(std::string_view, std::string_view, bool)>& visit) {
  database.scan(Family::kValues, keys::participant_prefix(participant),
                [&](std::string_view key, std::string_view value) {
                  const auto names = keys::parse_value(key);
                  if (!names || value.empty()) unknown_key("values");
                  visit(names->second, value.substr(1), value.front() != 0);
                });
}

void for_each_entry(const Database& database, std::string_view participant, std::string_view set,
                    const std::function<void(std::string_view, std::string_view)>& visit) {
  std::unordered_set<std::uint64_t> decided;
  std::vector<EntryReader::Entry> changes;
  const std::vector<keys::PieceKey> pieces = pieces_of(database, participant, set);
  for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
    const std::string bytes = piece_bytes(database, *piece);
    changes.clear();
    EntryReader reader(bytes);
    for (EntryReader::Entry entry; reader.next(entry);) changes.push_back(entry);
    for (auto entry = changes.rbegin(); entry != changes.rend(); ++entry) {
      if (!decided.insert(hash_bytes(entry->key)).second || entry->erased) continue;
      visit(entry->key, entry->value);
    }
  }
  for_each_cold_entry(
      database, [&](const keys::ColdKey& block, std::string_view key, std::string_view value) {
        if (block.participant == participant && block.set == set) visit(key, value);
      });
}

void carry_over(const Database& from, const Keeps& keeps, Database& into) {
  begin_schema(into);
  BoundedWriter writer(into);
  from.scan(Family::kValues, "", [&](std::string_view key, std::string_view value) {
    if (key == keys::kMark) return;
    const auto names = keys::parse_value(key);
    if (!names) unknown_key("values");
    if (keeps.value(names->first, names->second)) writer.put(Family::kValues, key, value);
  });
  from.scan(Family::kMeta, keys::kLivePrefix, [&](std::string_view key, std::string_view value) {
    const auto names = keys::parse_live(key);
    if (!names) unknown_key("meta");
    if (keeps.set(names->first, names->second)) writer.put(Family::kMeta, key, value);
  });
  from.scan(Family::kIndex, "", [&](std::string_view key, std::string_view value) {
    if (key == keys::kMark) return;
    const auto piece = keys::parse_piece(key);
    if (!piece) unknown_key("index");
    if (!keeps.set(piece->participant, piece->set)) return;
    writer.put(Family::kBlocks, key, piece_bytes(from, *piece));
    writer.put(Family::kIndex, key, value);
  });
  if (const auto history = from.get(Family::kMeta, keys::kHistory)) {
    writer.put(Family::kMeta, keys::kHistory, *history);
  }
  writer.flush();
  WriteSet last(into);
  put_sequence(recover(from).sequence, last);
  Seal::of(into).write(last);
  into.write(last);
}

}  // namespace millrace
