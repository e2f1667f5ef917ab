#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "learner/base/state.h"

namespace millrace {

/// Counts how often keys were seen, in a fixed amount of memory: a counting Bloom filter with four
/// counters a key, all in one cache line (Fan et al. 2000; blocked as in Putze et al. 2007), of
/// which only the lowest are raised (Estan and Varghese 2002). A count is never too low, and too
/// high where all of a key's counters are also those of other keys: at 8 bytes for each key
/// counted for fewer than 1 in 100.
///
/// Counts fade: they are halved (rounded down) for each period of event time that has passed, a
/// line's together, when its next key comes.
///
/// A batch goes: `begin`, `count` for each occurrence, then `keep` or `undo`. The state is entries
/// (Participant): key: the line's number, 8 bytes, little-endian; value: the period of its last
/// key (u32), then 112 counters of 4 bits. A line that no key ever reached has none.
/// Memory: as given, a line is 64 bytes; and 68 bytes for each occurrence counted in a batch.
/// Threads: one at a time.
class BloomCounter {
 public:
  /// No count is higher.
  static constexpr int kMost = 15;

  /// Requires: bytes ≥ 64.
  explicit BloomCounter(std::uint64_t bytes);

  /// `period`: never lower than before.
  void begin(std::uint32_t period);
  /// Counts one more occurrence; returns how many there were, this one included.
  int count(std::uint64_t key);
  void keep();
  void undo();

  std::uint64_t bytes() const;

  /// As KeyedRows does.
  void save(std::string_view set, std::uint64_t sequence, std::span<const Cleaning> cleanings,
            StateChanges& changes);
  /// Error: throws StateError.
  void restore(std::uint64_t sequence, std::string_view bytes);

 private:
  static constexpr int kCounters = 112;
  struct Line {
    std::uint32_t period;
    std::uint32_t sequence : 30;    ///< Of the commit with the newest put; 0: in none.
    std::uint32_t uncommitted : 1;  ///< Is listed in uncommitted_.
    std::array<std::uint8_t, kCounters / 2> counters;
  };
  static_assert(sizeof(Line) == 64);
  struct Free {
    void operator()(Line* lines) const { std::free(lines); }
  };
  struct Before {
    std::uint32_t line;
    Line value;
  };

  void fade(Line& line) const;
  void put(std::uint32_t at, std::uint32_t sequence, EntryWriter& writer);

  const std::uint32_t count_;  ///< Lines.
  std::unique_ptr<Line[], Free> lines_;
  std::uint64_t saved_lines_ = 0;
  std::vector<std::uint32_t> uncommitted_;
  std::uint32_t period_ = 0;
  std::vector<Before> before_;  ///< Of the batch in progress.
};

}  // namespace millrace
