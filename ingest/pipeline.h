#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/encode/batcher.h"
#include "ingest/encode/sampling.h"
#include "ingest/encode/user_cap.h"
#include "ingest/join/joiner.h"
#include "ingest/sink/dead_letter_watch.h"
#include "ingest/sink/dead_letters.h"
#include "ingest/source/merge.h"
#include "ingest/source/source.h"
#include "learner/base/stages.h"
#include "learner/base/state.h"
#include "learner/data/batch.h"

namespace millrace {

/// How a running daemon lets time go on where no event comes (contract/join.md, Watermark).
struct QuietOptions {
  Duration quiet_after{10'000};
  Duration allowed_lateness{30'000};
  Duration live_within{600'000};
  /// The least time between two steps; each asks the broker.
  Duration step{200};
};

/// What the pipeline counts; plain numbers, written by its thread, read by any.
struct PipelineProbe {
  std::atomic<std::uint64_t> events{0};
  std::atomic<std::uint64_t> rows{0};
  std::atomic<std::uint64_t> clock_steps{0};
  std::atomic<std::uint64_t> pauses{0};  ///< Times that taking paused for the dead letters' outbox.
  std::atomic<std::int64_t> watermark_ms{EventTime::before_all().ms};
  std::atomic<std::int64_t> newest_ms{EventTime::before_all().ms};
  std::atomic<std::uint64_t> join_bytes{0};
  /// Waiting impressions in memory and in the store; there, blocks and bytes that live.
  std::atomic<std::uint64_t> join_in_memory{0}, join_in_store{0}, join_blocks{0},
      join_store_bytes{0};
  /// As ColdCounts.
  std::atomic<std::uint64_t> join_lookups{0}, join_lookups_spared{0}, join_block_reads{0},
      join_block_loads{0};
  std::atomic<std::uint64_t> join_refusals_kept{0}, join_decisions_kept{0};  ///< As JoinHistory.
};

/// source → merge → join → batches: one thread's work, cut into small steps between which a barrier
/// may fall. It owns nothing that it works with.
///
/// Order within one event (contract/join.md, Batches): its rows at once; open batches of rows at
/// once that F has passed; the rows that W decides; open batches that W has passed.
class Pipeline {
 public:
  struct Parts {
    Source& source;
    Merge& merge;
    Joiner& joiner;
    Batcher& batcher;
    DeadLetterSink& dead_letters;
    DeadLetterWatch& dead_letter_watch;
    /// Sees every row when it is emitted (`--rows`); may be empty.
    std::function<void(const JoinedRow&)> row_seen;
    /// Which rows are trained and measured, and what they weigh.
    Sampling& sampling;
    UserCap& user_cap;
    /// Where the thread's time goes; the merge may have the same.
    StageSampler& stages;
  };
  enum class Step {
    kWorked,   ///< Go on.
    kWaiting,  ///< Some input is waited for, or the outbox is full: `source.wait`, then go on.
    kAtEnd,    ///< Every input stands at its end.
  };

  explicit Pipeline(Parts parts) : parts_(std::move(parts)) {}

  /// Takes at most `max_events` events and appends the batches that close. One jump of W that
  /// decides many rows is spread over several steps. Where impressions wait in the store, some
  /// events are taken before the first of them is added, so that what they need is read from there
  /// together; all that were taken are added before it returns.
  Step step(std::size_t max_events, std::vector<Batch>& closed);

  /// Called when `step` said kAtEnd, with the wall clock: moves time on where it is quiet.
  void at_end(EventTime now, const QuietOptions& options, std::vector<Batch>& closed);

  /// Decides all that waits and closes all batches; call until it returns false.
  bool flush(std::vector<Batch>& closed);

  const PipelineProbe& probe() const { return probe_; }

 private:
  // Takes events into taken_, until one that is refused or may decide many rows.
  Step take(std::size_t max_events);
  void prefetch();
  void add_taken(std::vector<Batch>& closed);
  void accept(Taken&& taken, std::vector<Batch>& closed);
  void reject(Taken&& taken);
  // Rows that W has decided, up to a bound; closes what W has passed once none is left.
  void decide(std::vector<Batch>& closed);
  void hand_over(std::vector<Batch>& closed);
  void note_progress();
  // Batches that close while too many records are dead letters are not learned from.
  void mark_paused(std::vector<Batch>& closed, std::size_t first) const;

  Parts parts_;
  PipelineProbe probe_;
  std::vector<Taken> taken_;           // not added yet; empty between two steps
  std::vector<std::string_view> ids_;  // of taken_'s impressions
  std::vector<JoinedRow> rows_;
  bool more_due_ = true;  // after a restart W may have decided rows that no step has fetched yet
  bool flushing_ = false;
  std::optional<EventTime> quiet_since_;
  EventTime newest_at_quiet_ = EventTime::before_all();
  EventTime last_clock_step_ = EventTime::before_all();
};

}  // namespace millrace
