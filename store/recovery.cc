#include "store/recovery.h"

#include <utility>
#include <vector>

#include "store/cold_blocks.h"
#include "store/commit.h"
#include "store/error.h"
#include "store/keys.h"

namespace millrace {
namespace {

template <class T>
T number_in(std::string_view bytes, std::string_view what) {
  if (bytes.size() != sizeof(T)) {
    throw StoreDamagedError("the store is damaged: its entry \"" + std::string(what) + "\" has " +
                            std::to_string(bytes.size()) + " bytes instead of " +
                            std::to_string(sizeof(T)));
  }
  return ByteReader(bytes).get<T>();
}

[[noreturn]] void unknown_key(std::string_view family) {
  throw StoreDamagedError("the store is damaged: family " + std::string(family) +
                          " holds a key that is none of ours");
}

// All families stand at one commit, or a part of the database is gone.
void check_marks(const Database& database, std::uint64_t sequence) {
  for (const Family family : kMarkedFamilies) {
    const auto bytes = database.get(family, keys::kMark);
    const std::uint64_t mark = bytes ? number_in<std::uint64_t>(*bytes, "mark") : 0;
    if (mark == sequence) continue;
    throw StoreDamagedError("the store is damaged: one part of it stands at commit " +
                            std::to_string(mark) + ", another at " + std::to_string(sequence));
  }
}

}  // namespace

bool has_schema(const Database& database, const std::string& path) {
  const auto bytes = database.get(Family::kMeta, keys::kSchema);
  if (!bytes) {
    database.scan(Family::kMeta, "", [&](std::string_view, std::string_view) {
      throw StoreError("the database in " + path + " is not a store of Millrace");
    });
    return false;
  }
  const auto version = number_in<std::uint32_t>(*bytes, keys::kSchema);
  if (version != kSchemaVersion) {
    throw StoreError("the store in " + path + " has schema " + std::to_string(version) +
                     ", this Millrace knows " + std::to_string(kSchemaVersion) +
                     (version < kSchemaVersion
                          ? "; use the version that wrote it, or let a new store take the events"
                          : "; use the version that wrote it, or a newer one"));
  }
  return true;
}

void begin_schema(Database& database) {
  ByteWriter version;
  version.put(kSchemaVersion);
  WriteSet changes(database);
  changes.put(Family::kMeta, keys::kSchema, {version.bytes()});
  database.write(changes);
}

Recovered recover(const Database& database) {
  Recovered recovered;
  if (const auto bytes = database.get(Family::kMeta, keys::kSequence)) {
    recovered.sequence = number_in<std::uint64_t>(*bytes, keys::kSequence);
  }
  check_marks(database, recovered.sequence);
  database.scan(
      Family::kMeta, keys::kLivePrefix, [&](std::string_view key, std::string_view value) {
        const auto names = keys::parse_live(key);
        if (!names) unknown_key("meta");
        recovered.index.set_live_bytes(std::string(names->first), std::string(names->second),
                                       number_in<std::uint64_t>(value, keys::kLivePrefix));
      });
  database.scan(Family::kValues, "", [&](std::string_view key, std::string_view) {
    if (key == keys::kMark) return;
    const auto names = keys::parse_value(key);
    if (!names) unknown_key("values");
    recovered.participants.emplace(names->first);
  });
  database.scan(Family::kIndex, "", [&](std::string_view key, std::string_view value) {
    if (key == keys::kMark) return;
    const auto piece = keys::parse_piece(key);
    if (!piece) unknown_key("index");
    recovered.index.add(*piece, number_in<std::uint64_t>(value, "index"));
    recovered.participants.insert(piece->participant);
  });
  recovered.index.end_load();
  recovered.seal = Seal::of(database);
  recovered.seal.check(database);
  return recovered;
}

void restore_participant(const Database& database, Participant& participant) {
  const std::string prefix = keys::participant_prefix(participant.participant_name());
  bool found = false;
  database.scan(Family::kValues, prefix, [&](std::string_view key, std::string_view value) {
    const auto names = keys::parse_value(key);
    if (!names || value.empty()) unknown_key("values");
    participant.restore_value(names->second, value.substr(1));
    found = true;
  });
  // Every piece that the index names, and no other.
  std::vector<std::pair<std::string, std::uint64_t>> pieces;
  database.scan(Family::kIndex, prefix, [&](std::string_view key, std::string_view value) {
    pieces.emplace_back(key, number_in<std::uint64_t>(value, "index"));
  });
  std::size_t seen = 0;
  database.scan(Family::kBlocks, prefix, [&](std::string_view key, std::string_view value) {
    const auto piece = keys::parse_piece(key);
    if (!piece) unknown_key("blocks");
    if (seen >= pieces.size() || pieces[seen].first != key || pieces[seen].second != value.size()) {
      throw StoreDamagedError("the store is damaged: its logs are not what their index says");
    }
    ++seen;
    participant.restore_block(piece->set, piece->sequence, value);
    found = true;
  });
  if (seen != pieces.size()) {
    throw StoreDamagedError("the store is damaged: a piece of a log is in the index only");
  }
  for_each_cold_block(database, prefix, [&](const ColdEntry& block) {
    participant.restore_cold(block.key.set, block.key.number, block.directory, block.left);
    found = true;
  });
  if (found) participant.restored();
}

}  // namespace millrace
