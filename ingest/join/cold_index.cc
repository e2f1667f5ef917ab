#include "ingest/join/cold_index.h"

#include <utility>

#include "learner/base/check.h"

namespace millrace {

ColdIndex::ColdIndex() = default;

void ColdIndex::Shard::insert(std::uint64_t place, std::uint32_t slot) {
  Line* line = &homes[home_of(place)];
  while (line->count() == kLineEntries) {
    if (Line* after = next(*line)) {
      line = after;
      continue;
    }
    // A new line may move all lines of the overflow, the last of this chain among them.
    const bool is_home = line >= homes.data() && line < homes.data() + homes.size();
    const std::size_t at =
        static_cast<std::size_t>(line - (is_home ? homes.data() : overflow.data()));
    std::uint32_t fresh = 0;
    if (free.empty()) {
      fresh = static_cast<std::uint32_t>(overflow.size());
      overflow.emplace_back();
    } else {
      fresh = free.back();
      free.pop_back();
      overflow[fresh] = Line{};
    }
    MILLRACE_CHECK(fresh + 1 < 1U << 28);
    (is_home ? homes[at] : overflow[at]).set_next(fresh + 1);
    line = &overflow[fresh];
  }
  line->entries[line->count()] = print_of(place) << slot_bits() | slot;
  ++line->count_and_next;
  ++size;
}

// The last entry of the chain takes the place of the one that goes.
bool ColdIndex::Shard::remove(std::uint64_t place, std::uint32_t slot) {
  const std::uint32_t wanted = print_of(place) << slot_bits() | slot;
  std::uint32_t* hole = nullptr;
  Line* before = nullptr;
  Line* last = &homes[home_of(place)];
  while (true) {
    for (std::uint32_t i = 0; hole == nullptr && i < last->count(); ++i) {
      if (last->entries[i] == wanted) hole = &last->entries[i];
    }
    Line* after = next(*last);
    if (after == nullptr) break;
    before = last;
    last = after;
  }
  if (hole == nullptr) return false;
  --last->count_and_next;
  *hole = last->entries[last->count()];
  --size;
  if (last->count() > 0 || before == nullptr) return true;
  free.push_back(before->next() - 1);
  before->set_next(0);
  return true;
}

void ColdIndex::Shard::rebuild(int new_bits) {
  Shard grown;
  grown.bits = new_bits;
  MILLRACE_CHECK(grown.print_bits() > 0);
  grown.homes = std::vector<Line>(std::size_t{1} << new_bits);
  const std::uint32_t slot_mask = (1U << slot_bits()) - 1;
  for (std::size_t home = 0; home < homes.size(); ++home) {
    for (const Line* line = &homes[home]; line != nullptr; line = next(*line)) {
      for (std::uint32_t i = 0; i < line->count(); ++i) {
        const std::uint32_t entry = line->entries[i];
        const std::uint64_t place = std::uint64_t{home} << print_bits() | entry >> slot_bits();
        grown.insert(place, entry & slot_mask);
      }
    }
  }
  *this = std::move(grown);
}

void ColdIndex::use_slots(std::uint32_t slots) {
  slots_ = slots;
  for (Shard& shard : shards_) {
    int bits = shard.bits;
    while (slots > 1U << (bits + 3)) ++bits;
    if (bits > shard.bits) shard.rebuild(bits);
  }
}

void ColdIndex::insert(std::uint64_t place, std::uint32_t slot) {
  MILLRACE_CHECK(slot < slots_);
  Shard& shard = shards_[shard_of(place)];
  if (shard.size >= kPerHome * shard.homes.size()) shard.rebuild(shard.bits + 1);
  shard.insert(place, slot);
  ++size_;
}

bool ColdIndex::remove(std::uint64_t place, std::uint32_t slot) {
  Shard& shard = shards_[shard_of(place)];
  if (!shard.remove(place, slot)) return false;
  --size_;
  const bool slots_fit = slots_ <= 1U << (shard.bits + 2);
  if (shard.bits > kLeastBits && slots_fit && shard.size * 6 < kPerHome * shard.homes.size()) {
    shard.rebuild(shard.bits - 1);
  }
  return true;
}

std::uint64_t ColdIndex::memory_bytes() const {
  std::uint64_t bytes = sizeof *this;
  for (const Shard& shard : shards_) {
    bytes += (shard.homes.capacity() + shard.overflow.capacity()) * sizeof(Line) +
             shard.free.capacity() * sizeof(std::uint32_t);
  }
  return bytes;
}

}  // namespace millrace
