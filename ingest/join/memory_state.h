#pragma once

#include "ingest/event/event.h"
#include "ingest/join/join_state.h"
#include "ingest/join/memory_impressions.h"
#include "ingest/join/memory_outcomes.h"
#include "ingest/join/windows.h"
#include "learner/data/schema.h"

namespace millrace {

/// The join's state where all of it is held in memory.
///
/// Memory: for each waiting impression about 200 bytes beside its id, its features and its applied
/// outcomes; for each waiting outcome about 200 bytes. There is no limit: beyond `join.memory` the
/// daemon warns. Cost: O(1) expected for each call, O(log n) amortised for the next due time;
/// `save` costs what changed since the last one. A restore reads all. Threads: one at a time.
class MemoryState final : public JoinState {
 public:
  /// Borrows all three. `keep_order`: see MemoryOutcomes.
  MemoryState(const Schema& schema, const EventTypes& types, const Windows& windows,
              bool keep_order)
      : impressions_(windows, types, static_cast<int>(schema.tasks().size())),
        outcomes_(windows, types, keep_order) {}

  // Impressions.
  WaitingImpression* find(std::string_view id) override { return impressions_.find(id); }
  WaitingImpression& add(WaitingImpression impression) override {
    return impressions_.add(std::move(impression));
  }
  WaitingImpression* next_due(EventTime limit) override { return impressions_.next_due(limit); }
  void reschedule(WaitingImpression& impression) override { impressions_.reschedule(impression); }
  WaitingImpression finish(WaitingImpression& impression) override {
    return impressions_.finish(impression);
  }
  bool apply(WaitingImpression& impression, KeptOutcome outcome) override {
    return impressions_.apply(impression, std::move(outcome));
  }

  // Outcomes whose impressions have not come.
  void keep(std::string_view impression_id, KeptOutcome outcome) override {
    outcomes_.keep(impression_id, std::move(outcome));
  }
  std::vector<KeptOutcome> take_kept(std::string_view impression_id) override {
    return outcomes_.take(impression_id);
  }
  std::size_t drop_kept(EventTime limit, std::size_t most) override {
    return outcomes_.drop(limit, most);
  }
  bool has_kept_until(EventTime limit) override { return outcomes_.has_until(limit); }

  std::uint64_t memory_bytes() const override {
    return impressions_.memory_bytes() + outcomes_.memory_bytes();
  }

  // Each part is a set of its own in the store.
  void save(std::uint64_t sequence, std::span<const Cleaning> cleanings,
            StateChanges& changes) override {
    impressions_.save(sequence, cleanings, changes);
    outcomes_.save(sequence, cleanings, changes);
  }
  void restore_block(std::string_view set, std::uint64_t sequence,
                     std::string_view bytes) override {
    if (set == "impressions") {
      impressions_.restore_block(sequence, bytes);
    } else if (set == "outcomes") {
      outcomes_.restore_block(sequence, bytes);
    } else {
      throw StateError("the join has no set \"" + std::string(set) + "\"");
    }
  }
  void restored() override {
    impressions_.restored();
    outcomes_.restored();
  }

 private:
  MemoryImpressions impressions_;
  MemoryOutcomes outcomes_;
};

}  // namespace millrace
