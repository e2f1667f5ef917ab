#include "store/digest.h"

#include <map>
#include <unordered_map>

#include "learner/base/hash.h"
#include "learner/base/state.h"
#include "store/error.h"
#include "store/keys.h"

namespace millrace {
namespace {

constexpr std::uint64_t kEntrySeed = 1;
constexpr std::uint64_t kValueSeed = 2;

// The entries of one set that live so far.
class Living {
 public:
  Living(std::string_view participant, std::string_view set)
      : seed_(hash_bytes(set, hash_bytes(participant, kEntrySeed))) {}

  void replay(std::string_view piece) {
    EntryReader reader(piece);
    for (EntryReader::Entry entry; reader.next(entry);) {
      const std::uint64_t key = hash_bytes(entry.key, seed_);
      if (entry.erased) {
        forget(key);
      } else {
        put(key, {hash_bytes(entry.value, key), entry.key.size() + entry.value.size()});
      }
    }
    ++pieces_;
    stored_bytes_ += piece.size();
  }

  std::uint64_t digest() const { return digest_; }
  StateSummary::Set sizes(std::string participant, std::string set) const {
    return {std::move(participant), std::move(set), entries_.size(), bytes_, pieces_,
            stored_bytes_};
  }

 private:
  struct Entry {
    std::uint64_t hash;
    std::uint64_t bytes;
  };
  void put(std::uint64_t key, Entry entry) {
    forget(key);
    entries_.emplace(key, entry);
    digest_ += entry.hash;
    bytes_ += entry.bytes;
  }
  void forget(std::uint64_t key) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    digest_ -= found->second.hash;
    bytes_ -= found->second.bytes;
    entries_.erase(found);
  }

  const std::uint64_t seed_;
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::uint64_t digest_ = 0, bytes_ = 0, pieces_ = 0, stored_bytes_ = 0;
};

// The sets of the participant that is being read; added to the summary when the next one begins.
class Reader {
 public:
  explicit Reader(StateSummary& summary) : summary_(summary) {}

  void piece(const keys::PieceKey& key, std::string_view bytes) {
    if (key.participant != participant_) finish();
    participant_ = key.participant;
    sets_.try_emplace(key.set, key.participant, key.set).first->second.replay(bytes);
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

}  // namespace

StateSummary summarize(const Database& database) {
  StateSummary summary;
  database.scan(Family::kValues, "", [&](std::string_view key, std::string_view value) {
    const auto names = keys::parse_value(key);
    if (!names || value.empty()) throw StoreError("the store is damaged: a value has no flag");
    if (value.front() == 0) return;
    const std::uint64_t seed = hash_bytes(names->second, hash_bytes(names->first, kValueSeed));
    summary.digest += hash_bytes(value.substr(1), seed);
  });
  Reader reader(summary);
  database.scan(Family::kBlocks, "", [&](std::string_view key, std::string_view value) {
    const auto piece = keys::parse_piece(key);
    if (!piece) throw StoreError("the store is damaged: family blocks holds an unknown key");
    reader.piece(*piece, value);
  });
  reader.finish();
  return summary;
}

}  // namespace millrace
