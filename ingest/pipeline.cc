#include "ingest/pipeline.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace millrace {
namespace {

// Rows of one call of the join: enough to fill batches, few enough for a barrier to fall in
// between.
constexpr std::size_t kRowsPerCall = 4096;
// Of events that are taken together only the last may move event time further than this, so that
// those before it decide few rows.
constexpr std::size_t kTakenTogether = 256;
constexpr Duration kLittleTime{200};

}  // namespace

Pipeline::Step Pipeline::step(std::size_t max_events, std::vector<Batch>& closed) {
  Step result = Step::kWorked;
  if (more_due_) {
    parts_.stages.begin_long(Stage::kJoin);
    decide(closed);
    parts_.stages.end();
  } else {
    const bool is_in_store = parts_.joiner.sizes().in_store > 0;
    const std::size_t together = std::min(is_in_store ? kTakenTogether : 1, max_events);
    for (std::size_t events = 0; events < max_events && !more_due_ && result == Step::kWorked;) {
      result = take(together);
      events += taken_.size();
      if (is_in_store) prefetch();
      add_taken(closed);
    }
  }
  note_progress();
  return result;
}

Pipeline::Step Pipeline::take(std::size_t max_events) {
  const EventTime newest = parts_.joiner.newest();
  while (taken_.size() < max_events) {
    if (!parts_.dead_letters.has_room()) {
      probe_.pauses.fetch_add(1, std::memory_order_relaxed);
      return Step::kWaiting;
    }
    parts_.stages.begin(Stage::kFetch);
    std::optional<Taken> next = parts_.merge.next();
    parts_.stages.end();
    if (next || !parts_.merge.all_at_end()) quiet_since_.reset();
    if (!next) return parts_.merge.all_at_end() ? Step::kAtEnd : Step::kWaiting;
    taken_.push_back(std::move(*next));
    const auto& event = taken_.back().event;
    if (!event || event_time(*event) > newest + kLittleTime) break;
  }
  return Step::kWorked;
}

void Pipeline::prefetch() {
  ids_.clear();
  for (const Taken& taken : taken_) {
    if (!taken.event) continue;
    if (const auto* impression = std::get_if<Impression>(&*taken.event)) {
      ids_.push_back(impression->id);
    } else if (const auto* outcome = std::get_if<Outcome>(&*taken.event)) {
      ids_.push_back(outcome->impression_id);
    }
  }
  parts_.joiner.prefetch(ids_);
}

void Pipeline::add_taken(std::vector<Batch>& closed) {
  for (Taken& taken : taken_) {
    while (more_due_) decide(closed);
    parts_.stages.begin(Stage::kJoin);
    const std::size_t first = closed.size();
    accept(std::move(taken), closed);
    mark_paused(closed, first);
    parts_.stages.end();
  }
  taken_.clear();
}

void Pipeline::accept(Taken&& taken, std::vector<Batch>& closed) {
  ++parts_.joiner.accounts().events;
  probe_.events.fetch_add(1, std::memory_order_relaxed);
  parts_.dead_letter_watch.take(!taken.event);
  if (!taken.event) {
    reject(std::move(taken));
    return;
  }
  parts_.joiner.add(std::move(taken.event).value(), rows_);
  hand_over(closed);
  parts_.batcher.close_passed(EventTime::before_all(), parts_.joiner.newest(), closed);
  decide(closed);
}

void Pipeline::reject(Taken&& taken) {
  const Rejection& rejection = taken.event.error();
  ++parts_.joiner.accounts().dead_letters[static_cast<std::size_t>(rejection.reason)];
  DeadLetter letter;
  letter.input = parts_.source.inputs()[taken.input];
  letter.offset = taken.offset;
  letter.rejection = rejection;
  letter.payload = std::move(taken.payload);
  letter.key = std::move(taken.key);
  letter.headers = std::move(taken.headers);
  parts_.dead_letters.add(std::move(letter));
}

