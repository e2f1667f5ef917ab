#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/cold_impressions.h"
#include "ingest/join/join_state.h"
#include "ingest/join/memory_impressions.h"
#include "ingest/join/memory_outcomes.h"
#include "ingest/join/windows.h"
#include "learner/data/schema.h"

namespace millrace {

/// The join's state at any size: impressions in memory up to `join.memory`, those that are due last
/// in the store. To the joiner it is one state: neither rows nor accounts nor the digest depend on
/// where an impression lies.
///
/// At each `save` in which memory holds more than its share, the impressions that are due last
/// leave it, in blocks of neighbours in due time. A block comes back when no earlier impression is
/// in memory; a single impression when an event names it. The index that finds it is in memory and
/// counts in the budget; where it takes more than three quarters of that, impressions keep the last
/// quarter. Before `use_cold` was called everything stays in memory.
///
/// Memory: between two saves it grows by what comes; `pressure` asks for a save at 9/8 of the
/// budget, and for a stop at twice the budget and 32 MiB beside. Outcomes that wait for their
/// impressions, for no longer than the lateness, all stay in memory and are in no budget.
/// Cost: as MemoryState, and for each impression that leaves, about twice that. Threads: one at a
/// time.
class SpillingState final : public JoinState {
 public:
  /// Borrows all three. `keep_order`: see MemoryOutcomes. `memory`: the budget.
  SpillingState(const Schema& schema, const EventTypes& types, const Windows& windows,
                bool keep_order, std::uint64_t memory);

  WaitingImpression* find(std::string_view id) override;
  WaitingImpression& add(WaitingImpression impression) override {
    return hot_.add(std::move(impression));
  }
  WaitingImpression* next_due(EventTime limit) override;
  void reschedule(WaitingImpression& impression) override { hot_.reschedule(impression); }
  WaitingImpression finish(WaitingImpression& impression) override {
    return hot_.finish(impression);
  }
  bool apply(WaitingImpression& impression, KeptOutcome outcome) override {
    return hot_.apply(impression, std::move(outcome));
  }

  void keep(std::string_view impression_id, KeptOutcome outcome) override {
    outcomes_.keep(impression_id, std::move(outcome));
  }
  std::vector<KeptOutcome> take_kept(std::string_view impression_id) override {
    return outcomes_.take(impression_id);
  }
  std::size_t drop_kept(EventTime limit, std::size_t most, const DroppedOutcome& dropped) override {
    return outcomes_.drop(limit, most, dropped);
  }
  bool has_kept_until(EventTime limit) override { return outcomes_.has_until(limit); }

  bool look_at(std::string_view id, const Show& show) override;
  std::vector<KeptOutcome> look_at_kept(std::string_view impression_id) override {
    return outcomes_.look_at(impression_id);
  }
  void prefetch(std::span<const std::string_view> ids) override;
  Pressure pressure() const override;
  JoinSizes sizes() const override;
  std::uint64_t memory_bytes() const override;

  void save(std::uint64_t sequence, std::span<const Cleaning> cleanings,
            StateChanges& changes) override;
  bool restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) override;
  void use_cold(ColdReader& reader) override { cold_.use(reader); }
  void restore_cold(std::string_view set, std::uint64_t number, std::string_view directory,
                    std::string_view left) override;
  void restored() override;

 private:
  /// What impressions in memory may take beside the index.
  std::uint64_t share() const;
  void take_back();

  const std::uint64_t memory_;
  MemoryImpressions hot_;
  MemoryOutcomes outcomes_;
  ColdImpressions cold_;
  // Scratch.
  std::vector<WaitingImpression> taken_;
  std::vector<std::string_view> unknown_;
};

}  // namespace millrace
