#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace {

/// From an id's hash to the blocks that may hold it, in 32 bits an entry: a filter and a directory
/// in one. Of a hash, 33 bits count (`place_of`), so of n entries one in 2³³/n look-ups of what is
/// not there finds a block all the same (1 % at 80 million); whoever asks compares the whole id.
///
/// Sixteen shards of hash tables, each doubled by itself, so that no growth takes long. A place of
/// a table is one cache line of 15 entries and continues in further lines where it is full. An
/// entry holds a block's slot and those bits of the hash that its place does not say: where a table
/// is doubled a slot gets one bit more and the hash one less, so a table is rebuilt from itself.
/// Memory: 6 to 7 bytes an entry, where a block has 40 entries or more; at least 4 KiB.
/// Cost: one cache miss a look-up, mostly. Threads: one at a time.
class ColdIndex {
 public:
  static constexpr int kHashBits = 33;
  static std::uint64_t place_of(std::uint64_t hash) { return hash >> (64 - kHashBits); }

  ColdIndex();

  /// Slots below `slots` are in use from now on, none above. Tables grow where slots get too large.
  void use_slots(std::uint32_t slots);
  /// Requires: the slot is in use. An entry may be there several times.
  void insert(std::uint64_t place, std::uint32_t slot);
  /// Removes it once. Returns whether it was there.
  bool remove(std::uint64_t place, std::uint32_t slot);

  /// Calls `use(slot)` for each entry of this place; the index must not change meanwhile.
  template <class Use>
  void for_each(std::uint64_t place, Use&& use) const {
    const Shard& shard = shards_[shard_of(place)];
    const std::uint32_t print = shard.print_of(place);
    const std::uint32_t slot_mask = (1U << shard.slot_bits()) - 1;
    for (const Line* line = &shard.homes[shard.home_of(place)]; line != nullptr;
         line = shard.next(*line)) {
      for (std::uint32_t i = 0; i < line->count(); ++i) {
        const std::uint32_t entry = line->entries[i];
        if (entry >> shard.slot_bits() == print) use(entry & slot_mask);
      }
    }
  }
  /// Asks the processor to fetch what `for_each` will read.
  void prefetch(std::uint64_t place) const {
    const Shard& shard = shards_[shard_of(place)];
    __builtin_prefetch(&shard.homes[shard.home_of(place)]);
  }

  std::size_t size() const { return size_; }
  std::uint64_t memory_bytes() const;

 private:
  static constexpr int kShardBits = 4;
  static constexpr int kLeastBits = 2;
  static constexpr std::uint32_t kLineEntries = 15;
  // A table is doubled when its places hold more than this on average.
  static constexpr std::size_t kPerHome = 20;

  struct alignas(64) Line {
    std::uint32_t count_and_next = 0;  // 4 bits, and 28 bits of the overflow line's number + 1
    std::array<std::uint32_t, kLineEntries> entries;
    std::uint32_t count() const { return count_and_next & 15U; }
    std::uint32_t next() const { return count_and_next >> 4; }
    void set_next(std::uint32_t next) { count_and_next = count() | next << 4; }
  };

  // Of a place: 4 bits the shard, `bits` the home, the other 29 − `bits` the print.
  struct Shard {
    int bits = kLeastBits;
    std::size_t size = 0;
    std::vector<Line> homes = std::vector<Line>(std::size_t{1} << kLeastBits);
    std::vector<Line> overflow{};
    std::vector<std::uint32_t> free{};  // overflow lines

    int slot_bits() const { return bits + 3; }
    int print_bits() const { return kHashBits - kShardBits - bits; }
    std::size_t home_of(std::uint64_t place) const {
      return place >> print_bits() & ((std::size_t{1} << bits) - 1);
    }
    std::uint32_t print_of(std::uint64_t place) const {
      return static_cast<std::uint32_t>(place & ((std::uint64_t{1} << print_bits()) - 1));
    }
    const Line* next(const Line& line) const {
      return line.next() == 0 ? nullptr : &overflow[line.next() - 1];
    }
    Line* next(Line& line) { return line.next() == 0 ? nullptr : &overflow[line.next() - 1]; }
    void insert(std::uint64_t place, std::uint32_t slot);
    bool remove(std::uint64_t place, std::uint32_t slot);
    void rebuild(int new_bits);
  };

  static std::size_t shard_of(std::uint64_t place) { return place >> (kHashBits - kShardBits); }

  std::array<Shard, std::size_t{1} << kShardBits> shards_;
  std::size_t size_ = 0;
  std::uint32_t slots_ = 0;
};

}  // namespace millrace