void Pipeline::decide(std::vector<Batch>& closed) {
  const std::size_t first = closed.size();
  parts_.stages.go_on(Stage::kJoin);
  more_due_ = parts_.joiner.advance(kRowsPerCall, rows_);
  hand_over(closed);
  if (!more_due_) {
    parts_.batcher.close_passed(parts_.joiner.watermark(), parts_.joiner.newest(), closed);
  }
  mark_paused(closed, first);
}

void Pipeline::hand_over(std::vector<Batch>& closed) {
  parts_.stages.go_on(Stage::kEncode);
  for (JoinedRow& row : rows_) {
    if (parts_.row_seen) parts_.row_seen(row);
    if (!parts_.sampling.keep(row)) continue;
    parts_.user_cap.weigh(row);
    parts_.batcher.add(row, parts_.joiner.newest(), closed);
  }
  probe_.rows.fetch_add(rows_.size(), std::memory_order_relaxed);
  rows_.clear();
}

void Pipeline::at_end(EventTime now, const QuietOptions& options, std::vector<Batch>& closed) {
  if (!quiet_since_) {
    quiet_since_ = now;
    newest_at_quiet_ = parts_.joiner.newest();
    last_clock_step_ = now;
    return;
  }
  if (!newest_at_quiet_.is_finite() || newest_at_quiet_ + options.live_within < *quiet_since_)
    return;
  if (now < *quiet_since_ + options.quiet_after || now < last_clock_step_ + options.step) return;
  last_clock_step_ = now;
  if (!parts_.source.confirm_ends()) return;

  parts_.joiner.move_by_clock(now - options.allowed_lateness - options.quiet_after);
  probe_.clock_steps.fetch_add(1, std::memory_order_relaxed);
  parts_.batcher.close_passed(EventTime::before_all(), parts_.joiner.newest(), closed);
  decide(closed);
  note_progress();
}

bool Pipeline::flush(std::vector<Batch>& closed) {
  if (!std::exchange(flushing_, true)) {
    parts_.batcher.flush(Stream::kAtOnce, closed);
    parts_.joiner.flush();
    more_due_ = true;
  }
  parts_.stages.begin_long(Stage::kJoin);
  if (more_due_) {
    more_due_ = parts_.joiner.advance(kRowsPerCall, rows_);
    hand_over(closed);
  } else {
    // Short waits of the flush are rows at once.
    parts_.batcher.flush(Stream::kAtOnce, closed);
    parts_.batcher.flush(Stream::kMatured, closed);
    flushing_ = false;
  }
  parts_.stages.end();
  note_progress();
  return flushing_;
}

void Pipeline::mark_paused(std::vector<Batch>& closed, std::size_t first) const {
  if (!parts_.dead_letter_watch.paused()) return;
  for (std::size_t i = first; i < closed.size(); ++i) closed[i].paused = true;
}

void Pipeline::note_progress() {
  probe_.watermark_ms.store(parts_.joiner.watermark().ms, std::memory_order_relaxed);
  probe_.newest_ms.store(parts_.joiner.newest().ms, std::memory_order_relaxed);
  probe_.join_bytes.store(parts_.joiner.memory_bytes(), std::memory_order_relaxed);
  const JoinSizes sizes = parts_.joiner.sizes();
  const auto note = [](std::atomic<std::uint64_t>& to, std::uint64_t count) {
    to.store(count, std::memory_order_relaxed);
  };
  note(probe_.join_in_memory, sizes.in_memory);
  note(probe_.join_in_store, sizes.in_store);
  note(probe_.join_blocks, sizes.blocks);
  note(probe_.join_store_bytes, sizes.store_bytes);
  note(probe_.join_lookups, sizes.cold.lookups);
  note(probe_.join_lookups_spared, sizes.cold.spared);
  note(probe_.join_block_reads, sizes.cold.reads);
  note(probe_.join_block_loads, sizes.cold.loads);
  note(probe_.join_refusals_kept, parts_.joiner.history().refusals());
  note(probe_.join_decisions_kept, parts_.joiner.history().decisions());
}

}  // namespace millrace
