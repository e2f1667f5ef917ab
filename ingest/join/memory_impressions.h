#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/change_log.h"
#include "ingest/join/id_index.h"
#include "ingest/join/join_state.h"
#include "ingest/join/slot_pool.h"
#include "ingest/join/timer_queue.h"
#include "ingest/join/windows.h"
#include "learner/base/hash.h"

namespace millrace {

/// The waiting impressions of a state that is held in memory: by id, and in the order in which
/// their labels are due. The functions are those of JoinState, with the same requirements.
///
/// Each impression lies in a slot that it keeps for its life; an index leads from its id to the
/// slot, and one timer stands for its next due time, so no timer is ever stale.
/// Memory: about 200 bytes an impression, beside its features, a long id, and what was applied.
/// Threads: one at a time.
class MemoryImpressions {
 public:
  /// Borrows both. `tasks`: how many the schema has.
  MemoryImpressions(const Windows& windows, const EventTypes& types, int tasks);

  WaitingImpression* find(std::string_view id);
  WaitingImpression& add(WaitingImpression impression);
  WaitingImpression* next_due(EventTime limit);
  void reschedule(WaitingImpression& impression);
  WaitingImpression finish(WaitingImpression& impression);
  bool apply(WaitingImpression& impression, KeptOutcome outcome);

  /// The due time of what `next_due` gives next; after_all() of none.
  EventTime earliest() const { return at_ < ready_.size() ? ready_[at_].due : timers_.earliest(); }
  /// Whether `next_due` has begun with a due time and not given all of it.
  bool is_deciding() const { return at_ < ready_.size(); }
  /// Lets impressions with the latest due times go until the rest takes `bytes`; what `next_due`
  /// has begun with stays. To the store they are erased. Calls `use(due, impression, hash of its
  /// id)` for each, in rounds: within one in the order of due, at its end `end_round()`.
  template <class Use, class EndRound>
  void evict(std::uint64_t bytes, Use&& use, EndRound&& end_round) {
    // Impressions are of different sizes, so it may take more than one round.
    while (live_bytes() > bytes && choose_latest(live_bytes() - bytes)) {
      for (const Timer& timer : latest_) {
        // Moved out, so that the slot keeps nothing of its memory.
        const WaitingImpression impression = std::move(pool_[timer.slot]);
        const std::uint64_t hash = hash_bytes(impression.id);
        use(timer.due, impression, hash);
        log_.gone(impression.mark, impression.id);
        heap_bytes_ -= impression.heap_bytes();
        index_.erase(hash, timer.slot);
        pool_.release(timer.slot);
      }
      end_round();
    }
  }
  /// What the impressions themselves take; `memory_bytes` has what was ever needed for them.
  std::uint64_t live_bytes() const;

  std::size_t size() const { return index_.size(); }
  std::uint64_t memory_bytes() const;

  void save(std::uint64_t sequence, std::span<const Cleaning> cleanings, StateChanges& changes);
  void restore_block(std::uint64_t sequence, std::string_view bytes);
  void restored();

 private:
  // IdIndex::kNone if no impression of this id waits.
  std::uint32_t slot_of(std::string_view id, std::uint64_t hash) const;
  // Into a slot and the index; without timer and change, which a restore makes in its own way.
  std::uint32_t insert(WaitingImpression impression, std::uint64_t hash);
  WaitingImpression remove(std::uint32_t slot);
  // At the due time of the slot's earliest open label.
  void set_timer(std::uint32_t slot);
  void changed(std::uint32_t slot);
  // Takes about so many bytes' latest timers into latest_, in order. False: there are none.
  bool choose_latest(std::uint64_t bytes);

  const Windows& windows_;
  const EventTypes& types_;
  const int tasks_;
  SlotPool<WaitingImpression> pool_;
  IdIndex index_;
  TimerQueue timers_;
  // The impressions of the due time that is being decided, in order; the next is ready_[at_].
  std::vector<Timer> ready_;
  std::size_t at_ = 0;
  std::vector<Timer> latest_;  // scratch of `evict`
  ChangeLog log_;
  std::size_t last_block_bytes_ = 0;
  std::uint64_t heap_bytes_ = 0;  // of all impressions, outside their slots
};

}  // namespace millrace
