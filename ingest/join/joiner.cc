#include "ingest/join/joiner.h"

#include <optional>
#include <utility>
#include <variant>

#include "ingest/join/accounts_state.h"
#include "ingest/join/cold_start.h"
#include "ingest/join/labels.h"
#include "ingest/join/spilling_state.h"
#include "ingest/join/watermark.h"
#include "ingest/join/windows.h"
#include "learner/base/check.h"

namespace millrace {

struct Joiner::Parts {
  Parts(const Schema& schema, const EventTypes& types, std::vector<LabelSource> sources,
        const JoinOptions& options)
      : late(options.late),
        windows(schema, types, sources, options.allowed_lateness),
        labels(schema, windows, std::move(sources)),
        // Rows at once of several types follow the order in which outcomes came.
        state(std::make_unique<SpillingState>(schema, types, windows,
                                              labels.feedback().follows_order(),
                                              static_cast<std::uint64_t>(options.memory.value))),
        tasks(static_cast<int>(schema.tasks().size())),
        history(schema.tasks().size(), static_cast<std::size_t>(options.history)),
        delays(types) {}

  void add(Impression&& impression, std::vector<JoinedRow>& rows);
  void add(Outcome&& outcome, std::vector<JoinedRow>& rows);
  void add(Sample&& sample, std::vector<JoinedRow>& rows);
  bool is_late(const Impression& impression) const;
  void apply(WaitingImpression& impression, KeptOutcome outcome, const TaskSet& not_yet,
             std::vector<JoinedRow>& rows);
  JoinedRow row_at_once() const;
  void emit(const WaitingImpression& impression, JoinedRow&& row, std::vector<JoinedRow>& rows);
  void pass_short_waits(WaitingImpression& impression, EventTime due, std::vector<JoinedRow>& rows);
  void pass_overdue(WaitingImpression& impression, const TaskSet& overdue,
                    std::vector<JoinedRow>& rows);
  void next_decision(WaitingImpression& impression, std::vector<JoinedRow>& rows);
  void decide(WaitingImpression& impression, JoinedRow& row);
  void mark_certain(EventTime due, JoinedRow& row) const;
  /// Remembers why an event is refused.
  void refuse(const Impression& impression, std::string_view reason) {
    history.refused(impression.id, {.time = impression.time, .reason = reason});
  }
  void refuse(std::string_view impression_id, const KeptOutcome& outcome, std::string_view reason) {
    history.refused(impression_id, {outcome.type, outcome.time, outcome.event_id, reason});
  }
  bool advance(std::size_t max_rows, std::vector<JoinedRow>& rows);
  /// What is due before it is decided.
  EventTime limit() const { return flushing ? EventTime::after_all() : time.value; }

