#include "store/cold_blocks.h"

#include <optional>

#include "learner/base/check.h"
#include "store/error.h"

namespace millrace {
namespace {

// So many blocks go before their space is given up: about one file's worth of small ones.
constexpr std::uint64_t kFreedTogether = 8192;

[[noreturn]] void damaged(const std::string& what) {
  throw StoreDamagedError("the store is damaged: " + what);
}

bool has_left(std::string_view left, std::size_t entry) {
  return entry / 8 < left.size() &&
         (static_cast<unsigned char>(left[entry / 8]) >> entry % 8 & 1U) != 0;
}

}  // namespace

void for_each_cold_block(const Database& database, std::string_view prefix,
                         const std::function<void(const ColdEntry&)>& visit) {
  std::optional<keys::ColdKey> left_of;
  std::string left;
  database.scan(Family::kColdIndex, prefix, [&](std::string_view key, std::string_view value) {
    if (key == keys::kMark) return;
    const auto at = keys::parse_cold_index(key);
    if (!at) damaged("family cold_index holds a key that is none of ours");
    if (at->second == keys::ColdPart::kLeft) {
      left_of = at->first;
      left = value;
      return;
    }
    visit({at->first, value, left_of == at->first ? left : std::string_view()});
  });
}

void for_each_cold_entry(
    const Database& database,
    const std::function<void(const keys::ColdKey&, std::string_view, std::string_view)>& use) {
  std::vector<std::pair<keys::ColdKey, std::string>> blocks;
  for_each_cold_block(database, "",
                      [&](const ColdEntry& block) { blocks.emplace_back(block.key, block.left); });
  std::size_t next = 0;
  database.scan(Family::kCold, "", [&](std::string_view key, std::string_view bytes) {
    const auto at = keys::parse_cold(key);
    if (!at) damaged("family cold holds a key that is none of ours");
    if (next == blocks.size() || *at < blocks[next].first) return;  // waste
    const auto& [block, left] = blocks[next++];
    if (*at != block) damaged("a cold block is in the index only");
    EntryReader reader(bytes);
    std::size_t entry = 0;
    for (EntryReader::Entry put; reader.next(put); ++entry) {
      if (!has_left(left, entry)) use(block, put.key, put.value);
    }
  });
  if (next < blocks.size()) damaged("a cold block is in the index only");
}

void encode_cold(const Commit::Part& part, WriteSet& changes) {
  const auto key = [&](const auto& change) {
    return keys::ColdKey{part.participant, change.set, change.number};
  };
  for (const StateChanges::ColdBlock& block : part.changes.cold_blocks) {
    changes.put(Family::kCold, keys::cold(key(block)), {*block.bytes});
    changes.put(Family::kColdIndex, keys::cold_index(key(block), keys::ColdPart::kDirectory),
                {block.directory});
  }
  for (const StateChanges::ColdLeft& left : part.changes.cold_left) {
    changes.put(Family::kColdIndex, keys::cold_index(key(left), keys::ColdPart::kLeft),
                {left.bitmap});
  }
  for (const StateChanges::ColdErased& erased : part.changes.cold_erased) {
    changes.erase(Family::kColdIndex, keys::cold_index(key(erased), keys::ColdPart::kLeft));
    changes.erase(Family::kColdIndex, keys::cold_index(key(erased), keys::ColdPart::kDirectory));
  }
}

std::vector<std::string> StoredColdBlocks::read(std::string_view set,
                                                std::span<const std::uint64_t> numbers) {
  std::vector<std::string> keys;
  keys.reserve(numbers.size());
  for (const std::uint64_t number : numbers) {
    keys.push_back(keys::cold({participant_, std::string(set), number}));
  }
  return database_.get_all(Family::kCold, keys);
}

void ColdSpace::committed(const Commit& commit, Database& database) {
  for (const Commit::Part& part : commit.parts) {
    for (const StateChanges::ColdFloor& floor : part.changes.cold_floors) {
      std::uint64_t& freed = freed_[{part.participant, floor.set}];
      if (floor.number < freed + kFreedTogether) continue;
      freed = floor.number;
      database.drop_files(Family::kCold, keys::cold({part.participant, floor.set, 0}),
                          keys::cold({part.participant, floor.set, floor.number}));
    }
  }
}

}  // namespace millrace
