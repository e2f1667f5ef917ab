#pragma once

#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "learner/base/state.h"

namespace millrace {

/// "k", 7 → "k7"
template <class Number>
std::string numbered(std::string name, Number number) {
  return name += std::to_string(number);
}

/// A participant that is nothing but its state: one set of entries and a few values, changed at
/// random. It keeps the rules of `Participant` as plainly as possible, so that a test can compare
/// it with what the store gives back.
class ModelParticipant final : public Participant {
 public:
  explicit ModelParticipant(std::string name = "model/test") : name_(std::move(name)) {}

  void put(const std::string& key, std::string value) {
    entries_[key] = {std::move(value), 0};
    changed_.insert(key);
  }
  void erase(const std::string& key) {
    if (entries_.erase(key) != 0) changed_.insert(key);
  }
  void put_value(const std::string& name, std::string bytes, bool in_digest = true) {
    values_[name] = {std::move(bytes), in_digest};
    changed_values_.insert(name);
  }

  /// `count` random puts and erasures among `keys` keys.
  void change(std::mt19937_64& random, int count, int keys, std::size_t value_bytes) {
    for (int i = 0; i < count; ++i) {
      const std::string key = numbered("key", random() % static_cast<unsigned>(keys));
      if (random() % 4 == 0) {
        erase(key);
      } else {
        put(key, std::string(random() % (2 * value_bytes + 1), static_cast<char>(random() % 256)));
      }
    }
    put_value("count", std::to_string(random()));
    put_value("position", std::to_string(random()), false);
  }

  std::string participant_name() const override { return name_; }

  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override {
    for (const Cleaning& cleaning : cleanings) {
      if (cleaning.participant != name_) continue;
      EntryReader reader(cleaning.bytes);
      for (EntryReader::Entry entry; reader.next(entry);) {
        const auto found = entries_.find(std::string(entry.key));
        if (found == entries_.end() || found->second.sequence != cleaning.sequence) continue;
        changed_.insert(found->first);
      }
    }
    EntryWriter block;
    for (const std::string& key : changed_) {
      const auto found = entries_.find(key);
      if (found == entries_.end()) {
        block.erase(key);
      } else {
        found->second.sequence = sequence;
        block.put(key, found->second.value);
      }
    }
    StateChanges changes;
    for (const std::string& name : changed_values_) {
      changes.values.push_back({name, values_[name].first, values_[name].second});
    }
    if (block.count() > 0) changes.blocks.push_back({"entries", block.take()});
    changes.sizes.push_back({"entries", live_bytes()});
    changed_.clear();
    changed_values_.clear();
    return changes;
  }

  void restore_value(std::string_view name, std::string_view bytes) override {
    values_[std::string(name)] = {std::string(bytes), name != "position"};
  }
  void restore_block(std::string_view set, std::uint64_t sequence,
                     std::string_view bytes) override {
    if (set != "entries" || sequence < newest_restored_) throw StateError("out of order");
    newest_restored_ = sequence;
    EntryReader reader(bytes);
    for (EntryReader::Entry entry; reader.next(entry);) {
      if (entry.erased) {
        entries_.erase(std::string(entry.key));
      } else {
        entries_[std::string(entry.key)] = {std::string(entry.value), sequence};
      }
    }
  }
  void restored() override { ++times_restored_; }

  int times_restored() const { return times_restored_; }
  std::map<std::string, std::string> entries() const {
    std::map<std::string, std::string> all;
    for (const auto& [key, entry] : entries_) all[key] = entry.value;
    return all;
  }
  const std::map<std::string, std::pair<std::string, bool>>& values() const { return values_; }
  bool operator==(const ModelParticipant& other) const {
    return entries() == other.entries() && values_ == other.values_;
  }
  std::uint64_t live_bytes() const {
    std::uint64_t live = 0;
    for (const auto& [key, entry] : entries_) live += key.size() + entry.value.size() + 9;
    return live;
  }

 private:
  struct Entry {
    std::string value;
    std::uint64_t sequence;  // of the commit with the newest put
  };

  std::string name_;
  std::map<std::string, Entry> entries_;
  std::set<std::string> changed_;
  std::map<std::string, std::pair<std::string, bool>> values_;
  std::set<std::string> changed_values_;
  std::uint64_t newest_restored_ = 0;
  int times_restored_ = 0;
};

}  // namespace millrace
