#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "learner/base/time.h"

namespace millrace {

/// What the tier of cold impressions counts since the start.
struct ColdCounts {
  std::uint64_t lookups = 0;  ///< Times that an id was asked for which memory did not have,
  std::uint64_t spared = 0;   ///< of which the index knew that no block has it,
  std::uint64_t found = 0;    ///< and those where one had.
  std::uint64_t reads = 0;    ///< Blocks read from the store.
  std::uint64_t loads = 0;    ///< Blocks taken back to memory as a whole.
  std::uint64_t puts = 0;     ///< Blocks written.
};

/// Entries of a block by their place, some of which are marked. Up to 64 need no memory beside the
/// object. A plain value.
class EntryMarks {
 public:
  EntryMarks() = default;
  explicit EntryMarks(std::size_t entries)
      : rest_(entries > 64 ? std::make_unique<std::uint64_t[]>((entries - 1) / 64) : nullptr) {}

  bool has(std::size_t entry) const { return (word(entry) >> entry % 64 & 1U) != 0; }
  void add(std::size_t entry) {
    (entry < 64 ? first_ : rest_[entry / 64 - 1]) |= std::uint64_t{1} << entry % 64;
  }
  /// Byte i / 8, bit i % 8.
  std::string bytes(std::size_t entries) const {
    std::string bytes;
    for (std::size_t i = 0; i < entries; i += 8) {
      bytes.push_back(static_cast<char>(word(i) >> i % 64 & 0xffU));
    }
    return bytes;
  }

 private:
  std::uint64_t word(std::size_t entry) const {
    return entry < 64 ? first_ : rest_[entry / 64 - 1];
  }
  std::uint64_t first_ = 0;
  std::unique_ptr<std::uint64_t[]> rest_;
};

/// What is known in memory of one block of cold impressions. A slot without entries is free.
struct ColdBlock {
  /// Why its bytes are in memory.
  enum class Held : std::uint8_t {
    kNot,
    kPending,  ///< Perhaps not in the store yet.
    kFetched,  ///< For the events that are being taken.
    kAhead,    ///< Soon due.
  };
  std::uint64_t number = 0;
  EventTime due;  ///< Of its first entry, when it was put.
  std::shared_ptr<const std::string> bytes;
  EntryMarks left;
  std::uint32_t live_bytes = 0;  ///< Of entries that have not left.
  std::uint32_t generation = 0;  ///< Tells the blocks that have the same slot apart.
  std::uint16_t entries = 0;
  std::uint16_t gone = 0;  ///< Entries that left.
  Held held = Held::kNot;
  bool changed = false;  ///< Entries left since the last save.
};

}  // namespace millrace
