#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "ingest/join/joined_row.h"
#include "learner/base/state.h"
#include "learner/data/schema.h"
#include "learner/train/options.h"

namespace millrace {

/// Why a joined row was left out of training and metrics.
enum class Dropped { kNegativeSampling, kShed };
inline constexpr std::array<std::string_view, 2> kDroppedNames{"negative_sampling", "shed"};

/// Joined rows that were left out, by Dropped.
using DroppedRows = std::array<std::uint64_t, kDroppedNames.size()>;

/// What the value "dropped" of the participant "sampling" says. Error: throws StateError.
DroppedRows read_dropped(std::string_view bytes);

/// The one ledger of probabilities (algorithms 2.15): what each joined row was kept with, from its
/// event's `sampling_rate` over the sampling of negatives to load shedding. What is kept weighs
/// 1 / P(kept), in losses and metrics; with `correct: serving` the rate of the negatives weighs in
/// the metrics alone, and Task::logit_shift makes up for it where scores are served.
///
/// With a `ratio` n instead of a rate, r = min(1, n P/N) of the shares of 1s and 0s among the
/// labels of the task so far (a plain mean over 100,000, then fading with that length), before any
/// was left out: a function of the rows in their order.
///
/// A row is shed, or kept, by its impression: all its rows share one fate. A row is a negative if
/// its label of the named task is 0; a positive is never left out. Both are decided by Philox of
/// the seed and the id (of a sample without one: its features and time), so by nothing but the
/// data.
///
/// State: the participant "sampling", the values "dropped" (counts, in no digest) and, with a
/// ratio, "shares". Threads: one at a time.
class Sampling final : public Participant {
 public:
  using Counts = DroppedRows;

  Sampling(const Schema& schema, const TrainOptions& options);

  /// Whether the row is trained and measured; if so, it gets its weights. Otherwise it is counted.
  bool keep(JoinedRow& row);
  /// Since the store began.
  const Counts& dropped() const { return dropped_; }

  std::string participant_name() const override { return "sampling"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override;
  void restore_value(std::string_view name, std::string_view bytes) override;
  void restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) override;
  void restored() override {}

 private:
  double take_label(double label);

  std::size_t negatives_of_ = 0;  // task
  const double rate_, ratio_, shed_;
  double labels_ = 0, positive_ = 0;  // of the task, capped, and the share of 1s among them
  const bool weighs_;
  const std::uint64_t seed_;
  Counts dropped_{};
};

}  // namespace millrace
