#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "learner/base/check.h"

namespace millrace {

/// Objects in numbered slots that never move: a slot's number is 4 bytes where a pointer is 8, and
/// references stay valid while others come and go.
///
/// Requires of T: a default value, which a free slot holds. Memory: freed slots are used again, the
/// last freed first, and stay at their peak. Cost: O(1). Threads: one at a time.
template <class T>
class SlotPool {
 public:
  /// A slot with a default value.
  std::uint32_t take() {
    if (free_.empty()) grow();
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  /// Ends the slot's object; what it held in other memory is freed now.
  void release(std::uint32_t slot) {
    (*this)[slot] = T{};
    free_.push_back(slot);
  }

  T& operator[](std::uint32_t slot) { return chunks_[slot / kChunk][slot % kChunk]; }
  const T& operator[](std::uint32_t slot) const { return chunks_[slot / kChunk][slot % kChunk]; }

  std::uint64_t memory_bytes() const {
    return chunks_.size() * kChunk * sizeof(T) + free_.capacity() * sizeof(std::uint32_t);
  }

 private:
  static constexpr std::uint32_t kChunk = 1024;

  void grow() {
    MILLRACE_CHECK(chunks_.size() < 0xffffffffu / kChunk);
    const auto first = static_cast<std::uint32_t>(chunks_.size()) * kChunk;
    chunks_.push_back(std::make_unique<T[]>(kChunk));
    for (std::uint32_t i = kChunk; i-- > 0;) free_.push_back(first + i);
  }

  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<std::uint32_t> free_;
};

}  // namespace millrace
