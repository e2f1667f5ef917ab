#include "ingest/join/cold_impressions.h"

#include <algorithm>
#include <functional>
#include <iterator>

#include "ingest/join/state_values.h"
#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

constexpr std::string_view kSet = "impressions";
// Blocks are small, so that reading one impression is cheap, but not many more than a million.
constexpr std::uint64_t kLeastBlock = 8 << 10;
constexpr std::uint64_t kMostBlock = 64 << 10;
constexpr std::uint64_t kManyBlocks = 1 << 20;
constexpr std::size_t kBlocksAhead = 16;
// Waste beside as much as lives, and what is tidied of it at once.
constexpr std::uint64_t kSpareBytes = 64 << 20;
constexpr std::uint64_t kLeastTidied = 4 << 20;

std::uint64_t place_of(std::string_view id) { return ColdIndex::place_of(hash_bytes(id)); }

std::uint32_t entry_bytes(const EntryReader::Entry& entry) {
  return static_cast<std::uint32_t>(1 + 2 * sizeof(std::uint32_t) + entry.key.size() +
                                    entry.value.size());
}

// i64 first due · u32 bytes · u32 count, then of each entry 33 bits of its id's hash: u32, u8.
std::string make_directory(EventTime due, std::size_t bytes,
                           std::span<const std::uint64_t> places) {
  ByteWriter writer;
  writer.put(due.ms);
  writer.put(static_cast<std::uint32_t>(bytes));
  writer.put(static_cast<std::uint32_t>(places.size()));
  for (const std::uint64_t place : places) {
    writer.put(static_cast<std::uint32_t>(place));
    writer.put(static_cast<std::uint8_t>(place >> 32));
  }
  return writer.take();
}

[[noreturn]] void does_not_fit() { throw StateError("a cold block does not fit its directory"); }

bool has_left(const ColdBlock& block, std::size_t entry) {
  if (entry >= block.entries) does_not_fit();
  return block.left.has(entry);
}

}  // namespace

ColdImpressions::ColdImpressions(const EventTypes& types, int tasks, std::uint64_t read_ahead)
    : types_(types), tasks_(tasks), read_ahead_(read_ahead) {}
ColdImpressions::~ColdImpressions() = default;

std::uint64_t ColdImpressions::block_bytes() const {
  return std::clamp(live_bytes_ / kManyBlocks, kLeastBlock, kMostBlock);
}

void ColdImpressions::put(EventTime due, const WaitingImpression& impression, std::uint64_t hash) {
  MILLRACE_CHECK(usable());
  if (open_places_.empty()) open_due_ = due;
  value_.clear();
  write_impression(impression, types_, tasks_, value_);
  open_block_.put(impression.id, value_.bytes());
  open_places_.push_back(ColdIndex::place_of(hash));
  if (open_block_.size() >= block_bytes()) close_block();
}

void ColdImpressions::close_block() {
  if (open_places_.empty()) return;
  const std::uint32_t slot = take_slot();
  ColdBlock& block = blocks_[slot];
  block.due = open_due_;
  block.entries = static_cast<std::uint16_t>(open_places_.size());
  block.left = EntryMarks(open_places_.size());
  block.live_bytes = static_cast<std::uint32_t>(open_block_.size());
  live_bytes_ += open_block_.size();
  for (const std::uint64_t place : open_places_) index_.prefetch(place);
  for (const std::uint64_t place : open_places_) index_.insert(place, slot);
  order_.push({open_due_, slot, block.generation});
  std::string directory = make_directory(open_due_, open_block_.size(), open_places_);
  number(slot, open_block_.take(), std::move(directory));
  open_places_.clear();
}

void ColdImpressions::number(std::uint32_t slot, std::string bytes, std::string directory) {
  ColdBlock& block = blocks_[slot];
  if (numbers_.empty()) floor_ = next_number_;
  block.number = next_number_++;
  block.changed = false;
  numbers_.push_back({slot, static_cast<std::uint32_t>(bytes.size())});
  numbered_bytes_ += bytes.size();
  put_bytes_ += bytes.size();
  ++counts_.puts;
  hold(slot, std::make_shared<const std::string>(std::move(bytes)), ColdBlock::Held::kPending);
  put_.push_back({std::string(kSet), block.number, block.bytes, std::move(directory)});
  put_handles_.emplace_back(slot, block.generation);
}