  const LatePolicy late;
  const Windows windows;
  Labels labels;
  std::unique_ptr<JoinState> state;
  const int tasks;
  JoinHistory history;
  Watermark time;
  ColdStart cold_start;
  Accounts accounts;
  LabelDelays delays;
  bool flushing = false;
  // The small values as they were last saved, to save only what changed.
  std::string saved_clock, saved_accounts, saved_cold_start, saved_delays;
};

Joiner::Joiner(const Schema& schema, const EventTypes& types, std::vector<LabelSource> labels,
               const JoinOptions& options)
    : parts_(std::make_unique<Parts>(schema, types, std::move(labels), options)) {}
Joiner::~Joiner() = default;

EventTime Joiner::watermark() const { return parts_->time.value; }
EventTime Joiner::newest() const { return parts_->time.newest; }
const Accounts& Joiner::accounts() const { return parts_->accounts; }
Accounts& Joiner::accounts() { return parts_->accounts; }
const LabelDelays& Joiner::label_delays() const { return parts_->delays; }
std::uint64_t Joiner::memory_bytes() const { return parts_->state->memory_bytes(); }

JoinSizes Joiner::sizes() const { return parts_->state->sizes(); }
JoinState::Pressure Joiner::pressure() const { return parts_->state->pressure(); }

std::optional<JoinExplanation> Joiner::explain(std::string_view impression_id) const {
  auto found = explain_impression(impression_id, *parts_->state, parts_->history, parts_->windows,
                                  parts_->tasks);
  if (found) found->watermark = parts_->time.value;
  return found;
}
const JoinHistory& Joiner::history() const { return parts_->history; }

void Joiner::prefetch(std::span<const std::string_view> ids) { parts_->state->prefetch(ids); }

void Joiner::add(Event&& event, std::vector<JoinedRow>& rows) {
  constexpr std::size_t kManyRows = 1 << 20;
  while (parts_->advance(kManyRows, rows)) {
  }
  const EventTime time = event_time(event);
  parts_->time.see(time);
  std::visit([&](auto& e) { parts_->add(std::move(e), rows); }, event);
  parts_->time.follow(time, parts_->windows.allowed_lateness());
}

bool Joiner::advance(std::size_t max_rows, std::vector<JoinedRow>& rows) {
  return parts_->advance(max_rows, rows);
}

void Joiner::move_by_clock(EventTime watermark) {
  parts_->time.follow_clock(watermark, parts_->windows.allowed_lateness());
}

void Joiner::flush() { parts_->flushing = true; }

bool Joiner::Parts::is_late(const Impression& impression) const {
  if (impression.time >= time.value) return false;
  if (late == LatePolicy::kDrop) return true;
  return windows.next_due(impression.time, windows.labelled()) < time.value;
}

void Joiner::Parts::add(Impression&& impression, std::vector<JoinedRow>& rows) {
  Accounts::Impressions& counts = accounts.impressions;
  ++counts.in;
  if (is_late(impression)) {
    ++counts.late;
    refuse(impression, "late");
    return;
  }
  if (state->find(impression.id) != nullptr) {
    ++counts.duplicate;
    refuse(impression, "duplicate");
    return;
  }
  cold_start.accepted(impression.time);
  if (windows.labelled().empty()) {
    ++counts.finished;
    return;
  }
  ++counts.waiting;
  std::vector<KeptOutcome> kept = state->take_kept(impression.id);
  const TaskSet overdue = labels.feedback().passed_before(impression.time, time.value);
  std::unique_ptr<ShortWaits> short_waits;
  if (!overdue.empty()) {
    short_waits = std::make_unique<ShortWaits>(
        ShortWaits{.passed = overdue, .looked_until = time.value - impression.time - Duration{1}});
  }
  WaitingImpression& waiting = state->add({.id = std::move(impression.id),
                                           .time = impression.time,
                                           .features = std::move(impression.features),
                                           .weight = 1 / impression.sampling_rate,
                                           .user = impression.user,
                                           .open = windows.labelled(),
                                           .short_waits = std::move(short_waits)});
  const Feedback& feedback = labels.feedback();
  if (feedback.any()) {
    JoinedRow row = row_at_once();
    feedback.accepted(waiting, row);
    emit(waiting, std::move(row), rows);
  }
  for (KeptOutcome& outcome : kept) {
    --accounts.outcomes.waiting;
    apply(waiting, std::move(outcome), overdue, rows);
  }
  if (!overdue.empty()) pass_overdue(waiting, overdue, rows);
}

// One that was accepted late: short waits that were over when it came pass now, so that no timer
// is ever set behind the last one that was taken.
void Joiner::Parts::pass_overdue(WaitingImpression& impression, const TaskSet& overdue,
                                 std::vector<JoinedRow>& rows) {
  impression.short_waits->passed = {};
  impression.short_waits->looked_until = Duration{-1};
  for (const Windows::Look& look : windows.looks()) {
    const EventTime due = impression.time + look.after;
    if (overdue.has(look.task) && due < time.value && !has_passed(impression, look)) {
      pass_short_waits(impression, due, rows);
    }
  }
}

void Joiner::Parts::add(Outcome&& outcome, std::vector<JoinedRow>& rows) {
  Accounts::Outcomes& counts = accounts.outcomes;
  ++counts.in;
  KeptOutcome kept{outcome.type, outcome.time, outcome.value, std::move(outcome.event_id)};
  if (!windows.is_used(outcome.type)) {
    ++counts.unused;
    refuse(outcome.impression_id, kept, "unused");
    return;
  }
  if (WaitingImpression* waiting = state->find(outcome.impression_id)) {
    apply(*waiting, std::move(kept), {}, rows);
  } else if (time.value <= windows.waits_until(outcome.time)) {
    ++counts.waiting;
    state->keep(outcome.impression_id, std::move(kept));
  } else {
    ++counts.unmatched;
    refuse(outcome.impression_id, kept, "unmatched");
  }
}

void Joiner::Parts::apply(WaitingImpression& impression, KeptOutcome outcome,
                          const TaskSet& not_yet, std::vector<JoinedRow>& rows) {
  Accounts::Outcomes& counts = accounts.outcomes;
  const int type = outcome.type;
  if (!impression.open.intersects(windows.tasks_of(type))) {
    ++counts.late;
    refuse(impression.id, outcome, "late");
  } else if (impression.applied && impression.applied->contains(outcome)) {
    ++counts.duplicate;
    refuse(impression.id, outcome, "duplicate");
  } else if (!windows.is_inside(type, impression.time, outcome.time)) {
    ++counts.out_of_window;
    refuse(impression.id, outcome, "out_of_window");
    delays.out_of_window(type);
  } else {
    const bool first = !impression.has_applied(type);
    if (first) delays.applied(type, outcome.time - impression.time, windows.window(type));
    state->apply(impression, std::move(outcome));
    ++counts.applied;
    if (!first || !labels.feedback().any()) return;
    JoinedRow row = row_at_once(), second = row_at_once();
    labels.feedback().applied(impression, type, not_yet, row, second);
    emit(impression, std::move(row), rows);
    emit(impression, std::move(second), rows);
  }
}

void Joiner::Parts::add(Sample&& sample, std::vector<JoinedRow>& rows) {
  ++accounts.samples;
  JoinedRow row{.impression_id = std::move(sample.id),
                .time = sample.time,
                .due = time.newest,
                .watermark = time.value,
                .stream = Stream::kAtOnce,
                .features = std::move(sample.features),
                .weight = 1 / sample.sampling_rate,
                .user = sample.user};
  labels.joined(std::move(sample.labels), row);
  if (row.has_label()) ++accounts.rows;
  rows.push_back(std::move(row));
}

JoinedRow Joiner::Parts::row_at_once() const {
  JoinedRow row{.impression_id = {},
                .time = {},
                .due = time.newest,
                .watermark = time.value,
                .stream = Stream::kAtOnce,
                .features = {},
                .weight = 1};
  labels.blank(row);
  return row;
}

// A row at once of the impression, if it came to have a label.
void Joiner::Parts::emit(const WaitingImpression& impression, JoinedRow&& row,
                         std::vector<JoinedRow>& rows) {
  if (!row.has_label()) return;
  row.impression_id = impression.id;
  row.time = impression.time;
  row.features = impression.features;
  row.weight = impression.weight;
  row.user = impression.user;
  row.keeps_score = labels.feedback().tasks().intersects(impression.open);
  ++accounts.rows;
  rows.push_back(std::move(row));
}

void Joiner::Parts::pass_short_waits(WaitingImpression& impression, EventTime due,
                                     std::vector<JoinedRow>& rows) {
  JoinedRow row = row_at_once();
  if (!(due < time.value)) {
    row.watermark = EventTime::after_all();
    mark_certain(due, row);
  }
  labels.feedback().pass(impression, due, row);
  emit(impression, std::move(row), rows);
}

// What is due next of the impression: short waits before labels.
void Joiner::Parts::next_decision(WaitingImpression& impression, std::vector<JoinedRow>& rows) {
  const EventTime label = windows.next_due(impression.time, impression.open);
  const EventTime short_wait = next_short_wait_of(impression, windows);
  if (short_wait <= label) pass_short_waits(impression, short_wait, rows);
  if (short_wait < label) {
    state->reschedule(impression);
  } else {
    decide(impression, rows.emplace_back());
  }
}

// Of a row of the flush: the conditions that every impression has decided that was taken, as none
// is after F. A row that is still to come has found them all to hold.
void Joiner::Parts::mark_certain(EventTime due, JoinedRow& row) const {
  for (const int k : windows.order()) {
    if (!(time.newest + windows.offset(k) < due)) continue;
    row.certain.resize(static_cast<std::size_t>(tasks));
    row.certain[static_cast<std::size_t>(k)] = 1;
  }
}

// One row: the impression's labels of its next due time.
void Joiner::Parts::decide(WaitingImpression& impression, JoinedRow& row) {
  cold_start.row_decided();
  row.time = impression.time;
  row.due = windows.next_due(impression.time, impression.open);
  row.watermark = row.due < time.value ? time.value : EventTime::after_all();
  row.weight = impression.weight;
  row.user = impression.user;
  labels.decide(impression, row.due, cold_start, row);
  if (!row.watermark.is_finite()) mark_certain(row.due, row);
  history.decided(impression.id, row, impression.open.empty());
  if (impression.open.empty()) {
    WaitingImpression finished = state->finish(impression);
    row.impression_id = std::move(finished.id);
    row.features = std::move(finished.features);
    --accounts.impressions.waiting;
    ++accounts.impressions.finished;
  } else {
    row.impression_id = impression.id;
    row.features = impression.features;
    state->reschedule(impression);
  }
  if (row.has_label()) ++accounts.rows;
}

bool Joiner::Parts::advance(std::size_t max_rows, std::vector<JoinedRow>& rows) {
  MILLRACE_CHECK(max_rows > 0);
  std::size_t left = max_rows;
  for (; left > 0; --left) {
    WaitingImpression* impression = state->next_due(limit());
    if (impression == nullptr) break;
    next_decision(*impression, rows);
  }
  const std::size_t dropped = state->drop_kept(
      limit(), max_rows, [this](std::string_view impression_id, const KeptOutcome& outcome) {
        refuse(impression_id, outcome, "unmatched");
      });
  accounts.outcomes.waiting -= dropped;
  accounts.outcomes.unmatched += dropped;
  const bool more =
      state->has_kept_until(limit()) || (left == 0 && state->next_due(limit()) != nullptr);
  if (!more) flushing = false;
  return more;
}

StateChanges Joiner::save(std::uint64_t sequence, std::span<const Cleaning> cleanings) {
  StateChanges changes;
  const auto put = [&](std::string name, ByteWriter& writer, std::string& saved, bool in_digest) {
    if (writer.bytes() == saved) return;
    saved = writer.take();
    changes.values.push_back({std::move(name), saved, in_digest});
  };
  ByteWriter clock, accounts, cold_start, delays;
  clock.put(parts_->time.value.ms);
  clock.put(parts_->time.newest.ms);
  write_accounts(parts_->accounts, accounts);
  parts_->cold_start.save(cold_start);
  parts_->delays.save(delays);
  put("clock", clock, parts_->saved_clock, false);
  put("accounts", accounts, parts_->saved_accounts, false);
  put("cold_start", cold_start, parts_->saved_cold_start, true);
  put("label_delays", delays, parts_->saved_delays, false);
  parts_->state->save(sequence, cleanings, changes);
  return changes;
}

void Joiner::restore_value(std::string_view name, std::string_view bytes) {
  ByteReader reader(bytes);
  if (name == "clock") {
    parts_->time.value.ms = reader.get<std::int64_t>();
    parts_->time.newest.ms = reader.get<std::int64_t>();
    parts_->saved_clock = bytes;
  } else if (name == "accounts") {
    parts_->accounts = read_accounts(reader);
    parts_->saved_accounts = bytes;
  } else if (name == "cold_start") {
    parts_->cold_start.restore(reader);
    parts_->saved_cold_start = bytes;
  } else if (name == "label_delays") {
    parts_->delays.restore(reader);
  } else if (parts_->state->restore_value(name, bytes)) {
    return;
  } else {
    throw StateError("the join has no value \"" + std::string(name) + "\"");
  }
  if (!reader.at_end()) throw StateError("the join's \"" + std::string(name) + "\" is too long");
}

void Joiner::restore_block(std::string_view set, std::uint64_t sequence, std::string_view bytes) {
  parts_->state->restore_block(set, sequence, bytes);
}

void Joiner::use_cold(ColdReader& reader) { parts_->state->use_cold(reader); }

void Joiner::restore_cold(std::string_view set, std::uint64_t number, std::string_view directory,
                          std::string_view left) {
  parts_->state->restore_cold(set, number, directory, left);
}

void Joiner::restored() { parts_->state->restored(); }

void Joiner::adopt(WaitingImpression impression) { parts_->state->add(std::move(impression)); }

void Joiner::adopt(std::string_view impression_id, std::vector<KeptOutcome> outcomes) {
  for (KeptOutcome& outcome : outcomes) parts_->state->keep(impression_id, std::move(outcome));
}

}  // namespace millrace
