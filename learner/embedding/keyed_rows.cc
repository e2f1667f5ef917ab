#include "learner/embedding/keyed_rows.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <new>

#include "learner/base/check.h"
#include "learner/base/huge_pages.h"

namespace millrace {
namespace {

// A table takes its first pages one by one, and then as many together as make a huge page, or so
// many.
constexpr std::size_t kSinglePages = 2, kMostTogether = 4;
constexpr std::size_t kLine = 64;

std::shared_ptr<void> allocate(std::size_t bytes) {
  void* const memory = std::aligned_alloc(kLine, (bytes + kLine - 1) / kLine * kLine);
  if (memory == nullptr) throw std::bad_alloc();
  return {memory, [](void* all) { std::free(all); }};
}

std::shared_ptr<void> map_huge(std::size_t bytes) {
  return {map_huge_pages(bytes), [bytes](void* memory) { munmap(memory, bytes); }};
}

/// Blocks of a huge page, for whatever is too small to have one of its own. A block lives as long
/// as its pointer, its huge page as long as one of its blocks.
std::shared_ptr<void> part_of_huge_page(std::size_t bytes) {
  static std::mutex mutex;
  static std::weak_ptr<void> newest;
  static std::size_t used = 0;
  const std::lock_guard lock(mutex);
  std::shared_ptr<void> page = newest.lock();
  if (!page || kHugePage - used < bytes) {
    page = map_huge(kHugePage);
    newest = page;
    used = 0;
  }
  char* const block = static_cast<char*>(page.get()) + used;
  used += bytes;
  return {std::move(page), block};
}

std::string_view key_bytes(const std::uint64_t& key) {
  return {reinterpret_cast<const char*>(&key), sizeof key};
}

std::uint64_t read_key(std::string_view bytes) {
  if (bytes.size() != sizeof(std::uint64_t)) throw StateError("a saved row's key has a wrong size");
  std::uint64_t key = 0;
  std::memcpy(&key, bytes.data(), sizeof key);
  if (key == 0) throw StateError("a saved row's key is 0");
  return key;
}

// A kind, two lengths, key, floats and second.
std::uint64_t entry_bytes(int width) {
  return 1 + 4 + 8 + 4 + static_cast<std::uint64_t>(width) * sizeof(float) + 4;
}

}  // namespace

KeyedRows::KeyedRows(int width) : width_(width) { MILLRACE_CHECK(width > 0); }

std::uint64_t KeyedRows::bytes() const {
  const std::uint64_t row = sizeof(Header) + static_cast<std::uint64_t>(width_) * sizeof(float);
  // Pages that were never used beyond end_ take address space, not memory.
  return end_ * row + index_.bytes() +
         (free_.capacity() + uncommitted_.capacity() + unpublished_.capacity()) * sizeof(Row) +
         oldest_.capacity() * sizeof(std::uint32_t) +
         (erased_uncommitted_.capacity() + erased_unpublished_.capacity()) * sizeof(std::uint64_t);
}

// Memory for one page, or for several once they make huge pages.
void KeyedRows::add_pages() {
  const std::size_t floats = std::size_t{kPageRows} * static_cast<std::size_t>(width_);
  const std::size_t to_huge = (kHugePage + floats * sizeof(float) - 1) / (floats * sizeof(float));
  const bool alone = pages_.size() < kSinglePages;
  const std::size_t count = alone ? 1 : std::min(to_huge, kMostTogether);
  const auto take = [&](std::size_t bytes) {
    const bool shares = !alone && bytes <= kHugePage / 4;
    memory_.push_back(shares               ? part_of_huge_page(bytes)
                      : bytes >= kHugePage ? map_huge(bytes)
                                           : allocate(bytes));
    return memory_.back().get();
  };
  auto* const headers = static_cast<Header*>(take(count * kPageRows * sizeof(Header)));
  auto* const values = static_cast<float*>(take(count * floats * sizeof(float)));
  for (std::size_t page = 0; page < count; ++page) {
    pages_.push_back({headers + page * kPageRows, values + page * floats});
  }
}

void KeyedRows::shorten_lists() {
  // Each row once: its mark goes with the first sight of it, and comes back at the end.
  std::erase_if(uncommitted_, [&](Row row) {
    const bool is_first = header(row).uncommitted;
    header(row).uncommitted = false;
    return !is_first;
  });
  for (const Row row : uncommitted_) header(row).uncommitted = true;
  std::erase_if(unpublished_, [&](Row row) {
    const bool is_first = header(row).unpublished;
    header(row).unpublished = false;
    return !is_first;
  });
  for (const Row row : unpublished_) header(row).unpublished = true;
}

KeyedRows::Row KeyedRows::insert(std::uint64_t key) {
  MILLRACE_CHECK(key != 0);
  Row row;
  if (!free_.empty()) {
    row = free_.back();
    free_.pop_back();
  } else {
    MILLRACE_CHECK(end_ < kNone - 1);
    if (end_ >> kPageBits == pages_.size()) add_pages();
    row = end_++;
  }
  header(row) = {key, 0, 0, 0, 0};
  index_.insert(KeyIndex::hash(key), row);
  ++size_;
  return row;
}

void KeyedRows::remove(Row row) {
  Header& h = header(row);
  index_.erase(KeyIndex::hash(h.key), row);
  h = {0, 0, 0, 0, 0};
  free_.push_back(row);
  --size_;
}

void KeyedRows::erase(Row row) {
  const Header& h = header(row);
  if (h.sequence != 0) erased_uncommitted_.push_back(h.key);
  if (tracks_publication_) erased_unpublished_.push_back(h.key);
  remove(row);
}

void KeyedRows::forget(Row row) {
  const Header& h = header(row);
  MILLRACE_CHECK(!h.uncommitted && h.sequence == 0);
  remove(row);
}

std::uint64_t KeyedRows::erase_older(std::uint32_t now, std::uint32_t age) {
  // Their entries of the index stand anywhere: so many are fetched together.
  std::array<Row, 32> old;
  std::size_t count = 0;
  const std::uint64_t before = size_;
  const auto erase_all_of_them = [&] {
    for (std::size_t i = 0; i < count; ++i) erase(old[i]);
    count = 0;
  };
  oldest_.reserve(end_ / kAgeRows + 1);
  for (Row first = 0; first < end_; first += kAgeRows) {
    const std::size_t block = first / kAgeRows;
    if (block == oldest_.size()) {
      oldest_.push_back(now - age);
    } else if (now - oldest_[block] < age) {
      continue;
    }
    std::uint32_t greatest = 0;
    for (Row row = first; row < std::min(end_, first + kAgeRows); ++row) {
      if (header(row).key == 0) continue;
      const std::uint32_t its_age = now - header(row).seen;
      if (its_age < age) {
        greatest = std::max(greatest, its_age);
        continue;
      }
      index_.prefetch(KeyIndex::hash(header(row).key));
      old[count++] = row;
      if (count == old.size()) erase_all_of_them();
    }
    oldest_[block] = now - greatest;
  }
  erase_all_of_them();
  return before - size_;
}

void KeyedRows::erase_all() {
  for_each([&](Row row) { erase(row); });
}

// The rank of the last row that goes is found digit by digit, 16 bits at a time.
std::uint64_t KeyedRows::erase_oldest(std::uint32_t now, std::uint64_t count) {
  MILLRACE_CHECK(0 < count && count <= size_);
  const auto rank = [&](Row row) {
    const Header& h = header(row);
    const std::uint32_t age = now - h.seen;
    return std::uint64_t{~age} << 32 | KeyIndex::hash(h.key) >> 32;
  };
  std::uint64_t prefix = 0, left = count;
  for (int shift = 48; shift >= 0; shift -= 16) {
    std::vector<std::uint64_t> rows(1U << 16);
    const std::uint64_t above = shift == 48 ? 0 : ~std::uint64_t{0} << (shift + 16);
    for_each([&](Row row) {
      const std::uint64_t r = rank(row);
      if ((r & above) == prefix) ++rows[r >> shift & 0xffff];
    });
    std::uint64_t digit = 0;
    for (; rows[digit] < left; ++digit) left -= rows[digit];
    prefix |= digit << shift;
    if (rows[digit] == left) {
      prefix |= (std::uint64_t{1} << shift) - 1;  // everything of this digit goes
      break;
    }
  }
  const std::uint64_t before = size_;
  for_each([&](Row row) {
    if (rank(row) <= prefix) erase(row);
  });
  return before - size_;
}

std::vector<std::uint64_t> KeyedRows::take_absent(std::vector<std::uint64_t>& keys) const {
  std::vector<std::uint64_t> absent = std::exchange(keys, {});
  std::sort(absent.begin(), absent.end());
  absent.erase(std::unique(absent.begin(), absent.end()), absent.end());
  std::erase_if(absent, [&](std::uint64_t key) { return find(key) != kNone; });
  return absent;
}

void KeyedRows::put(Row row, std::uint32_t sequence, EntryWriter& writer) {
  Header& h = header(row);
  const std::size_t floats = static_cast<std::size_t>(width_) * sizeof(float);
  value_.resize(floats + sizeof h.seen);
  std::memcpy(value_.data(), values(row), floats);
  std::memcpy(value_.data() + floats, &h.seen, sizeof h.seen);
  writer.put(key_bytes(h.key), value_);
  h.sequence = sequence & 0x3fffffffU;
}

void KeyedRows::save(std::string_view set, std::uint64_t sequence,
                     std::span<const Cleaning> cleanings, StateChanges& changes) {
  MILLRACE_CHECK(0 < sequence && sequence < (1U << 30));
  const auto now = static_cast<std::uint32_t>(sequence);
  EntryWriter writer;
  writer.reserve((erased_uncommitted_.size() + uncommitted_.size()) * entry_bytes(width_));
  // A key that went and came again is put below.
  for (const std::uint64_t key : take_absent(erased_uncommitted_)) writer.erase(key_bytes(key));
  for (const Row row : uncommitted_) {
    Header& h = header(row);
    if (!h.uncommitted) continue;  // went, or is listed twice
    h.uncommitted = false;
    put(row, now, writer);
  }
  uncommitted_.clear();
  for (const Cleaning& cleaning : cleanings) {
    if (cleaning.set != set) continue;
    EntryReader reader(cleaning.bytes);
    for (EntryReader::Entry entry; reader.next(entry);) {
      if (entry.erased) continue;
      const Row row = find(read_key(entry.key));
      if (row != kNone && header(row).sequence == cleaning.sequence) put(row, now, writer);
    }
  }
  if (writer.count() > 0) changes.blocks.push_back({std::string(set), writer.take()});
  changes.sizes.push_back({std::string(set), size_ * entry_bytes(width_)});
}

// The keys come in no order, so what a few of them will touch is fetched together.
void KeyedRows::restore(std::uint64_t sequence, std::string_view bytes) {
  doubt_ages();
  struct Read {
    EntryReader::Entry entry;
    std::uint64_t key;
  };
  std::array<Read, 32> reads;
  EntryReader reader(bytes);
  for (bool more = true; more;) {
    std::size_t count = 0;
    for (; count < reads.size(); ++count) {
      Read& read = reads[count];
      more = reader.next(read.entry);
      if (!more) break;
      read.key = read_key(read.entry.key);
      index_.prefetch(KeyIndex::hash(read.key));
    }
    for (std::size_t i = 0; i < count; ++i) {
      const Row guess = index_.first_match(KeyIndex::hash(reads[i].key));
      if (guess != kNone) prefetch(guess, width_);
    }
    for (std::size_t i = 0; i < count; ++i) restore(reads[i].key, reads[i].entry, sequence);
  }
}

void KeyedRows::restore(std::uint64_t key, const EntryReader::Entry& entry,
                        std::uint64_t sequence) {
  Row row = find(key);
  if (entry.erased) {
    if (row != kNone) remove(row);
    return;
  }
  const std::size_t floats = static_cast<std::size_t>(width_) * sizeof(float);
  if (entry.value.size() != floats + sizeof(std::uint32_t)) {
    throw StateError("a saved row has a wrong size");
  }
  if (row == kNone) row = insert(key);
  std::memcpy(values(row), entry.value.data(), floats);
  std::memcpy(&seen(row), entry.value.data() + floats, sizeof(std::uint32_t));
  header(row).sequence = static_cast<std::uint32_t>(sequence) & 0x3fffffffU;
}

}  // namespace millrace
