#include "learner/embedding/key_index.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "learner/base/check.h"

namespace millrace {

void KeyIndex::Release::operator()(Entry* entries) const {
  if (mapped_bytes > 0) {
    munmap(entries, mapped_bytes);
  } else {
    delete[] entries;
  }
}

KeyIndex::Entries KeyIndex::take(std::uint32_t capacity) {
  constexpr std::size_t kLeastMapped = std::size_t{1} << 18;
  const std::size_t bytes = capacity * sizeof(Entry);
  Entries entries;
  if (bytes < kLeastMapped) {
    entries.reset(new Entry[capacity]);
  } else {
    void* const memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    entries = Entries(static_cast<Entry*>(memory), Release(bytes));
  }
  std::fill_n(entries.get(), capacity, Entry{0, kNone});
  return entries;
}

void KeyIndex::place(Segment& segment, Entry entry) {
  std::uint32_t at = home(segment.capacity, entry.tag);
  while (segment.entries[at].row != kNone) at = next(segment, at);
  segment.entries[at] = entry;
}

void KeyIndex::grow(Segment& segment) {
  Segment larger;
  larger.capacity = std::max(std::uint32_t{8}, segment.capacity + segment.capacity / 3);
  larger.count = segment.count;
  larger.entries = take(larger.capacity);
  for (std::uint32_t at = 0; at < segment.capacity; ++at) {
    if (segment.entries[at].row != kNone) place(larger, segment.entries[at]);
  }
  segment = std::move(larger);
}

void KeyIndex::insert(std::uint64_t hash, std::uint32_t row) {
  Segment& segment = segments_[hash >> kSegmentShift];
  // At most four fifths full; below a capacity of 8 not even one entry would be free.
  if ((std::uint64_t{segment.count} + 1) * 5 > std::uint64_t{segment.capacity} * 4) grow(segment);
  place(segment, {static_cast<std::uint32_t>(hash), row});
  ++segment.count;
}

void KeyIndex::erase(std::uint64_t hash, std::uint32_t row) {
  Segment& segment = segments_[hash >> kSegmentShift];
  MILLRACE_CHECK(segment.capacity > 0);
  std::uint32_t hole = home(segment, hash);
  while (segment.entries[hole].row != row) {
    MILLRACE_CHECK(segment.entries[hole].row != kNone);
    hole = next(segment, hole);
  }
  // Whoever would rather stand in the hole, or before it, moves up.
  for (std::uint32_t at = next(segment, hole); segment.entries[at].row != kNone;
       at = next(segment, at)) {
    const std::uint32_t wanted = home(segment.capacity, segment.entries[at].tag);
    const bool stays = hole < at ? hole < wanted && wanted <= at : hole < wanted || wanted <= at;
    if (stays) continue;
    segment.entries[hole] = segment.entries[at];
    hole = at;
  }
  segment.entries[hole] = {0, kNone};
  --segment.count;
}

void KeyIndex::clear() {
  for (Segment& segment : segments_) segment = {};
}

std::uint64_t KeyIndex::bytes() const {
  std::uint64_t bytes = sizeof *this;
  for (const Segment& segment : segments_) bytes += segment.capacity * sizeof(Entry);
  return bytes;
}

}  // namespace millrace
