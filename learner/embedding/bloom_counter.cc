#include "learner/embedding/bloom_counter.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

constexpr int kHashes = 4;
// Sets the filter's hash apart from that of the rows' index.
constexpr std::uint64_t kSalt = 0x9e3779b97f4a7c15ULL;
constexpr std::size_t kValueBytes = sizeof(std::uint32_t) + 56;
constexpr std::size_t kEntryBytes = 1 + 4 + sizeof(std::uint64_t) + 4 + kValueBytes;

std::uint32_t lines_in(std::uint64_t bytes) {
  constexpr std::uint64_t kLine = 64;
  MILLRACE_CHECK(bytes >= kLine);
  return static_cast<std::uint32_t>(std::min(bytes / kLine, std::uint64_t{0xffffffff}));
}

}  // namespace

BloomCounter::BloomCounter(std::uint64_t bytes)
    : count_(lines_in(bytes)),
      lines_(static_cast<Line*>(std::aligned_alloc(sizeof(Line), count_ * sizeof(Line)))) {
  if (!lines_) throw std::bad_alloc();
  std::fill_n(lines_.get(), count_, Line{});
}

std::uint64_t BloomCounter::bytes() const {
  return count_ * sizeof(Line) + uncommitted_.capacity() * sizeof(std::uint32_t) +
         before_.capacity() * sizeof(Before);
}

void BloomCounter::begin(std::uint32_t period) {
  period_ = period;
  before_.clear();
}

void BloomCounter::fade(Line& line) const {
  const std::uint32_t passed = period_ - line.period;
  if (passed == 0) return;
  const std::uint32_t shift = std::min(passed, 4U);
  const unsigned kept = (15U >> shift) * 0x11U;  // of either counter of a pair
  for (std::uint8_t& pair : line.counters) {
    pair = static_cast<std::uint8_t>((unsigned{pair} >> shift) & kept);
  }
  line.period = period_;
}

int BloomCounter::count(std::uint64_t key) {
  const std::uint64_t hash = mix_bits(key ^ kSalt);
  const auto at = static_cast<std::uint32_t>((hash >> 32) * count_ >> 32);
  Line& line = lines_[at];
  before_.push_back({at, line});
  fade(line);
  std::array<unsigned, kHashes> places;
  unsigned least = kMost;
  for (unsigned h = 0; h < kHashes; ++h) {
    const unsigned place = static_cast<unsigned>((hash >> (8 * h) & 0xff) * kCounters >> 8);
    places[h] = place;
    least =
        std::min(least, static_cast<unsigned>(line.counters[place / 2]) >> (place % 2 * 4) & 15);
  }
  const unsigned count = std::min(least + 1, static_cast<unsigned>(kMost));
  for (const unsigned place : places) {
    const unsigned shift = place % 2 * 4, pair = line.counters[place / 2];
    if ((pair >> shift & 15) >= count) continue;
    line.counters[place / 2] =
        static_cast<std::uint8_t>((pair & (0xf0U >> shift)) | count << shift);
  }
  return static_cast<int>(count);
}

void BloomCounter::keep() {
  for (const Before& before : before_) {
    Line& line = lines_[before.line];
    if (line.uncommitted) continue;
    line.uncommitted = true;
    uncommitted_.push_back(before.line);
  }
  before_.clear();
}

void BloomCounter::undo() {
  for (auto before = before_.rbegin(); before != before_.rend(); ++before) {
    lines_[before->line] = before->value;
  }
  before_.clear();
}

void BloomCounter::put(std::uint32_t at, std::uint32_t sequence, EntryWriter& writer) {
  Line& line = lines_[at];
  const std::uint64_t key = at;
  std::array<char, kValueBytes> value;
  std::memcpy(value.data(), &line.period, sizeof line.period);
  std::memcpy(value.data() + sizeof line.period, line.counters.data(), line.counters.size());
  writer.put({reinterpret_cast<const char*>(&key), sizeof key}, {value.data(), value.size()});
  if (line.sequence == 0) ++saved_lines_;
  line.sequence = sequence & 0x3fffffffU;
}

void BloomCounter::save(std::string_view set, std::uint64_t sequence,
                        std::span<const Cleaning> cleanings, StateChanges& changes) {
  MILLRACE_CHECK(0 < sequence && sequence < (1U << 30));
  const auto now = static_cast<std::uint32_t>(sequence);
  EntryWriter writer;
  writer.reserve(uncommitted_.size() * kEntryBytes);
  for (const std::uint32_t at : uncommitted_) {
    lines_[at].uncommitted = false;
    put(at, now, writer);
  }
  uncommitted_.clear();
  for (const Cleaning& cleaning : cleanings) {
    if (cleaning.set != set) continue;
    EntryReader reader(cleaning.bytes);
    for (EntryReader::Entry entry; reader.next(entry);) {
      std::uint64_t at = 0;
      if (entry.key.size() != sizeof at) throw StateError("a saved counter's key has a wrong size");
      std::memcpy(&at, entry.key.data(), sizeof at);
      if (at < count_ && lines_[at].sequence == cleaning.sequence) {
        put(static_cast<std::uint32_t>(at), now, writer);
      }
    }
  }
  if (writer.count() > 0) changes.blocks.push_back({std::string(set), writer.take()});
  changes.sizes.push_back({std::string(set), saved_lines_ * kEntryBytes});
}

void BloomCounter::restore(std::uint64_t sequence, std::string_view bytes) {
  EntryReader reader(bytes);
  for (EntryReader::Entry entry; reader.next(entry);) {
    std::uint64_t at = 0;
    if (entry.key.size() != sizeof at || entry.value.size() != kValueBytes) {
      throw StateError("saved counters of keys have a wrong size");
    }
    std::memcpy(&at, entry.key.data(), sizeof at);
    if (at >= count_) throw StateError("saved counters of keys are of a larger admission_memory");
    Line& line = lines_[at];
    std::memcpy(&line.period, entry.value.data(), sizeof line.period);
    std::memcpy(line.counters.data(), entry.value.data() + sizeof line.period,
                line.counters.size());
    if (line.sequence == 0) ++saved_lines_;
    line.sequence = static_cast<std::uint32_t>(sequence) & 0x3fffffffU;
  }
}

}  // namespace millrace
