#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "learner/base/hash.h"

namespace millrace {

/// Finds the row of a key: an open addressing hash table from the bits of a key's hash to a row's
/// number. It holds no keys, only 32 bits of their hashes; whoever owns the rows says whether a row
/// is the one (`matches`), so that keys are told apart exactly.
///
/// It is cut into segments that grow one by one, so that no insertion pays for more than a 64th of
/// the table and no more than that is ever held twice. A hash belongs to a bucket of eight entries,
/// one cache line, whose hashes are compared at once; what has no place in its bucket stands in the
/// next (linear probing). An erasure moves the followers up, so there are no tombstones.
/// Memory: 10 to 13.5 bytes a row in large tables. Threads: one writer, or any number of readers.
class KeyIndex {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffU;

  static std::uint64_t hash(std::uint64_t key) { return mix_bits(key); }

  /// Fetches what `first_match` and `find` will read.
  void prefetch(std::uint64_t hash) const {
    const Segment& segment = segments_[hash >> kSegmentShift];
    if (segment.buckets > 0) __builtin_prefetch(&segment.lines[home(segment, hash)]);
  }

  /// The first row whose hash has the same 32 bits, most likely the one; kNone if there is none.
  std::uint32_t first_match(std::uint64_t hash) const {
    return find(hash, [](std::uint32_t) { return true; });
  }

  /// The row of this hash for which `matches(row)` holds, or kNone.
  template <class Matches>
  std::uint32_t find(std::uint64_t hash, Matches&& matches) const {
    const Segment& segment = segments_[hash >> kSegmentShift];
    if (segment.buckets == 0) return kNone;
    const auto tag = static_cast<std::uint32_t>(hash);
    for (std::uint32_t at = home(segment, hash);; at = next(segment, at)) {
      const Bucket& bucket = segment.lines[at];
      for (unsigned found = alike(bucket.tags, tag); found != 0; found &= found - 1) {
        const std::uint32_t row = bucket.rows[std::countr_zero(found)];
        if (row != kNone && matches(row)) return row;
      }
      if (bucket.rows[kWidth - 1] == kNone) return kNone;
    }
  }

  /// Requires: no row of this key is in the index, and row != kNone.
  void insert(std::uint64_t hash, std::uint32_t row);
  /// Requires: `row` is in the index under this hash.
  void erase(std::uint64_t hash, std::uint32_t row);
  void clear();

  std::uint64_t bytes() const;

 private:
  static constexpr std::uint32_t kWidth = 8;
  /// Filled from the front.
  struct alignas(64) Bucket {
    std::uint32_t tags[kWidth];
    std::uint32_t rows[kWidth];  ///< kNone: free.
  };
  // Large segments are mapped by themselves: what a growth leaves goes back to the system, and does
  // not stay as holes between other memory.
  struct Release {
    Release() : mapped_bytes(0) {}
    explicit Release(std::size_t bytes) : mapped_bytes(bytes) {}
    std::size_t mapped_bytes;  ///< 0: it was allocated.
    void operator()(Bucket* lines) const;
  };
  using Lines = std::unique_ptr<Bucket[], Release>;
  static Lines take(std::uint32_t buckets);
  struct Segment {
    Lines lines;
    std::uint32_t buckets = 0;
    std::uint32_t count = 0;  ///< Of entries.
  };
  static constexpr int kSegments = 64;
  static constexpr int kSegmentShift = 58;

  /// Which of eight numbers are this one: a bit each, the first the lowest.
  static unsigned alike(const std::uint32_t* numbers, std::uint32_t number) {
#if defined(__AVX2__)
    typedef std::uint32_t Numbers __attribute__((vector_size(kWidth * sizeof number)));
    typedef float Marks __attribute__((vector_size(kWidth * sizeof number)));
    Numbers all;
    std::memcpy(&all, numbers, sizeof all);
    return static_cast<unsigned>(__builtin_ia32_movmskps256(std::bit_cast<Marks>(all == number)));
#else
    unsigned found = 0;
    for (std::uint32_t i = 0; i < kWidth; ++i) found |= unsigned{numbers[i] == number} << i;
    return found;
#endif
  }

  // Where a hash would like to stand: in the order of its lower 32 bits, so that an entry knows its
  // home without its key.
  static std::uint32_t home(const Segment& segment, std::uint64_t hash) {
    return home(segment.buckets, static_cast<std::uint32_t>(hash));
  }
  static std::uint32_t home(std::uint32_t buckets, std::uint32_t tag) {
    return static_cast<std::uint32_t>((std::uint64_t{tag} * buckets) >> 32);
  }
  static std::uint32_t next(const Segment& segment, std::uint32_t bucket) {
    return bucket + 1 == segment.buckets ? 0 : bucket + 1;
  }
  static void place(Segment& segment, std::uint32_t tag, std::uint32_t row);
  static void grow(Segment& segment);
  static void take_out(Segment& segment, std::uint32_t bucket, std::uint32_t place);

  std::array<Segment, kSegments> segments_;
};

}  // namespace millrace
