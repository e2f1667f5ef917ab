#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/change_log.h"
#include "ingest/join/id_index.h"
#include "ingest/join/join_state.h"
#include "ingest/join/kept_outcome.h"
#include "ingest/join/slot_pool.h"
#include "ingest/join/timer_queue.h"
#include "ingest/join/windows.h"
#include "learner/base/state.h"

namespace millrace {

/// The outcomes that wait for their impressions, of a state that is held in memory: by the
/// impression's id in the order in which they came, and in the order in which their time is over.
/// The functions are those of JoinState.
///
/// In the store the outcomes of one impression are one value. It is sorted by identity, so that it
/// does not depend on the order of arrival; only among equal identities, where the first that fits
/// counts, is that order kept. With `keep_order` (rows at once follow it) it is kept among all.
///
/// An outcome is dropped in O(1) wherever it stands in its group, so that a stream of outcomes
/// under one wrong id costs no more than any other. Memory: about 150 bytes an outcome and 100 a
/// group. Threads: one at a time.
class MemoryOutcomes {
 public:
  /// Borrows both.
  MemoryOutcomes(const Windows& windows, const EventTypes& types, bool keep_order);

  void keep(std::string_view impression_id, KeptOutcome outcome);
  std::vector<KeptOutcome> take(std::string_view impression_id);
  std::size_t drop(EventTime limit, std::size_t most, const DroppedOutcome& dropped);
  std::vector<KeptOutcome> look_at(std::string_view impression_id) const;
  bool has_until(EventTime limit) const { return timers_.earliest() < limit; }

  std::size_t size() const { return size_; }
  std::uint64_t memory_bytes() const;

  void save(std::uint64_t sequence, std::span<const Cleaning> cleanings, StateChanges& changes);
  void restore_block(std::uint64_t sequence, std::string_view bytes);
  void restored();

 private:
  static constexpr std::uint32_t kNone = 0xffffffff;
  /// One outcome, in the list of its group.
  struct Kept {
    KeptOutcome outcome;
    std::uint32_t group = kNone;
    std::uint32_t before = kNone, after = kNone;
    /// Counts the outcomes that had this slot: a timer of an earlier one means nothing.
    std::uint32_t generation = 0;
  };
  /// All that wait for one impression.
  struct Group {
    std::string id;
    std::uint32_t first = kNone, last = kNone;
    PutMark mark;
  };

  // IdIndex::kNone if nothing waits for this impression.
  std::uint32_t group_of(std::string_view id, std::uint64_t hash) const;
  std::uint32_t append(std::uint32_t group, KeptOutcome outcome);
  std::uint32_t make_group(std::string_view id, std::uint64_t hash);
  // Out of its group's list.
  void unlink(std::uint32_t slot);
  // Frees the slot and hands over what was in it; the list is the caller's.
  KeptOutcome release(std::uint32_t slot);
  void remove_group(std::uint32_t group);
  void set_timer(std::uint32_t slot);
  void changed(std::uint32_t group);
  // One put; returns the size of its key and value.
  std::size_t write(std::uint32_t group, EntryWriter& writer);

  const Windows& windows_;
  const EventTypes& types_;
  const bool keep_order_;
  SlotPool<Kept> kept_;
  SlotPool<Group> groups_;
  IdIndex index_;
  TimerQueue timers_;
  std::vector<Timer> over_;
  ChangeLog log_;
  std::size_t size_ = 0;
  std::uint64_t heap_bytes_ = 0;  // of all outcomes and ids, outside their slots
};

}  // namespace millrace
