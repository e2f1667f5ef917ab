#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/base/state.h"

namespace millrace {

/// A store in memory, as plain as the protocol of a Participant allows: values by name, a log of
/// blocks for each set, of which the oldest can be given up, and cold blocks. A cold block can be
/// read once the commit after its own has begun, as in a store that writes one commit at a time.
/// For tests of what parts save.
class StateLog final : public ColdReader {
 public:
  using Entries = std::map<std::pair<std::string, std::string>, std::string>;

  /// Commits what `participant` changed; first gives up the `cleaned` oldest blocks of each set.
  void commit(Participant& participant, std::size_t cleaned = 0) {
    ++sequence_;
    std::vector<Cleaning> cleanings;
    for (auto& [set, blocks] : blocks_) {
      for (std::size_t i = 0; i < cleaned && !blocks.empty(); ++i) {
        const auto oldest = blocks.begin();
        cleanings.push_back(
            {participant.participant_name(), set, oldest->first, std::move(oldest->second)});
        blocks.erase(oldest);
      }
    }
    for (auto& [at, block] : cold_) block.is_durable = true;
    const StateChanges changes = participant.save(sequence_, cleanings);
    for (const auto& value : changes.values) values_[value.name] = {value.bytes, value.in_digest};
    for (const auto& block : changes.blocks) blocks_[block.set][sequence_] = block.bytes;
    for (const auto& size : changes.sizes) sizes_[size.set] = size.live_bytes;
    take_cold(changes);
  }

  /// From now on, and after each restore, cold blocks may be handed over.
  void use(Participant& participant) {
    uses_cold_ = true;
    participant.use_cold(*this);
  }

  std::vector<std::string> read(std::string_view set,
                                std::span<const std::uint64_t> numbers) override {
    std::vector<std::string> bytes;
    for (const std::uint64_t number : numbers) {
      const auto found = cold_.find({std::string(set), number});
      if (found == cold_.end() || !found->second.is_durable) {
        throw StateError("no cold block " + std::to_string(number) + " can be read");
      }
      bytes.push_back(found->second.bytes);
      ++cold_reads_;
    }
    return bytes;
  }
  std::size_t cold_reads() const { return cold_reads_; }
  std::size_t cold_blocks() const { return cold_.size(); }

  void restore(Participant& participant) {
    if (uses_cold_) participant.use_cold(*this);
    for (auto& [at, block] : cold_) block.is_durable = true;
    for (const auto& [name, value] : values_) participant.restore_value(name, value.first);
    std::map<std::pair<std::uint64_t, std::string>, const std::string*> order;
    for (const auto& [set, blocks] : blocks_) {
      for (const auto& [sequence, bytes] : blocks) order[{sequence, set}] = &bytes;
    }
    for (const auto& [at, bytes] : order) {
      participant.restore_block(at.second, at.first, *bytes);
    }
    for (const auto& [at, block] : cold_) {
      participant.restore_cold(at.first, at.second, block.directory, block.left);
    }
    participant.restored();
  }

  /// What lives in the sets: (set, key) → value.
  Entries entries() const {
    Entries entries;
    for (const auto& [set, blocks] : blocks_) {
      for (const auto& [sequence, bytes] : blocks) {
        EntryReader reader(bytes);
        for (EntryReader::Entry entry; reader.next(entry);) {
          const std::pair<std::string, std::string> key{set, entry.key};
          if (entry.erased) {
            entries.erase(key);
          } else {
            entries[key] = entry.value;
          }
        }
      }
    }
    for (const auto& [at, block] : cold_) {
      EntryReader reader(block.bytes);
      std::size_t i = 0;
      for (EntryReader::Entry entry; reader.next(entry); ++i) {
        const bool left =
            !block.left.empty() && (static_cast<unsigned char>(block.left.at(i / 8)) >> i % 8 & 1);
        if (left) continue;
        if (!entries.try_emplace({at.first, std::string(entry.key)}, entry.value).second) {
          throw StateError("an entry is in two places");
        }
      }
    }
    return entries;
  }

  /// Everything that the digest covers: the entries, and the values that count, under set "".
  Entries digested() const {
    Entries all = entries();
    for (const auto& [name, value] : values_) {
      if (value.second) all[{"", name}] = value.first;
    }
    return all;
  }

  /// What a migration makes of it: `value(name, bytes)` is the value's new form or nothing,
  /// `keeps(set)` whether a set stays.
  template <class Value, class Keeps>
  StateLog carried_over(const Value& value, const Keeps& keeps) const {
    StateLog log;
    log.sequence_ = sequence_;
    for (const auto& [name, old] : values_) {
      if (auto bytes = value(name, old.first)) log.values_[name] = {std::move(*bytes), old.second};
    }
    for (const auto& [set, blocks] : blocks_) {
      if (!keeps(set)) continue;
      log.blocks_[set] = blocks;
      log.sizes_[set] = sizes_.at(set);
    }
    return log;
  }

  std::uint64_t live_bytes(const std::string& set) const { return sizes_.at(set); }
  std::uint64_t sequence() const { return sequence_; }
  std::size_t blocks(const std::string& set) const {
    const auto found = blocks_.find(set);
    return found == blocks_.end() ? 0 : found->second.size();
  }

 private:
  struct Cold {
    std::string bytes, directory, left;
    bool is_durable = false;
  };
  using ColdAt = std::pair<std::string, std::uint64_t>;  // set, number

  void take_cold(const StateChanges& changes) {
    for (const auto& block : changes.cold_blocks) {
      if (!cold_.empty() && !(cold_.rbegin()->first < ColdAt(block.set, block.number))) {
        throw StateError("numbers of cold blocks do not ascend");
      }
      cold_[{block.set, block.number}] = {*block.bytes, block.directory, "", false};
    }
    for (const auto& left : changes.cold_left) {
      cold_.at({left.set, left.number}).left = left.bitmap;
    }
    for (const auto& erased : changes.cold_erased) {
      if (cold_.erase({erased.set, erased.number}) == 0) throw StateError("no such cold block");
    }
    for (const auto& floor : changes.cold_floors) {
      const auto first = cold_.lower_bound({floor.set, 0});
      if (first != cold_.end() && first->first < ColdAt(floor.set, floor.number)) {
        throw StateError("a cold block is below the floor");
      }
    }
  }

  bool uses_cold_ = false;
  std::size_t cold_reads_ = 0;
  std::map<ColdAt, Cold> cold_;
  std::uint64_t sequence_ = 0;
  std::map<std::string, std::pair<std::string, bool>> values_;
  std::map<std::string, std::map<std::uint64_t, std::string>> blocks_;
  std::map<std::string, std::uint64_t> sizes_;
};

/// Everything of a participant that the digest covers.
inline StateLog::Entries state_of(Participant& participant) {
  StateLog log;
  log.commit(participant);
  return log.digested();
}

/// The names of the values and entries in which two states differ; those that begin with `but` may.
inline std::vector<std::string> differences(const StateLog::Entries& a, const StateLog::Entries& b,
                                            std::optional<std::string_view> but = {}) {
  const auto may_differ = [&](const std::string& name) { return but && name.starts_with(*but); };
  std::vector<std::string> names;
  for (const auto& [key, value] : a) {
    const auto other = b.find(key);
    if (may_differ(key.second)) continue;
    if (other == b.end() || other->second != value) names.push_back(key.first + ":" + key.second);
  }
  for (const auto& [key, value] : b) {
    if (!may_differ(key.second) && !a.contains(key)) {
      names.push_back(key.first + ":" + key.second);
    }
  }
  return names;
}

}  // namespace millrace
