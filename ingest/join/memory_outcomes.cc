#include "ingest/join/memory_outcomes.h"

#include <algorithm>
#include <utility>

#include "ingest/join/state_values.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

constexpr std::string_view kSet = "outcomes";

}  // namespace

MemoryOutcomes::MemoryOutcomes(const Windows& windows, const EventTypes& types, bool keep_order)
    : windows_(windows), types_(types), keep_order_(keep_order) {}

std::uint32_t MemoryOutcomes::group_of(std::string_view id, std::uint64_t hash) const {
  return index_.find(hash, [&](std::uint32_t group) { return groups_[group].id == id; });
}

std::uint32_t MemoryOutcomes::make_group(std::string_view id, std::uint64_t hash) {
  const std::uint32_t group = groups_.take();
  groups_[group].id = id;
  index_.insert(hash, group);
  heap_bytes_ += id.size();
  return group;
}

std::uint32_t MemoryOutcomes::append(std::uint32_t group, KeptOutcome outcome) {
  const std::uint32_t slot = kept_.take();
  Kept& kept = kept_[slot];
  heap_bytes_ += outcome.heap_bytes();
  kept.outcome = std::move(outcome);
  kept.group = group;
  kept.before = groups_[group].last;
  (kept.before == kNone ? groups_[group].first : kept_[kept.before].after) = slot;
  groups_[group].last = slot;
  ++size_;
  return slot;
}

void MemoryOutcomes::unlink(std::uint32_t slot) {
  const Kept& kept = kept_[slot];
  Group& group = groups_[kept.group];
  (kept.before == kNone ? group.first : kept_[kept.before].after) = kept.after;
  (kept.after == kNone ? group.last : kept_[kept.after].before) = kept.before;
}

KeptOutcome MemoryOutcomes::release(std::uint32_t slot) {
  KeptOutcome outcome = std::move(kept_[slot].outcome);
  const std::uint32_t generation = kept_[slot].generation + 1;
  kept_.release(slot);
  kept_[slot].generation = generation;
  heap_bytes_ -= outcome.heap_bytes();
  --size_;
  return outcome;
}

void MemoryOutcomes::remove_group(std::uint32_t group) {
  heap_bytes_ -= groups_[group].id.size();
  index_.erase(hash_bytes(groups_[group].id), group);
  groups_.release(group);
}

void MemoryOutcomes::set_timer(std::uint32_t slot) {
  const Kept& kept = kept_[slot];
  timers_.set({windows_.waits_until(kept.outcome.time), slot, kept.generation});
}

void MemoryOutcomes::changed(std::uint32_t group) {
  log_.changed(group, index_.size(), [&](std::uint32_t g) -> PutMark& { return groups_[g].mark; });
}

void MemoryOutcomes::keep(std::string_view impression_id, KeptOutcome outcome) {
  const std::uint64_t hash = hash_bytes(impression_id);
  std::uint32_t group = group_of(impression_id, hash);
  if (group == IdIndex::kNone) group = make_group(impression_id, hash);
  set_timer(append(group, std::move(outcome)));
  changed(group);
}

std::vector<KeptOutcome> MemoryOutcomes::take(std::string_view impression_id) {
  std::vector<KeptOutcome> outcomes;
  if (size_ == 0) return outcomes;
  const std::uint32_t group = group_of(impression_id, hash_bytes(impression_id));
  if (group == IdIndex::kNone) return outcomes;
  for (std::uint32_t slot = groups_[group].first; slot != kNone;) {
    const std::uint32_t after = kept_[slot].after;
    outcomes.push_back(release(slot));
    slot = after;
  }
  log_.gone(groups_[group].mark, impression_id);
  remove_group(group);
  return outcomes;
}

std::vector<KeptOutcome> MemoryOutcomes::look_at(std::string_view impression_id) const {
  std::vector<KeptOutcome> outcomes;
  const std::uint32_t group = group_of(impression_id, hash_bytes(impression_id));
  if (group == IdIndex::kNone) return outcomes;
  for (std::uint32_t slot = groups_[group].first; slot != kNone; slot = kept_[slot].after) {
    outcomes.push_back(kept_[slot].outcome);
  }
  return outcomes;
}

