#include "tests/support/oracle_join.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

namespace millrace {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

std::size_t at(int index) { return static_cast<std::size_t>(index); }

}  // namespace

OracleJoin::OracleJoin(std::vector<Task> tasks, EventTypes types, std::vector<LabelSource> labels,
                       JoinOptions options)
    : tasks_(std::move(tasks)),
      types_(std::move(types)),
      labels_(std::move(labels)),
      options_(std::move(options)) {}

// "Each event is judged against the W before it; then W = max(W, its time − allowed_lateness)."
void OracleJoin::take(const Event& event) {
  ++accounts.events;
  const EventTime time = event_time(event);
  F = std::max(F, time);
  std::visit([&](const auto& e) { judge(e); }, event);
  W = std::max(W, time - options_.allowed_lateness);
  decide_before(W, false);
}

void OracleJoin::clock(EventTime watermark) {
  W = std::max(W, watermark);
  F = std::max(F, W + options_.allowed_lateness);
  decide_before(W, false);
}

void OracleJoin::flush() { decide_before(EventTime::after_all(), true); }

bool OracleJoin::has_label(int task) const { return labels_[at(task)].outcome >= 0; }
bool OracleJoin::uses(int task, int type) const { return labels_[at(task)].outcome == type; }
bool OracleJoin::is_immediate(int task) const {
  return tasks_[at(task)].policy != FeedbackPolicy::kWait;
}

// "a task's own is t + window(its outcome); a task given another is due no earlier than that one"
EventTime OracleJoin::due_of(const Impression& impression, int task) const {
  const EventTime own = impression.time + types_.outcomes[at(labels_[at(task)].outcome)].window;
  const int given = tasks_[at(task)].given;
  return given >= 0 && has_label(given) ? std::max(own, due_of(impression, given)) : own;
}

void OracleJoin::judge(const Impression& impression) {
  ++accounts.impressions.in;
  std::optional<EventTime> earliest;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    if (!has_label(k)) continue;
    const EventTime due = due_of(impression, k);
    if (!earliest || due < *earliest) earliest = due;
  }
  if (impression.time < W) {
    const bool accept = options_.late == LatePolicy::kAccept && (!earliest || W <= *earliest);
    if (!accept) {
      ++accounts.impressions.late;
      return;
    }
  }
  for (const Waiting& other : waiting_) {
    if (other.event.id == impression.id) {
      ++accounts.impressions.duplicate;
      return;
    }
  }
  if (!any_decided_) first_accepted_ = std::min(first_accepted_, impression.time);
  if (!earliest) {
    ++accounts.impressions.finished;
    return;
  }
  ++accounts.impressions.waiting;
  Waiting waiting{impression,
                  std::vector<bool>(tasks_.size()),
                  std::vector<double>(tasks_.size(), kMissing),
                  {}};

  // "Under fnw the accepted impression emits its row with 0 first"
  JoinedRow zero = row_of(impression, F);
  zero.stream = Stream::kAtOnce;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    if (has_label(k) && is_immediate(k)) zero.labels[at(k)] = 0;
  }
  if (zero.has_label()) emit(zero);

  // "Outcomes that waited for it are applied to it now, in the order in which they came"
  for (const Outcome& outcome : early_) {
    if (outcome.impression_id != impression.id) continue;
    --accounts.outcomes.waiting;
    apply(waiting, outcome);
  }
  std::erase_if(early_, [&](const Outcome& o) { return o.impression_id == impression.id; });
  waiting_.push_back(std::move(waiting));
}

void OracleJoin::judge(const Outcome& outcome) {
  ++accounts.outcomes.in;
  bool used = false;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) used |= uses(k, outcome.type);
  if (!used) {
    ++accounts.outcomes.unused;
    return;
  }
  for (Waiting& waiting : waiting_) {
    if (waiting.event.id != outcome.impression_id) continue;
    apply(waiting, outcome);
    return;
  }
  if (W <= outcome.time + options_.allowed_lateness) {
    ++accounts.outcomes.waiting;
    early_.push_back(outcome);
  } else {
    ++accounts.outcomes.unmatched;
  }
}

bool OracleJoin::same(const Outcome& a, const Outcome& b) {
  if (a.type != b.type) return false;
  if (a.event_id || b.event_id) return a.event_id == b.event_id;
  return a.time == b.time && a.value == b.value;
}

void OracleJoin::apply(Waiting& waiting, const Outcome& outcome) {
  bool open = false;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    open |= uses(k, outcome.type) && !waiting.decided[at(k)];
  }
  if (!open) {
    ++accounts.outcomes.late;
    return;
  }
  bool first = true;
  for (const Outcome& other : waiting.applied) {
    if (same(other, outcome)) {
      ++accounts.outcomes.duplicate;
      return;
    }
    first &= other.type != outcome.type;
  }
  const Duration distance = outcome.time - waiting.event.time;
  if (distance < -options_.allowed_lateness ||
      distance > types_.outcomes[at(outcome.type)].window) {
    ++accounts.outcomes.out_of_window;
    return;
  }
  ++accounts.outcomes.applied;
  waiting.applied.push_back(outcome);

  // "the first applied outcome of the type emits one row with 1, later ones none"
  if (!first) return;
  JoinedRow one = row_of(waiting.event, F);
  one.stream = Stream::kAtOnce;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    if (uses(k, outcome.type) && is_immediate(k)) one.labels[at(k)] = 1;
  }
  if (one.has_label()) emit(one);
}

