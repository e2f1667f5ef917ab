#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/accounts.h"
#include "ingest/join/explanation.h"
#include "ingest/join/join_history.h"
#include "ingest/join/join_state.h"
#include "ingest/join/joined_row.h"
#include "ingest/join/label_delays.h"
#include "ingest/join/label_source.h"
#include "ingest/join/options.h"
#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/data/schema.h"

namespace millrace {

/// Joins impressions with their outcomes on event time, by the rules of contract/join.md.
///
/// Use for each event, in the order of the merge:
///   add(event, rows)                    rows at once, due at F
///   while (advance(max_rows, rows)) {}  labels that W has decided, in the order (due, time, id)
/// Every label of an impression is in exactly one row, and an impression makes one row for each due
/// time at which labels of it are decided, also where an immediate policy leaves the row without
/// any; such policies emit rows at once beside them (feedback.h). While no event is late, rows
/// depend on the set of events alone, not on the order of arrival.
///
/// A task without an outcome has labels from samples only: an impression never decides it. Where
/// that holds for all tasks, an impression is finished as soon as it is accepted, without a row.
///
/// Memory: `options.memory` of impressions, the rest lies in the store where there is one
/// (SpillingState); outcomes that wait; `memory_bytes` says how much. Cost: O(1) expected for each
/// event, O(1) amortised for each row.
/// Threads: one at a time. All state is what it saves as the participant "join": the values "clock"
/// (W and F), "accounts", "cold_start" (t₀) and "cold" (the next block's number), and the sets
/// "impressions", also in cold blocks, and "outcomes", by impression id. Of these, clock, accounts
/// and cold are not in the digest.
class Joiner final : public Participant {
 public:
  /// Borrows `schema` and `types`. `labels` is parallel to schema.tasks().
  /// Requires: validate("join", options) succeeded; tasks under a policy other than `wait` are
  /// binary, and so are conditions.
  Joiner(const Schema& schema, const EventTypes& types, std::vector<LabelSource> labels,
         const JoinOptions& options);
  ~Joiner() override;

  /// Judges the event against W, then moves F and W. Appends the rows it causes at once; before
  /// them, the rows that `advance` has left of earlier events, so that none is judged too early.
  void add(Event&& event, std::vector<JoinedRow>& rows);

  /// Appends the rows of at most `max_rows` decisions of W: each makes one, and perhaps a row at
  /// once of a short wait before it. Returns whether more is due. Between two
  /// calls the state may be saved, and the accounts balance. Requires: max_rows > 0.
  bool advance(std::size_t max_rows, std::vector<JoinedRow>& rows);

  /// Time goes on by the clock: W becomes max(W, watermark), F at least W + allowed_lateness.
  void move_by_clock(EventTime watermark);

  /// Decides all that waits as if W were +∞ (call `advance` until it returns false); outcomes that
  /// wait are unmatched. W itself stays, and what was decided is forgotten. A restart in between
  /// forgets that this was called, not what was decided.
  void flush();

  EventTime watermark() const;  ///< W
  EventTime newest() const;     ///< F: the largest event time taken; before_all() before any.
  /// What became of every event that this joiner was given; `events` and `dead_letters` are the
  /// pipeline's to fill in. One copy is part of the commit.
  const Accounts& accounts() const;
  Accounts& accounts();
  /// How long outcomes take against their windows. Part of the commit.
  const LabelDelays& label_delays() const;
  std::uint64_t memory_bytes() const;
  JoinSizes sizes() const;
  /// Whether memory asks for a save.
  JoinState::Pressure pressure() const;
  /// What is known of this impression; nothing where that is nothing at all. Changes nothing.
  std::optional<JoinExplanation> explain(std::string_view impression_id) const;
  /// Of what `explain` looks into.
  const JoinHistory& history() const;
  /// Events of these impressions will be added next: what is in the store of them is read together.
  void prefetch(std::span<const std::string_view> ids);

  std::string participant_name() const override { return "join"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) override;
  void use_cold(ColdReader& reader) override;
  void restore_cold(std::string_view set, std::uint64_t number, std::string_view directory,
                    std::string_view left) override;
  void restored() override;

  /// For a migration, before any event: what waited under another shape goes on waiting here.
  /// Counts nothing. Requires: no impression of this id waits here.
  void adopt(WaitingImpression impression);
  void adopt(std::string_view impression_id, std::vector<KeptOutcome> outcomes);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
