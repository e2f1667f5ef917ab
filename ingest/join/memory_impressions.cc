#include "ingest/join/memory_impressions.h"

#include <algorithm>
#include <utility>

#include "ingest/join/state_values.h"
#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

constexpr std::string_view kSet = "impressions";
// What a node of the set of applied outcomes takes beside the outcome.
constexpr std::size_t kNodeBytes = 32 + 16;

std::size_t applied_bytes(const KeptOutcome& outcome) {
  return sizeof(KeptOutcome) + kNodeBytes + outcome.heap_bytes();
}

std::size_t text_bytes(const std::string& text) {
  constexpr std::size_t kInside = sizeof(std::string) / 2;
  return text.capacity() >= kInside ? text.capacity() + 1 : 0;
}

}  // namespace

std::size_t WaitingImpression::heap_bytes() const {
  std::size_t bytes = text_bytes(id) + text_bytes(features) + open.heap_bytes();
  if (short_waits && !short_waits->carried.empty()) bytes += sizeof(ShortWaits);
  if (!applied) return bytes;
  bytes += sizeof(AppliedOutcomes);
  for (const KeptOutcome& outcome : *applied) bytes += applied_bytes(outcome);
  return bytes;
}

MemoryImpressions::MemoryImpressions(const Windows& windows, const EventTypes& types, int tasks)
    : windows_(windows), types_(types), tasks_(tasks) {}

std::uint32_t MemoryImpressions::slot_of(std::string_view id, std::uint64_t hash) const {
  return index_.find(hash, [&](std::uint32_t slot) { return pool_[slot].id == id; });
}

WaitingImpression* MemoryImpressions::find(std::string_view id) {
  const std::uint32_t slot = slot_of(id, hash_bytes(id));
  return slot == IdIndex::kNone ? nullptr : &pool_[slot];
}

void MemoryImpressions::changed(std::uint32_t slot) {
  log_.changed(slot, size(), [&](std::uint32_t s) -> PutMark& { return pool_[s].mark; });
}

void MemoryImpressions::set_timer(std::uint32_t slot) {
  const WaitingImpression& impression = pool_[slot];
  timers_.set({next_due_of(impression, windows_), slot});
}

std::uint32_t MemoryImpressions::insert(WaitingImpression impression, std::uint64_t hash) {
  const std::uint32_t slot = pool_.take();
  impression.slot = slot;
  heap_bytes_ += impression.heap_bytes();
  pool_[slot] = std::move(impression);
  index_.insert(hash, slot);
  return slot;
}

WaitingImpression MemoryImpressions::remove(std::uint32_t slot) {
  WaitingImpression impression = std::move(pool_[slot]);
  heap_bytes_ -= impression.heap_bytes();
  index_.erase(hash_bytes(impression.id), slot);
  pool_.release(slot);
  return impression;
}

WaitingImpression& MemoryImpressions::add(WaitingImpression impression) {
  const std::uint64_t hash = hash_bytes(impression.id);
  const std::uint32_t slot = insert(std::move(impression), hash);
  set_timer(slot);
  changed(slot);
  return pool_[slot];
}

WaitingImpression* MemoryImpressions::next_due(EventTime limit) {
  if (at_ < ready_.size()) return ready_[at_].due < limit ? &pool_[ready_[at_].slot] : nullptr;
  if (!(timers_.earliest() < limit)) return nullptr;
  timers_.take_earliest(ready_);
  at_ = 0;
  std::sort(ready_.begin(), ready_.end(), [&](const Timer& a, const Timer& b) {
    const WaitingImpression &x = pool_[a.slot], &y = pool_[b.slot];
    if (x.time != y.time) return x.time < y.time;
    return x.id < y.id;  // std::string compares bytes as unsigned
  });
  return &pool_[ready_[0].slot];
}

void MemoryImpressions::reschedule(WaitingImpression& impression) {
  MILLRACE_CHECK(at_ < ready_.size() && ready_[at_].slot == impression.slot);
  ++at_;
  set_timer(impression.slot);
  changed(impression.slot);
}

WaitingImpression MemoryImpressions::finish(WaitingImpression& impression) {
  MILLRACE_CHECK(at_ < ready_.size() && ready_[at_].slot == impression.slot);
  ++at_;
  log_.gone(impression.mark, impression.id);
  return remove(impression.slot);
}

