#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"

namespace millrace {

/// Where an entry's newest put stands in the committed state. Part of the entry.
struct PutMark {
  std::uint64_t sequence = 0;  ///< Of the commit; 0: in none yet.
  std::uint32_t bytes = 0;     ///< What that put takes in its block.
  bool changed = false;        ///< Since that put.
};

/// Which entries of a set changed since the last commit, and which are gone, so that a commit costs
/// what changed and not what there is. Entries live in numbered slots of their owner, which tells
/// the log what happens to them.
/// Memory: 4 bytes a change, at most about twice the entries, and the ids of what is gone.
class ChangeLog {
 public:
  /// The entry in `slot` has a new value. `mark_of(slot)` is any slot's mark; `live`: all entries.
  template <class MarkOf>
  void changed(std::uint32_t slot, std::size_t live, MarkOf&& mark_of) {
    PutMark& mark = mark_of(slot);
    if (mark.changed) return;
    mark.changed = true;
    slots_.push_back(slot);
    if (slots_.size() > 2 * live + 1024) compact(mark_of);
  }

  /// The entry leaves its slot for ever.
  void gone(const PutMark& mark, std::string_view id) {
    if (mark.sequence == 0) return;  // in no commit: nothing to erase
    gone_.emplace_back(id);
    live_bytes_ -= mark.bytes;
  }

  /// The entry was read back from a block of this commit; `key` and `value` are their sizes.
  void restored(PutMark& mark, std::uint64_t sequence, std::size_t key, std::size_t value) {
    mark = {sequence, entry_bytes(key, value), false};
    live_bytes_ += mark.bytes;
  }
  /// An entry that was read back is replaced or erased by a later block.
  void forget_restored(const PutMark& mark) { live_bytes_ -= mark.bytes; }

  /// Writes erasures, then puts, so that an id that went and came again is there. `put(slot,
  /// writer)` writes one and returns the sizes of its key and value together. `ahead(slot, part)`
  /// is called for slots that are soon written, for part 0 and later for part 1, to fetch memory.
  template <class MarkOf, class Put, class Ahead>
  void save(std::uint64_t sequence, EntryWriter& writer, MarkOf&& mark_of, Put&& put,
            Ahead&& ahead) {
    constexpr std::size_t kFirst = 16, kSecond = 8;
    for (const std::string& id : gone_) writer.erase(id);
    gone_.clear();
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (i + kFirst < slots_.size()) ahead(slots_[i + kFirst], 0);
      if (i + kSecond < slots_.size()) ahead(slots_[i + kSecond], 1);
      const std::uint32_t slot = slots_[i];
      PutMark& mark = mark_of(slot);
      if (!mark.changed) continue;  // its entry is gone, or was in the list twice
      live_bytes_ -= mark.bytes;
      mark = {sequence, entry_bytes(put(slot, writer), 0), false};
      live_bytes_ += mark.bytes;
    }
    slots_.clear();
  }

  /// What the living entries take in their newest blocks.
  std::uint64_t live_bytes() const { return live_bytes_; }
  std::uint64_t memory_bytes() const {
    return slots_.capacity() * sizeof(std::uint32_t) + gone_.capacity() * sizeof(std::string);
  }

 private:
  // A put in a block: its kind, two lengths, key and value.
  static std::uint32_t entry_bytes(std::size_t key, std::size_t value) {
    return static_cast<std::uint32_t>(1 + 2 * sizeof(std::uint32_t) + key + value);
  }

  // Slots whose entries came and went since the last commit are in the list still, perhaps twice.
  template <class MarkOf>
  void compact(MarkOf&& mark_of) {
    std::erase_if(slots_, [&](std::uint32_t slot) {
      PutMark& mark = mark_of(slot);
      const bool first = mark.changed;
      mark.changed = false;
      return !first;
    });
    for (const std::uint32_t slot : slots_) mark_of(slot).changed = true;
  }

  std::vector<std::uint32_t> slots_;
  std::vector<std::string> gone_;
  std::uint64_t live_bytes_ = 0;
};

/// Calls `use(key, sequence)` for each entry that a block to be given up puts into `set`.
template <class Use>
void for_each_put(std::span<const Cleaning> cleanings, std::string_view set, Use&& use) {
  for (const Cleaning& cleaning : cleanings) {
    if (cleaning.set != set) continue;
    EntryReader reader(cleaning.bytes);
    for (EntryReader::Entry entry; reader.next(entry);) {
      if (!entry.erased) use(entry.key, cleaning.sequence);
    }
  }
}

}  // namespace millrace
