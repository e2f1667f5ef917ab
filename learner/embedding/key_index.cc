#include "learner/embedding/key_index.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "learner/base/check.h"

namespace millrace {

void KeyIndex::Release::operator()(Bucket* lines) const {
  if (mapped_bytes > 0) {
    munmap(lines, mapped_bytes);
  } else {
    delete[] lines;
  }
}

KeyIndex::Lines KeyIndex::take(std::uint32_t buckets) {
  constexpr std::size_t kLeastMapped = std::size_t{1} << 18;
  const std::size_t bytes = buckets * sizeof(Bucket);
  Lines lines;
  if (bytes < kLeastMapped) {
    lines.reset(new Bucket[buckets]);
  } else {
    void* const memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    lines = Lines(static_cast<Bucket*>(memory), Release(bytes));
  }
  std::memset(static_cast<void*>(lines.get()), 0xff, bytes);
  return lines;
}

void KeyIndex::place(Segment& segment, std::uint32_t tag, std::uint32_t row) {
  for (std::uint32_t at = home(segment.buckets, tag);; at = next(segment, at)) {
    Bucket& bucket = segment.lines[at];
    const unsigned free = alike(bucket.rows, kNone);
    if (free == 0) continue;
    const int place = std::countr_zero(free);
    bucket.tags[place] = tag;
    bucket.rows[place] = row;
    return;
  }
}

void KeyIndex::grow(Segment& segment) {
  Segment larger;
  larger.buckets = segment.buckets + std::max(std::uint32_t{1}, segment.buckets / 3);
  larger.count = segment.count;
  larger.lines = take(larger.buckets);
  for (std::uint32_t at = 0; at < segment.buckets; ++at) {
    const Bucket& bucket = segment.lines[at];
    for (std::uint32_t i = 0; i < kWidth && bucket.rows[i] != kNone; ++i) {
      place(larger, bucket.tags[i], bucket.rows[i]);
    }
  }
  segment = std::move(larger);
}

void KeyIndex::insert(std::uint64_t hash, std::uint32_t row) {
  Segment& segment = segments_[hash >> kSegmentShift];
  // At most four fifths full, so that a search comes to its end soon.
  if ((std::uint64_t{segment.count} + 1) * 5 > std::uint64_t{segment.buckets} * kWidth * 4) {
    grow(segment);
  }
  place(segment, static_cast<std::uint32_t>(hash), row);
  ++segment.count;
}

void KeyIndex::erase(std::uint64_t hash, std::uint32_t row) {
  Segment& segment = segments_[hash >> kSegmentShift];
  MILLRACE_CHECK(segment.buckets > 0);
  std::uint32_t at = home(segment, hash);
  unsigned found = alike(segment.lines[at].rows, row);
  while (found == 0) {
    MILLRACE_CHECK(segment.lines[at].rows[kWidth - 1] != kNone);
    at = next(segment, at);
    found = alike(segment.lines[at].rows, row);
  }
  take_out(segment, at, static_cast<std::uint32_t>(std::countr_zero(found)));
  --segment.count;
}

void KeyIndex::take_out(Segment& segment, std::uint32_t at, std::uint32_t place) {
  Bucket* bucket = &segment.lines[at];
  // What stands behind a full bucket and would rather be in it, or before, moves up.
  for (std::uint32_t behind = at; bucket->rows[kWidth - 1] != kNone;) {
    behind = next(segment, behind);
    Bucket& other = segment.lines[behind];
    std::uint32_t i = 0;
    for (; i < kWidth && other.rows[i] != kNone; ++i) {
      const std::uint32_t wanted = home(segment.buckets, other.tags[i]);
      const bool stays =
          at < behind ? at < wanted && wanted <= behind : at < wanted || wanted <= behind;
      if (!stays) break;
    }
    if (i < kWidth && other.rows[i] != kNone) {
      bucket->tags[place] = other.tags[i];
      bucket->rows[place] = other.rows[i];
      bucket = &other;
      at = behind;
      place = i;
    } else if (i < kWidth) {
      break;  // not full: nobody stands behind it for want of room
    }
  }
  std::uint32_t last = kWidth - 1;
  while (bucket->rows[last] == kNone) --last;
  bucket->tags[place] = bucket->tags[last];
  bucket->rows[place] = bucket->rows[last];
  bucket->rows[last] = kNone;
}

void KeyIndex::clear() {
  for (Segment& segment : segments_) segment = {};
}

std::uint64_t KeyIndex::bytes() const {
  std::uint64_t bytes = sizeof *this;
  for (const Segment& segment : segments_) bytes += segment.buckets * sizeof(Bucket);
  return bytes;
}

}  // namespace millrace