void OracleJoin::judge(const Sample& sample) {
  ++accounts.samples;
  JoinedRow row = row_of({sample.id, sample.time, sample.features, sample.sampling_rate}, F);
  row.stream = Stream::kAtOnce;
  row.labels = sample.labels;
  for (std::size_t k = 0; k < tasks_.size(); ++k) {
    if (tasks_[k].given >= 0) row.condition[k] = row.labels[at(tasks_[k].given)] == 1;
  }
  emit(std::move(row));
}

bool OracleJoin::condition_holds(const Waiting& waiting, int task) const {
  const int given = tasks_[at(task)].given;
  return given < 0 || (waiting.decided[at(given)] && waiting.label[at(given)] == 1);
}

double OracleJoin::label_of(const Waiting& waiting, int task) const {
  const LabelSource& source = labels_[at(task)];
  std::vector<std::pair<EventTime, double>> values;
  double count = 0;
  for (const Outcome& outcome : waiting.applied) {
    if (outcome.type != source.outcome) continue;
    ++count;
    if (outcome.value) values.emplace_back(outcome.time, *outcome.value);
  }
  const bool holds = condition_holds(waiting, task);
  if (tasks_[at(task)].kind == TaskKind::kBinary) {
    if (!holds) return tasks_[at(task)].entire_space ? 0 : kMissing;
    return count > 0 ? 1 : 0;
  }
  if (!holds) return kMissing;
  if (count == 0) return source.absent ? *source.absent : kMissing;
  std::sort(values.begin(), values.end());
  double sum = 0, largest = -std::numeric_limits<double>::infinity();
  for (const auto& [time, value] : values) {
    sum += value;
    largest = std::max(largest, value);
  }
  switch (source.aggregate) {
    case Aggregate::kLast:
      return values.back().second;
    case Aggregate::kSum:
      return sum;
    case Aggregate::kMax:
      return largest;
    case Aggregate::kCount:
      return count;
  }
  return kMissing;
}

// "A label is decided when W > its due time", "in the order (due time, t, id by its UTF-8 bytes)"
void OracleJoin::decide_before(EventTime limit, bool flushing) {
  while (true) {
    using Key = std::tuple<EventTime, EventTime, std::string>;
    std::optional<std::pair<Key, std::size_t>> next;
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
        if (!has_label(k) || waiting_[i].decided[at(k)]) continue;
        const Impression& event = waiting_[i].event;
        const EventTime due = due_of(event, k);
        const Key key{due, event.time, event.id};
        if (due < limit && (!next || key < next->first)) next = {key, i};
      }
    }
    if (!next) break;
    decide_one(next->second, std::get<0>(next->first), flushing);
  }
  for (const Outcome& outcome : early_) {
    if (limit <= outcome.time + options_.allowed_lateness) continue;
    --accounts.outcomes.waiting;
    ++accounts.outcomes.unmatched;
  }
  std::erase_if(early_, [&](const Outcome& outcome) {
    return limit > outcome.time + options_.allowed_lateness;
  });
}

void OracleJoin::decide_one(std::size_t index, EventTime due, bool flushing) {
  Waiting& waiting = waiting_[index];
  any_decided_ = true;
  JoinedRow row = row_of(waiting.event, due);
  if (flushing) row.watermark = EventTime::after_all();
  const std::vector<bool> before = waiting.decided;
  // Labels that are due, and those given a condition that was decided and is not 1: again and
  // again, until a round adds none.
  for (bool changed = true; changed;) {
    changed = false;
    for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
      if (!has_label(k) || waiting.decided[at(k)]) continue;
      const int given = tasks_[at(k)].given;
      const bool condition_open = given >= 0 && has_label(given) && !waiting.decided[at(given)];
      if (condition_open) continue;
      const bool dragged = given >= 0 && has_label(given) && !condition_holds(waiting, k);
      if (due_of(waiting.event, k) != due && !dragged) continue;
      const double label = label_of(waiting, k);
      waiting.label[at(k)] = label;
      waiting.decided[at(k)] = true;
      changed = true;
      if (!is_immediate(k)) row.labels[at(k)] = label;
      // Algorithms 2.2: zeros that a condition decided count as missing in the first time.
      if (label == 0 && !condition_holds(waiting, k) &&
          due <= first_accepted_ + (due_of(waiting.event, k) - waiting.event.time)) {
        row.counts[at(k)] = 0;
      }
    }
  }
  bool finished = true;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    if (!before[at(k)]) row.condition[at(k)] = condition_holds(waiting, k) ? 1 : 0;
    if (has_label(k)) finished &= waiting.decided[at(k)];
  }
  emit(std::move(row));
  if (!finished) return;
  --accounts.impressions.waiting;
  ++accounts.impressions.finished;
  waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
}

JoinedRow OracleJoin::row_of(const Impression& impression, EventTime due) const {
  JoinedRow row{.impression_id = impression.id,
                .time = impression.time,
                .due = due,
                .watermark = W,
                .features = impression.features,
                .weight = 1 / impression.sampling_rate,
                .labels = std::vector<double>(tasks_.size(), kMissing),
                .condition = std::vector<std::uint8_t>(tasks_.size()),
                .counts = std::vector<std::uint8_t>(tasks_.size(), 1)};
  for (std::size_t k = 0; k < tasks_.size(); ++k) row.condition[k] = tasks_[k].given < 0 ? 1 : 0;
  return row;
}

void OracleJoin::emit(JoinedRow row) {
  if (row.has_label()) ++accounts.rows;
  rows.push_back(std::move(row));
}

}  // namespace millrace