std::uint32_t ColdImpressions::take_slot() {
  std::uint32_t slot = 0;
  if (!free_.empty() && free_.front() < blocks_.size()) {
    std::pop_heap(free_.begin(), free_.end(), std::greater<>{});
    slot = free_.back();
    free_.pop_back();
  } else {
    free_.clear();  // what is left was beyond the end
    slot = static_cast<std::uint32_t>(blocks_.size());
    blocks_.emplace_back();
    index_.use_slots(slot + 1);
  }
  blocks_[slot].generation = ++last_generation_;
  ++live_blocks_;
  return slot;
}

// All its entries have left the index.
void ColdImpressions::release(std::uint32_t slot) {
  let_go(slot);
  erased_.push_back(blocks_[slot].number);
  forget_number(blocks_[slot].number);
  live_bytes_ -= blocks_[slot].live_bytes;
  --live_blocks_;
  blocks_[slot] = ColdBlock{};
  free_.push_back(slot);
  std::push_heap(free_.begin(), free_.end(), std::greater<>{});
  if (slot + 1 < blocks_.size()) return;
  while (!blocks_.empty() && blocks_.back().entries == 0) blocks_.pop_back();
  index_.use_slots(static_cast<std::uint32_t>(blocks_.size()));
}

void ColdImpressions::forget_number(std::uint64_t number) {
  numbers_[number - floor_].slot = kNone;
  while (!numbers_.empty() && numbers_.front().slot == kNone) {
    numbered_bytes_ -= numbers_.front().bytes;
    numbers_.pop_front();
    ++floor_;
  }
}

void ColdImpressions::hold(std::uint32_t slot, std::shared_ptr<const std::string> bytes,
                           ColdBlock::Held held) {
  let_go(slot);
  held_bytes_ += bytes->size();
  blocks_[slot].bytes = std::move(bytes);
  blocks_[slot].held = held;
}

void ColdImpressions::let_go(std::uint32_t slot) {
  blocks_[slot].held = ColdBlock::Held::kNot;
  if (blocks_[slot].bytes == nullptr) return;
  held_bytes_ -= blocks_[slot].bytes->size();
  blocks_[slot].bytes.reset();
}

void ColdImpressions::let_go_all(std::vector<Handle>& handles, ColdBlock::Held held) {
  for (const auto& [slot, generation] : handles) {
    if (is_there(slot, generation) && blocks_[slot].held == held) let_go(slot);
  }
  handles.clear();
}

void ColdImpressions::read(std::span<const std::uint32_t> slots, ColdBlock::Held held) {
  if (slots.empty()) return;
  std::vector<std::uint64_t> numbers;
  numbers.reserve(slots.size());
  for (const std::uint32_t slot : slots) numbers.push_back(blocks_[slot].number);
  std::vector<std::string> bytes = reader_->read(kSet, numbers);
  counts_.reads += slots.size();
  for (std::size_t i = 0; i < slots.size(); ++i) {
    hold(slots[i], std::make_shared<const std::string>(std::move(bytes[i])), held);
  }
}

std::shared_ptr<const std::string> ColdImpressions::bytes_of(std::uint32_t slot) {
  if (blocks_[slot].bytes != nullptr) return blocks_[slot].bytes;
  const std::uint64_t number = blocks_[slot].number;
  ++counts_.reads;
  return std::make_shared<const std::string>(std::move(reader_->read(kSet, {&number, 1}).at(0)));
}

bool ColdImpressions::may_have(std::string_view id) const {
  bool may = false;
  if (size() > 0) index_.for_each(place_of(id), [&](std::uint32_t) { may = true; });
  return may;
}

template <class Use>
bool ColdImpressions::find(std::string_view id, Use&& use) {
  candidates_.clear();
  index_.for_each(place_of(id), [&](std::uint32_t slot) { candidates_.push_back(slot); });
  for (const std::uint32_t slot : candidates_) {
    const auto bytes = bytes_of(slot);
    EntryReader reader(*bytes);
    std::size_t at = 0;
    for (EntryReader::Entry entry; reader.next(entry); ++at) {
      if (entry.key != id || has_left(blocks_[slot], at)) continue;
      use(slot, at, entry);
      return true;
    }
  }
  return false;
}

