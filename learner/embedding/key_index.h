#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "learner/base/hash.h"

namespace millrace {

/// Finds the row of a key: an open addressing hash table from the bits of a key's hash to a row's
/// number. It holds no keys, only 32 bits of their hashes; whoever owns the rows says whether a row
/// is the one (`matches`), so that keys are told apart exactly.
///
/// It is cut into segments that grow one by one, so that no insertion pays for more than a 64th of
/// the table and no more than that is ever held twice. Linear probing; an erasure moves the
/// followers up, so there are no tombstones.
/// Memory: 10 to 13.5 bytes a row in large tables. Threads: one writer, or any number of readers.
class KeyIndex {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffU;

  static std::uint64_t hash(std::uint64_t key) { return mix_bits(key); }

  /// Fetches what `first_match` and `find` will read.
  void prefetch(std::uint64_t hash) const {
    const Segment& segment = segments_[hash >> kSegmentShift];
    if (segment.capacity > 0) __builtin_prefetch(&segment.entries[home(segment, hash)]);
  }

  /// The first row whose hash has the same 32 bits, most likely the one; kNone if there is none.
  std::uint32_t first_match(std::uint64_t hash) const {
    return find(hash, [](std::uint32_t) { return true; });
  }

  /// The row of this hash for which `matches(row)` holds, or kNone.
  template <class Matches>
  std::uint32_t find(std::uint64_t hash, Matches&& matches) const {
    const Segment& segment = segments_[hash >> kSegmentShift];
    if (segment.capacity == 0) return kNone;
    const auto tag = static_cast<std::uint32_t>(hash);
    for (std::uint32_t at = home(segment, hash);; at = next(segment, at)) {
      const Entry entry = segment.entries[at];
      if (entry.row == kNone) return kNone;
      if (entry.tag == tag && matches(entry.row)) return entry.row;
    }
  }

  /// Requires: no row of this key is in the index, and row != kNone.
  void insert(std::uint64_t hash, std::uint32_t row);
  /// Requires: `row` is in the index under this hash.
  void erase(std::uint64_t hash, std::uint32_t row);
  void clear();

  std::uint64_t bytes() const;

 private:
  struct Entry {
    std::uint32_t tag;
    std::uint32_t row;  ///< kNone: free.
  };
  // Large segments are mapped by themselves: what a growth leaves goes back to the system, and does
  // not stay as holes between other memory.
  struct Release {
    Release() : mapped_bytes(0) {}
    explicit Release(std::size_t bytes) : mapped_bytes(bytes) {}
    std::size_t mapped_bytes;  ///< 0: it was allocated.
    void operator()(Entry* entries) const;
  };
  using Entries = std::unique_ptr<Entry[], Release>;
  static Entries take(std::uint32_t capacity);
  struct Segment {
    Entries entries;
    std::uint32_t capacity = 0;
    std::uint32_t count = 0;
  };
  static constexpr int kSegments = 64;
  static constexpr int kSegmentShift = 58;

  // Where a hash would like to stand: in the order of its lower 32 bits, so that an entry knows its
  // home without its key.
  static std::uint32_t home(const Segment& segment, std::uint64_t hash) {
    return home(segment.capacity, static_cast<std::uint32_t>(hash));
  }
  static std::uint32_t home(std::uint32_t capacity, std::uint32_t tag) {
    return static_cast<std::uint32_t>((std::uint64_t{tag} * capacity) >> 32);
  }
  static std::uint32_t next(const Segment& segment, std::uint32_t at) {
    return at + 1 == segment.capacity ? 0 : at + 1;
  }
  static void place(Segment& segment, Entry entry);
  static void grow(Segment& segment);

  std::array<Segment, kSegments> segments_;
};

}  // namespace millrace
