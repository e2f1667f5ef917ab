#include "store/digest.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "learner/base/hash.h"
#include "learner/base/state.h"
#include "store/cold_blocks.h"
#include "store/error.h"
#include "store/keys.h"

namespace millrace {
namespace {

constexpr std::uint64_t kEntrySeed = 1;
constexpr std::uint64_t kValueSeed = 2;

// A set of 64-bit hashes: open addressing, at most half full.
class HashSet {
 public:
  /// Whether it was not there yet.
  bool insert(std::uint64_t hash) {
    if (hash == 0) hash = 1;  // 0 marks a free place
    if (2 * (count_ + 1) > places_.size()) grow();
    std::uint64_t& place = find(hash);
    if (place == hash) return false;
    place = hash;
    ++count_;
    return true;
  }

 private:
  std::uint64_t& find(std::uint64_t hash) {
    const std::size_t mask = places_.size() - 1;
    std::size_t at = hash & mask;
    while (places_[at] != 0 && places_[at] != hash) at = (at + 1) & mask;
    return places_[at];
  }
  void grow() {
    std::vector<std::uint64_t> before(std::max<std::size_t>(1024, 2 * places_.size()));
    before.swap(places_);
    for (const std::uint64_t hash : before) {
      if (hash != 0) find(hash) = hash;
    }
  }

  std::vector<std::uint64_t> places_;
  std::size_t count_ = 0;
};

// One set, read from the newest piece to the oldest.
class Living {
 public:
  Living(std::string_view participant, std::string_view set)
      : seed_(hash_bytes(set, hash_bytes(participant, kEntrySeed))) {}

  void read(std::string_view piece) {
    changes_.clear();
    EntryReader reader(piece);
    for (EntryReader::Entry entry; reader.next(entry);) changes_.push_back(entry);
    for (auto entry = changes_.rbegin(); entry != changes_.rend(); ++entry) {
      const std::uint64_t key = hash_bytes(entry->key, seed_);
      if (!decided_.insert(key) || entry->erased) continue;
      digest_ += hash_bytes(entry->value, key);
      ++entries_;
      bytes_ += entry->key.size() + entry->value.size();
    }
    ++pieces_;
    stored_bytes_ += piece.size();
  }

  std::uint64_t digest() const { return digest_; }
  StateSummary::Set sizes(std::string participant, std::string set) const {
    return {std::move(participant), std::move(set), entries_, bytes_, pieces_, stored_bytes_};
  }

 private:
  const std::uint64_t seed_;
  HashSet decided_;
  std::vector<EntryReader::Entry> changes_;  // of the piece that is being read
  std::uint64_t digest_ = 0, entries_ = 0, bytes_ = 0, pieces_ = 0, stored_bytes_ = 0;
};

// The sets of the participant that is being read; added to the summary when the next one begins.
class Reader {
 public:
  explicit Reader(StateSummary& summary) : summary_(summary) {}

  void piece(const keys::PieceKey& key, std::string_view bytes) {
    if (key.participant != participant_) finish();
    participant_ = key.participant;
    sets_.try_emplace(key.set, key.participant, key.set).first->second.read(bytes);
  }
  void finish() {
    for (const auto& [set, living] : sets_) {
      summary_.digest += living.digest();
      summary_.sets.push_back(living.sizes(participant_, set));
    }
    sets_.clear();
  }

 private:
  StateSummary& summary_;
  std::string participant_;
  std::map<std::string, Living> sets_;
};

// Entries of cold blocks count as those of their set's log. None is in both.
class ColdReading {
 public:
  ColdReading(const Database& database, StateSummary& summary)
      : database_(database), summary_(summary) {}

  void read() {
    for_each_cold_block(database_, "", [&](const ColdEntry& block) {
      enter(block.key);
      ++set().cold_blocks;
    });
    for_each_cold_entry(
        database_, [&](const keys::ColdKey& block, std::string_view key, std::string_view value) {
          enter(block);
          summary_.digest += hash_bytes(value, hash_bytes(key, seed_));
          ++set().entries;
          ++set().cold_entries;
          set().bytes += key.size() + value.size();
        });
  }

 private:
  StateSummary::Set& set() { return summary_.sets[at_]; }
  // Makes `set` that of the block. Blocks come set by set.
  void enter(const keys::ColdKey& block) {
    const auto is_it = [&](const StateSummary::Set& one) {
      return one.participant == block.participant && one.set == block.set;
    };
    if (at_ < summary_.sets.size() && is_it(set())) return;
    const auto found = std::find_if(summary_.sets.begin(), summary_.sets.end(), is_it);
    at_ = static_cast<std::size_t>(found - summary_.sets.begin());
    if (found == summary_.sets.end()) {
      StateSummary::Set fresh;
      fresh.participant = block.participant;
      fresh.set = block.set;
      summary_.sets.push_back(std::move(fresh));
    }
    seed_ = hash_bytes(block.set, hash_bytes(block.participant, kEntrySeed));
  }

  const Database& database_;
  StateSummary& summary_;
  std::size_t at_ = ~std::size_t{0};
  std::uint64_t seed_ = 0;
};

// Sets whose owners told a size and that have no piece now.
void add_empty_sets(const Database& database, StateSummary& summary) {
  std::set<std::pair<std::string, std::string>> known;
  for (const StateSummary::Set& one : summary.sets) known.emplace(one.participant, one.set);
  database.scan(Family::kMeta, keys::kLivePrefix, [&](std::string_view key, std::string_view) {
    const auto names = keys::parse_live(key);
    if (!names) throw StoreDamagedError("the store is damaged: family meta holds an unknown key");
    if (known.contains({std::string(names->first), std::string(names->second)})) return;
    StateSummary::Set empty;
    empty.participant = names->first;
    empty.set = names->second;
    summary.sets.push_back(std::move(empty));
  });
}

}  // namespace

StateSummary summarize(const Database& database) {
  StateSummary summary;
  database.scan(Family::kValues, "", [&](std::string_view key, std::string_view value) {
    if (key == keys::kMark) return;
    const auto names = keys::parse_value(key);
    if (!names || value.empty())
      throw StoreDamagedError("the store is damaged: a value has no flag");
    if (value.front() == 0) return;
    const std::uint64_t seed = hash_bytes(names->second, hash_bytes(names->first, kValueSeed));
    summary.digest += hash_bytes(value.substr(1), seed);
  });
  Reader reader(summary);
  database.scan_back(Family::kBlocks, [&](std::string_view key, std::string_view value) {
    if (key == keys::kMark) return;
    const auto piece = keys::parse_piece(key);
    if (!piece) throw StoreDamagedError("the store is damaged: family blocks holds an unknown key");
    reader.piece(*piece, value);
  });
  reader.finish();
  ColdReading(database, summary).read();
  add_empty_sets(database, summary);
  std::sort(summary.sets.begin(), summary.sets.end(), [](const auto& a, const auto& b) {
    return std::tie(a.participant, a.set) < std::tie(b.participant, b.set);
  });
  return summary;
}

}  // namespace millrace