std::optional<WaitingImpression> ColdImpressions::take(std::string_view id) {
  std::optional<WaitingImpression> found;
  if (size() == 0) return found;
  ++counts_.lookups;
  find(id, [&](std::uint32_t slot, std::size_t at, const EntryReader::Entry& entry) {
    found = read_impression(entry.key, entry.value, types_, tasks_);
    ++counts_.found;
    if (!index_.remove(place_of(id), slot)) does_not_fit();
    ColdBlock& block = blocks_[slot];
    if (++block.gone == block.entries) {
      release(slot);
      return;
    }
    block.left.add(at);
    const std::uint32_t bytes = std::min(entry_bytes(entry), block.live_bytes);
    block.live_bytes -= bytes;
    live_bytes_ -= bytes;
    if (!std::exchange(block.changed, true)) changed_.emplace_back(slot, block.generation);
  });
  if (candidates_.empty()) ++counts_.spared;
  return found;
}

std::optional<WaitingImpression> ColdImpressions::look_at(std::string_view id) {
  std::optional<WaitingImpression> found;
  if (size() == 0) return found;
  find(id, [&](std::uint32_t, std::size_t, const EntryReader::Entry& entry) {
    found = read_impression(entry.key, entry.value, types_, tasks_);
  });
  return found;
}

void ColdImpressions::fetch(std::span<const std::string_view> ids) {
  let_go_all(fetched_, ColdBlock::Held::kFetched);
  if (size() == 0) return;
  places_.clear();
  for (const std::string_view id : ids) {
    places_.push_back(place_of(id));
    index_.prefetch(places_.back());
  }
  std::uint64_t left = std::max(read_ahead_, kMostBlock);
  candidates_.clear();
  for (const std::uint64_t place : places_) {
    index_.for_each(place, [&](std::uint32_t slot) {
      ColdBlock& block = blocks_[slot];
      if (block.held != ColdBlock::Held::kNot || block.live_bytes > left) return;
      left -= block.live_bytes;
      block.held = ColdBlock::Held::kFetched;  // so that it is in the list once
      candidates_.push_back(slot);
      fetched_.emplace_back(slot, block.generation);
    });
  }
  read(candidates_, ColdBlock::Held::kFetched);
}

EventTime ColdImpressions::earliest() {
  const ColdOrder::Due* first =
      order_.first([&](const ColdOrder::Due& due) { return is_there(due.slot, due.generation); });
  return first == nullptr ? EventTime::after_all() : first->due;
}

void ColdImpressions::take_earliest(std::vector<WaitingImpression>& taken) {
  const auto there = [&](const ColdOrder::Due& due) { return is_there(due.slot, due.generation); };
  const ColdOrder::Due* first = order_.first(there);
  MILLRACE_CHECK(first != nullptr);
  const std::uint32_t slot = first->slot;
  if (blocks_[slot].bytes == nullptr) {
    const std::size_t most = std::clamp<std::size_t>(read_ahead_ / block_bytes(), 1, kBlocksAhead);
    candidates_ = {slot};
    for (const ColdOrder::Due& due : order_.go_ahead(most)) {
      if (due.slot == slot || !there(due) || blocks_[due.slot].bytes != nullptr) continue;
      if (candidates_.size() < most) candidates_.push_back(due.slot);
    }
    read(candidates_, ColdBlock::Held::kAhead);
    order_.first(there);
  }
  order_.pop_first();
  take_all(slot, taken);
}

void ColdImpressions::take_all(std::uint32_t slot, std::vector<WaitingImpression>& taken) {
  const auto bytes = bytes_of(slot);
  places_.clear();
  EntryReader reader(*bytes);
  std::size_t at = 0;
  for (EntryReader::Entry entry; reader.next(entry); ++at) {
    if (has_left(blocks_[slot], at)) continue;
    places_.push_back(place_of(entry.key));
    index_.prefetch(places_.back());
    taken.push_back(read_impression(entry.key, entry.value, types_, tasks_));
  }
  if (at != blocks_[slot].entries) does_not_fit();
  for (const std::uint64_t place : places_) {
    if (!index_.remove(place, slot)) does_not_fit();
  }
  ++counts_.loads;
  release(slot);
}

void ColdImpressions::tidy(std::vector<WaitingImpression>& taken) {
  if (numbered_bytes_ <= 2 * live_bytes_ + kSpareBytes) return;
  const std::uint64_t end = next_number_;
  std::uint64_t left = std::max(kLeastTidied, 3 * last_put_bytes_);
  // What is given up at the front is living, or was given up before: the front is always there.
  while (!numbers_.empty() && floor_ < end) {
    const std::uint32_t slot = numbers_.front().slot;
    const ColdBlock& block = blocks_[slot];
    if (block.live_bytes > left) break;
    left -= block.live_bytes;
    if (2 * block.gone >= block.entries) {
      take_all(slot, taken);
    } else {
      put_again(slot);
    }
  }
}