bool MemoryImpressions::apply(WaitingImpression& impression, KeptOutcome outcome) {
  std::size_t added = applied_bytes(outcome);
  if (!impression.applied) {
    impression.applied = std::make_unique<AppliedOutcomes>();
    added += sizeof(AppliedOutcomes);
  }
  if (!impression.applied->insert(std::move(outcome)).second) return false;
  heap_bytes_ += added;
  changed(impression.slot);
  return true;
}

bool MemoryImpressions::choose_latest(std::uint64_t bytes) {
  latest_.clear();
  if (timers_.empty()) return false;
  const std::uint64_t each = std::max<std::uint64_t>(1, live_bytes() / size());
  timers_.take_latest(bytes / each + 1, latest_);
  std::sort(latest_.begin(), latest_.end(), [](const Timer& a, const Timer& b) {
    return a.due != b.due ? a.due < b.due : a.slot < b.slot;
  });
  return true;
}

std::uint64_t MemoryImpressions::live_bytes() const {
  constexpr std::uint64_t kPlaces =
      2 * sizeof(std::uint64_t) + sizeof(std::uint32_t);  // index, log
  return size() * (sizeof(WaitingImpression) + sizeof(Timer) + kPlaces) + heap_bytes_;
}

std::uint64_t MemoryImpressions::memory_bytes() const {
  // Short waits come and go behind the back of heap_bytes_: counted as if all had one.
  const std::size_t waits = windows_.looks().empty() ? 0 : sizeof(ShortWaits);
  return size() * waits + pool_.memory_bytes() + index_.memory_bytes() + timers_.memory_bytes() +
         ready_.capacity() * sizeof(Timer) + log_.memory_bytes() + heap_bytes_;
}

void MemoryImpressions::save(std::uint64_t sequence, std::span<const Cleaning> cleanings,
                             StateChanges& changes) {
  for_each_put(cleanings, kSet, [&](std::string_view id, std::uint64_t block) {
    const std::uint32_t slot = slot_of(id, hash_bytes(id));
    if (slot != IdIndex::kNone && pool_[slot].mark.sequence == block) changed(slot);
  });
  ByteWriter value;
  EntryWriter block;
  block.reserve(last_block_bytes_ + last_block_bytes_ / 4);
  log_.save(
      sequence, block, [&](std::uint32_t slot) -> PutMark& { return pool_[slot].mark; },
      [&](std::uint32_t slot, EntryWriter& writer) {
        write_impression(pool_[slot], types_, tasks_, value);
        writer.put(pool_[slot].id, value.bytes());
        const std::size_t bytes = pool_[slot].id.size() + value.size();
        value.clear();
        return bytes;
      },
      [&](std::uint32_t slot, int part) {
        const WaitingImpression& impression = pool_[slot];
        const char* at =
            part == 0 ? reinterpret_cast<const char*>(&impression) : impression.features.data();
        const std::size_t size = part == 0 ? sizeof impression : impression.features.size();
        for (std::size_t line = 0; line < size; line += 64) __builtin_prefetch(at + line);
      });
  last_block_bytes_ = block.size();
  if (block.count() > 0) changes.blocks.push_back({std::string(kSet), block.take()});
  changes.sizes.push_back({std::string(kSet), log_.live_bytes()});
}

void MemoryImpressions::restore_block(std::uint64_t sequence, std::string_view bytes) {
  EntryReader reader(bytes);
  for (EntryReader::Entry entry; reader.next(entry);) {
    const std::uint64_t hash = hash_bytes(entry.key);
    if (const std::uint32_t old = slot_of(entry.key, hash); old != IdIndex::kNone) {
      log_.forget_restored(pool_[old].mark);
      remove(old);
    }
    if (entry.erased) continue;
    const std::uint32_t slot =
        insert(read_impression(entry.key, entry.value, types_, tasks_), hash);
    log_.restored(pool_[slot].mark, sequence, entry.key.size(), entry.value.size());
  }
}

void MemoryImpressions::restored() {
  index_.for_each([&](std::uint32_t slot) { set_timer(slot); });
}

}  // namespace millrace
