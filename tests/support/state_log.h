#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "learner/base/state.h"

namespace millrace {

/// A store in memory, as plain as the protocol of a Participant allows: values by name, a log of
/// blocks for each set, of which the oldest can be given up. For tests of what parts save.
class StateLog {
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
    const StateChanges changes = participant.save(sequence_, cleanings);
    for (const auto& value : changes.values) values_[value.name] = {value.bytes, value.in_digest};
    for (const auto& block : changes.blocks) blocks_[block.set][sequence_] = block.bytes;
    for (const auto& size : changes.sizes) sizes_[size.set] = size.live_bytes;
  }

  void restore(Participant& participant) const {
    for (const auto& [name, value] : values_) participant.restore_value(name, value.first);
    std::map<std::pair<std::uint64_t, std::string>, const std::string*> order;
    for (const auto& [set, blocks] : blocks_) {
      for (const auto& [sequence, bytes] : blocks) order[{sequence, set}] = &bytes;
    }
    for (const auto& [at, bytes] : order) {
      participant.restore_block(at.second, at.first, *bytes);
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
  std::uint64_t sequence_ = 0;
  std::map<std::string, std::pair<std::string, bool>> values_;
  std::map<std::string, std::map<std::uint64_t, std::string>> blocks_;
  std::map<std::string, std::uint64_t> sizes_;
};

}  // namespace millrace