std::size_t MemoryOutcomes::drop(EventTime limit, std::size_t most, const DroppedOutcome& tell) {
  std::size_t dropped = 0;
  for (std::size_t looked_at = 0; looked_at < most && has_until(limit); looked_at += over_.size()) {
    timers_.take_earliest(over_);
    for (const Timer& timer : over_) {
      if (kept_[timer.slot].generation != timer.generation) continue;  // its impression came
      const std::uint32_t group = kept_[timer.slot].group;
      unlink(timer.slot);
      tell(groups_[group].id, release(timer.slot));
      ++dropped;
      if (groups_[group].first != kNone) {
        changed(group);
      } else {
        log_.gone(groups_[group].mark, groups_[group].id);
        remove_group(group);
      }
    }
  }
  return dropped;
}

std::uint64_t MemoryOutcomes::memory_bytes() const {
  return kept_.memory_bytes() + groups_.memory_bytes() + index_.memory_bytes() +
         timers_.memory_bytes() + over_.capacity() * sizeof(Timer) + log_.memory_bytes() +
         heap_bytes_;
}

std::size_t MemoryOutcomes::write(std::uint32_t group, EntryWriter& writer) {
  std::vector<const KeptOutcome*> outcomes;
  for (std::uint32_t slot = groups_[group].first; slot != kNone; slot = kept_[slot].after) {
    outcomes.push_back(&kept_[slot].outcome);
  }
  if (!keep_order_) {
    std::stable_sort(
        outcomes.begin(), outcomes.end(),
        [](const KeptOutcome* a, const KeptOutcome* b) { return ByIdentity{}(*a, *b); });
  }
  ByteWriter value;
  write_outcomes(outcomes, types_, value);
  writer.put(groups_[group].id, value.bytes());
  return groups_[group].id.size() + value.size();
}

void MemoryOutcomes::save(std::uint64_t sequence, std::span<const Cleaning> cleanings,
                          StateChanges& changes) {
  for_each_put(cleanings, kSet, [&](std::string_view id, std::uint64_t block) {
    const std::uint32_t group = group_of(id, hash_bytes(id));
    if (group != IdIndex::kNone && groups_[group].mark.sequence == block) changed(group);
  });
  EntryWriter block;
  log_.save(
      sequence, block, [&](std::uint32_t group) -> PutMark& { return groups_[group].mark; },
      [&](std::uint32_t group, EntryWriter& writer) { return write(group, writer); },
      [](std::uint32_t, int) {});
  if (block.count() > 0) changes.blocks.push_back({std::string(kSet), block.take()});
  changes.sizes.push_back({std::string(kSet), log_.live_bytes()});
}

void MemoryOutcomes::restore_block(std::uint64_t sequence, std::string_view bytes) {
  EntryReader reader(bytes);
  for (EntryReader::Entry entry; reader.next(entry);) {
    const std::uint64_t hash = hash_bytes(entry.key);
    if (const std::uint32_t old = group_of(entry.key, hash); old != IdIndex::kNone) {
      log_.forget_restored(groups_[old].mark);
      for (std::uint32_t slot = groups_[old].first; slot != kNone;) {
        const std::uint32_t after = kept_[slot].after;
        release(slot);
        slot = after;
      }
      remove_group(old);
    }
    if (entry.erased) continue;
    const std::uint32_t group = make_group(entry.key, hash);
    for (KeptOutcome& outcome : read_outcomes(entry.value, types_)) {
      append(group, std::move(outcome));
    }
    log_.restored(groups_[group].mark, sequence, entry.key.size(), entry.value.size());
  }
}

void MemoryOutcomes::restored() {
  index_.for_each([&](std::uint32_t group) {
    for (std::uint32_t slot = groups_[group].first; slot != kNone; slot = kept_[slot].after) {
      set_timer(slot);
    }
  });
}

}  // namespace millrace