void ColdImpressions::put_again(std::uint32_t slot) {
  const auto bytes = bytes_of(slot);
  ColdBlock& block = blocks_[slot];
  places_.clear();
  EntryWriter writer;
  EntryReader reader(*bytes);
  std::size_t at = 0;
  for (EntryReader::Entry entry; reader.next(entry); ++at) {
    if (has_left(block, at)) continue;
    places_.push_back(place_of(entry.key));
    writer.put(entry.key, entry.value);
  }
  if (at != block.entries) does_not_fit();
  erased_.push_back(block.number);
  forget_number(block.number);
  block.entries = static_cast<std::uint16_t>(places_.size());
  block.gone = 0;
  block.left = EntryMarks(places_.size());
  live_bytes_ += writer.size() - block.live_bytes;
  block.live_bytes = static_cast<std::uint32_t>(writer.size());
  std::string directory = make_directory(block.due, writer.size(), places_);
  number(slot, writer.take(), std::move(directory));
}

void ColdImpressions::save(StateChanges& changes) {
  let_go_all(pending_, ColdBlock::Held::kPending);
  pending_.swap(put_handles_);
  for (const auto& [slot, generation] : changed_) {
    if (!is_there(slot, generation) || !blocks_[slot].changed) continue;
    blocks_[slot].changed = false;
    changes.cold_left.push_back(
        {std::string(kSet), blocks_[slot].number, blocks_[slot].left.bytes(blocks_[slot].entries)});
  }
  changed_.clear();
  changes.cold_blocks.insert(changes.cold_blocks.end(), std::make_move_iterator(put_.begin()),
                             std::make_move_iterator(put_.end()));
  put_.clear();
  for (const std::uint64_t number : erased_) {
    changes.cold_erased.push_back({std::string(kSet), number});
  }
  erased_.clear();
  last_put_bytes_ = std::exchange(put_bytes_, 0);
  if (numbers_.empty()) floor_ = next_number_;
  if (floor_ != std::exchange(saved_floor_, floor_)) {
    changes.cold_floors.push_back({std::string(kSet), floor_});
  }
  if (next_number_ == std::exchange(saved_number_, next_number_)) return;
  ByteWriter next;
  next.put(next_number_);
  changes.values.push_back({std::string(kNextNumber), next.take(), false});
}

void ColdImpressions::restore(std::uint64_t number, std::string_view directory,
                              std::string_view left) {
  ByteReader reader(directory);
  const EventTime due{reader.get<std::int64_t>()};
  const auto bytes = reader.get<std::uint32_t>();
  const auto count = reader.get<std::uint32_t>();
  if (count == 0 || count > 0xffff || number >= next_number_ ||
      (!left.empty() && left.size() != (count + 7) / 8)) {
    throw StateError("a cold block's directory is damaged");
  }
  const std::uint32_t slot = take_slot();
  ColdBlock& block = blocks_[slot];
  block.number = number;
  block.due = due;
  block.entries = static_cast<std::uint16_t>(count);
  block.left = EntryMarks(count);
  places_.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint64_t place = reader.get<std::uint32_t>();
    place |= std::uint64_t{reader.get<std::uint8_t>() & 1U} << 32;
    places_.push_back(place);
    index_.prefetch(place);
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!left.empty() && (static_cast<unsigned char>(left[i / 8]) >> i % 8 & 1U) != 0) {
      block.left.add(i);
      ++block.gone;
    } else {
      index_.insert(places_[i], slot);
    }
  }
  if (!reader.at_end() || block.gone == count) {
    throw StateError("a cold block's directory is damaged");
  }
  block.live_bytes =
      static_cast<std::uint32_t>(std::uint64_t{bytes} * (count - block.gone) / count);
  live_bytes_ += block.live_bytes;
  order_.push({due, slot, block.generation});
  if (numbers_.empty()) floor_ = number;
  while (floor_ + numbers_.size() < number) numbers_.push_back({kNone, 0});
  numbers_.push_back({slot, bytes});
  numbered_bytes_ += bytes;
}

std::uint64_t ColdImpressions::memory_bytes() const {
  return index_.memory_bytes() + order_.memory_bytes() + blocks_.capacity() * sizeof(ColdBlock) +
         free_.capacity() * sizeof(std::uint32_t) + numbers_.size() * sizeof(Numbered) +
         held_bytes_;
}

}  // namespace millrace
