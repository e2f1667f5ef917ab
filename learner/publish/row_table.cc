#include "learner/publish/row_table.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "learner/base/check.h"
#include "learner/data/batch.h"

namespace millrace {
namespace {

constexpr std::size_t kLeastSlots = 16;

// The fewest slots, a power of two, that hold `rows` at a load of 5/8.
std::size_t slots_for(std::size_t rows) { return std::bit_ceil(rows * 8 / 5 + kLeastSlots); }

}  // namespace

RowTable::RowTable(int dimension) : dimension_(dimension) {
  MILLRACE_CHECK(dimension > 0);
  clear();
}

const float* RowTable::find(std::uint64_t key) const {
  if (key == kMissingKey) return nullptr;
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = home(key); slots_[i].key != kMissingKey; i = (i + 1) & mask) {
    if (slots_[i].key == key) return row_at(slots_[i].row);
  }
  return nullptr;
}

float* RowTable::insert(std::uint64_t key) {
  MILLRACE_CHECK(key != kMissingKey);
  if ((rows_ + 1) * 8 > slots_.size() * 5) rehash(slots_.size() * 2);
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = home(key);
  for (; slots_[i].key != kMissingKey; i = (i + 1) & mask) {
    if (slots_[i].key == key) return row_at(slots_[i].row);
  }
  slots_[i] = {key, take_row()};
  ++rows_;
  return row_at(slots_[i].row);
}

void RowTable::put(std::span<const std::uint64_t> keys, const float* rows) {
  constexpr std::size_t kAhead = 16;  // Slots on their way from memory.
  const auto width = static_cast<std::size_t>(dimension_);
  for (std::size_t k = 0; k < keys.size(); ++k) {
    if (k + kAhead < keys.size()) __builtin_prefetch(&slots_[home(keys[k + kAhead])], 1);
    std::copy_n(rows + k * width, width, insert(keys[k]));
  }
}

void RowTable::copy(const RowTable& other) {
  MILLRACE_CHECK(dimension_ == other.dimension_);
  shift_ = other.shift_;
  rows_ = other.rows_;
  next_row_ = other.next_row_;
  slots_ = other.slots_;
  free_rows_ = other.free_rows_;
  chunks_.clear();
  for (const auto& chunk : other.chunks_) {
    add_chunk();
    std::copy_n(chunk.get(), kChunkRows * static_cast<std::size_t>(dimension_),
                chunks_.back().get());
  }
}

void RowTable::erase(std::uint64_t key) {
  if (key == kMissingKey) return;
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = home(key);
  while (slots_[hole].key != key) {
    if (slots_[hole].key == kMissingKey) return;
    hole = (hole + 1) & mask;
  }
  free_rows_.push_back(slots_[hole].row);
  --rows_;
  // An entry moves into the hole unless its home lies cyclically within (hole, entry].
  for (std::size_t i = (hole + 1) & mask; slots_[i].key != kMissingKey; i = (i + 1) & mask) {
    const std::size_t from_home = (i - home(slots_[i].key)) & mask;
    if (from_home < ((i - hole) & mask)) continue;
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole] = Slot{};
}

void RowTable::clear() {
  rows_ = 0;
  next_row_ = 0;
  std::vector<Slot>(kLeastSlots).swap(slots_);
  shift_ = 64 - std::countr_zero(kLeastSlots);
  std::vector<std::unique_ptr<float[]>>().swap(chunks_);
  std::vector<std::uint32_t>().swap(free_rows_);
}

void RowTable::reserve(std::size_t rows) {
  const std::size_t slots = slots_for(rows);
  if (slots > slots_.size()) rehash(slots);
}

std::size_t RowTable::bytes() const {
  return slots_.capacity() * sizeof(Slot) + free_rows_.capacity() * sizeof(std::uint32_t) +
         chunks_.size() * kChunkRows * static_cast<std::size_t>(dimension_) * sizeof(float);
}

void RowTable::add_chunk() {
  chunks_.push_back(
      std::make_unique_for_overwrite<float[]>(kChunkRows * static_cast<std::size_t>(dimension_)));
}

std::uint32_t RowTable::take_row() {
  if (!free_rows_.empty()) {
    const std::uint32_t row = free_rows_.back();
    free_rows_.pop_back();
    return row;
  }
  if (next_row_ == chunks_.size() * kChunkRows) add_chunk();
  return next_row_++;
}

void RowTable::rehash(std::size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  shift_ = 64 - std::countr_zero(slots);
  const std::size_t mask = slots - 1;
  for (const Slot& slot : old) {
    if (slot.key == kMissingKey) continue;
    std::size_t i = home(slot.key);
    while (slots_[i].key != kMissingKey) i = (i + 1) & mask;
    slots_[i] = slot;
  }
}

}  // namespace millrace
