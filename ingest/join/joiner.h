#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/accounts.h"
#include "ingest/join/options.h"
#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"

namespace millrace {

/// How several outcomes of one impression make one label.
enum class Aggregate { kLast, kSum, kMax, kCount };
template <>
struct Choices<Aggregate> {
  static constexpr std::array<Choice<Aggregate>, 4> all{{{"last", Aggregate::kLast},
                                                         {"sum", Aggregate::kSum},
                                                         {"max", Aggregate::kMax},
                                                         {"count", Aggregate::kCount}}};
};

/// Where a task's label comes from; parallel to Schema::tasks.
struct LabelSource {
  int outcome = -1;  ///< Index into EventTypes::outcomes; −1: only samples carry it.
  Aggregate aggregate = Aggregate::kLast;
  std::optional<double> absent;  ///< The label where no outcome was applied; missing if not given.
};

/// One row that the join emitted.
struct JoinedRow {
  std::string impression_id;
  EventTime time;       ///< Of the impression.
  EventTime due;        ///< The due time that caused the row (rows at once: F).
  EventTime watermark;  ///< W when it was decided; after_all() at a flush.
  Stream stream = Stream::kMatured;
  EncodedFeatures features;
  double weight = 1;                    ///< 1 / sampling rate.
  std::vector<double> labels;           ///< [T], as joined, before any transform; NaN: missing.
  std::vector<std::uint8_t> condition;  ///< [T], 1 where the task's condition holds (or has none).
  /// [T], 1 where the label counts in training and metrics: not the zeros that a condition decided
  /// during the cold start (algorithms 2.2).
  std::vector<std::uint8_t> counts;

  bool has_label() const;
};

/// Joins impressions with their outcomes on event time, by the rules of contract/join.md.
///
/// Use for each event, in the order of the merge:
///   add(event, rows)                    rows at once, due at F
///   while (advance(max_rows, rows)) {}  labels that W has decided, in the order (due, time, id)
/// Memory: all waiting impressions and outcomes; `memory_bytes` says how much.
/// Threads: one at a time. All state is what it saves as the participant "join".
class Joiner final : public Participant {
 public:
  /// Borrows `schema` and `types`. `labels` is parallel to schema.tasks().
  Joiner(const Schema& schema, const EventTypes& types, std::vector<LabelSource> labels,
         const JoinOptions& options);
  ~Joiner() override;

  /// Judges the event against W, then moves F and W. Appends the rows it causes at once.
  void add(Event&& event, std::vector<JoinedRow>& rows);

  /// Appends at most `max_rows` rows that W has decided. Returns whether more is due.
  bool advance(std::size_t max_rows, std::vector<JoinedRow>& rows);

  /// Time goes on by the clock: W becomes max(W, watermark), F at least W + allowed_lateness.
  void move_by_clock(EventTime watermark);

  /// Decides all that waits as if W were +∞ (call `advance` until it returns false); outcomes that
  /// wait are unmatched. W itself stays.
  void flush();

  EventTime watermark() const;  ///< W
  EventTime newest() const;     ///< F: the largest event time taken; before_all() before any.
  /// What became of every event that this joiner was given; `events` and `dead_letters` are the
  /// pipeline's to fill in. One copy is part of the commit.
  const Accounts& accounts() const;
  Accounts& accounts();
  std::uint64_t memory_bytes() const;

  std::string participant_name() const override { return "join"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) override;
  void restored() override;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
