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
bool OracleJoin::is_at_once(int task) const {
  const FeedbackPolicy policy = tasks_[at(task)].policy;
  return has_label(task) && (policy == FeedbackPolicy::kFnw || policy == FeedbackPolicy::kFnc);
}
bool OracleJoin::has_short_wait(int task) const {
  const FeedbackPolicy policy = tasks_[at(task)].policy;
  return has_label(task) && (policy == FeedbackPolicy::kEsDfm || policy == FeedbackPolicy::kDefer ||
                             policy == FeedbackPolicy::kDefuse);
}
bool OracleJoin::has_looks(int task) const {
  return has_label(task) && tasks_[at(task)].policy == FeedbackPolicy::kDfm;
}
// The short wait, then each time four times as late, before the label is due.
std::vector<Duration> OracleJoin::looks_of(int task) const {
  const Duration due = due_of(Impression{}, task) - EventTime{};
  std::vector<Duration> looks{short_wait_of(task)};
  while (looks.back().count() > 0 && 4 * looks.back() < due) looks.push_back(4 * looks.back());
  return looks;
}

std::optional<EventTime> OracleJoin::first_of(const Waiting& waiting, int task) const {
  std::optional<EventTime> first;
  for (const Outcome& o : waiting.applied) {
    if (has_label(task) && uses(task, o.type) && (!first || o.time < *first)) first = o.time;
  }
  return first;
}
// From when the delay of a label under dfm counts, and when the label became 1.
std::optional<EventTime> OracleJoin::begins(const Waiting& waiting, int task) const {
  EventTime begins = waiting.event.time;
  const bool on_condition = tasks_[at(task)].given >= 0 && !tasks_[at(task)].entire_space;
  for (const int c : chain_of(task)) {
    if (c == task || !on_condition) continue;
    const auto first = first_of(waiting, c);
    if (!first) return std::nullopt;
    begins = std::max(begins, *first);
  }
  return begins;
}
std::optional<EventTime> OracleJoin::comes(const Waiting& waiting, int task) const {
  EventTime comes = waiting.event.time;
  for (const int c : chain_of(task)) {
    const auto first = first_of(waiting, c);
    if (!first) return std::nullopt;
    comes = std::max(comes, *first);
  }
  return comes;
}

// A look at a label under dfm: what had happened by then, whenever it was heard of.
void OracleJoin::look(Waiting& waiting, int task, Duration age, JoinedRow& row) {
  waiting.looked[at(task)].push_back(age);
  const EventTime now = waiting.event.time + age;
  const auto from = begins(waiting, task), came = comes(waiting, task);
  if (!from || now < *from || waiting.observed[at(task)]) return;
  const bool one = came && *came <= now, again = waiting.told[at(task)] >= Duration{0};
  put(waiting, row, task, one ? 1 : 0,
      !again ? Origin::kFirst
      : one  ? Origin::kLater
             : Origin::kAgain);
  row.until[at(task)] = static_cast<double>(((one ? *came : now) - *from).count());
  row.since[at(task)] =
      again ? std::max(0.0, static_cast<double>(
                                (waiting.event.time + waiting.told[at(task)] - *from).count()))
            : 0;
  waiting.told[at(task)] = age;
  waiting.observed[at(task)] = one;
}

Duration OracleJoin::short_wait_of(int task) const {
  return std::min(tasks_[at(task)].short_wait, due_of(Impression{}, task) - EventTime{});
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
                  {},
                  std::vector<bool>(tasks_.size()),
                  std::vector<bool>(tasks_.size()),
                  {},
                  std::vector<Duration>(tasks_.size(), Duration{-1})};
  waiting.looked.resize(tasks_.size());

  // "Under fnw the accepted impression emits its row with 0 first"
  JoinedRow zero = row_of(impression, F);
  zero.stream = Stream::kAtOnce;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    const bool on_condition = tasks_[at(k)].given >= 0 && !tasks_[at(k)].entire_space;
    if (is_at_once(k) && !on_condition) put(waiting, zero, k, 0, Origin::kFirst);
  }
  zero.keeps_score = measures_later(waiting);
  if (zero.has_label()) emit(zero);

  // "Outcomes that waited for it are applied to it now, in the order in which they came, before
  // anything is decided"
  for (const Outcome& outcome : early_) {
    if (outcome.impression_id != impression.id) continue;
    --accounts.outcomes.waiting;
    apply(waiting, outcome, std::vector<bool>(tasks_.size(), true));
  }
  std::erase_if(early_, [&](const Outcome& o) { return o.impression_id == impression.id; });
  waiting_.push_back(std::move(waiting));
}

std::vector<int> OracleJoin::chain_of(int task) const {
  std::vector<int> chain{task};
  while (tasks_[at(chain.back())].given >= 0) chain.push_back(tasks_[at(chain.back())].given);
  return chain;
}

// Whether a label that is trained before it is decided is not decided yet.
bool OracleJoin::measures_later(const Waiting& waiting) const {
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    if ((is_at_once(k) || has_short_wait(k) || has_looks(k)) && !waiting.decided[at(k)]) {
      return true;
    }
  }
  return false;
}

// Whether all of the task's conditions could be 1 by what was applied, and so the task itself.
OracleJoin::Standing OracleJoin::standing(const Waiting& waiting) const {
  Standing standing;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    bool condition = true, one = true;
    for (const int c : chain_of(k)) {
      const bool there =
          has_label(c) && std::any_of(waiting.applied.begin(), waiting.applied.end(),
                                      [&](const Outcome& o) { return uses(c, o.type); });
      one &= there;
      if (c != k) condition &= there;
    }
    standing.condition.push_back(condition);
    standing.one.push_back(one);
  }
  return standing;
}

void OracleJoin::put(const Waiting& waiting, JoinedRow& row, int task, double label,
                     Origin origin) const {
  row.labels[at(task)] = label;
  row.origin[at(task)] = origin;
  row.condition[at(task)] = standing(waiting).condition[at(task)];
}

// The rows at once of a change in what was applied.
void OracleJoin::changed(Waiting& waiting, const Standing& before, const Standing& after,
                         const std::vector<bool>& suppressed) {
  JoinedRow first = row_of(waiting.event, F), second = first;
  first.stream = second.stream = Stream::kAtOnce;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    const bool conditional = tasks_[at(k)].given >= 0;
    const bool on_condition = conditional && !tasks_[at(k)].entire_space;
    const bool begins = on_condition && after.condition[at(k)] && !before.condition[at(k)];
    const bool becomes_one = after.one[at(k)] && !before.one[at(k)];
    if (is_at_once(k) && (!conditional || !waiting.decided[at(k)])) {
      if (begins) put(waiting, first, k, 0, Origin::kFirst);
      if (becomes_one) put(waiting, begins ? second : first, k, 1, Origin::kLater);
    }
    if (has_short_wait(k) && waiting.passed[at(k)] && !waiting.decided[at(k)] &&
        !suppressed[at(k)]) {
      if (begins) {
        put(waiting, first, k, after.one[at(k)] ? 1 : 0, Origin::kFirst);
        waiting.observed[at(k)] = after.one[at(k)];
      } else if (becomes_one) {
        put(waiting, first, k, 1, Origin::kLater);
      }
    }
  }
  first.keeps_score = second.keeps_score = measures_later(waiting);
  if (first.has_label()) emit(first);
  if (second.has_label()) emit(second);
}

// The short waits of this length are over: one row with the labels as they stand.
void OracleJoin::pass(Waiting& waiting, Duration short_wait, bool flushing) {
  JoinedRow row = row_of(waiting.event, F);
  row.stream = Stream::kAtOnce;
  if (flushing) row.watermark = EventTime::after_all();
  const Standing now = standing(waiting);
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    if (has_looks(k) && !waiting.decided[at(k)]) {
      const std::vector<Duration> looks = looks_of(k);
      const std::size_t next = waiting.looked[at(k)].size();
      if (next < looks.size() && looks[next] == short_wait) look(waiting, k, short_wait, row);
    }
    if (!has_short_wait(k) || short_wait_of(k) != short_wait) continue;
    if (waiting.passed[at(k)] || waiting.decided[at(k)]) continue;
    waiting.passed[at(k)] = true;
    const bool on_condition = tasks_[at(k)].given >= 0 && !tasks_[at(k)].entire_space;
    if (on_condition && !now.condition[at(k)]) continue;
    put(waiting, row, k, now.one[at(k)] ? 1 : 0, Origin::kFirst);
    waiting.observed[at(k)] = now.one[at(k)];
  }
  row.keeps_score = measures_later(waiting);
  if (row.has_label()) emit(row);
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
    apply(waiting, outcome, std::vector<bool>(tasks_.size()));
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

void OracleJoin::apply(Waiting& waiting, const Outcome& outcome,
                       const std::vector<bool>& suppressed) {
  bool open = false;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    open |= uses(k, outcome.type) && !waiting.decided[at(k)];
  }
  if (!open) {
    ++accounts.outcomes.late;
    return;
  }
  for (const Outcome& other : waiting.applied) {
    if (same(other, outcome)) {
      ++accounts.outcomes.duplicate;
      return;
    }
  }
  const Duration distance = outcome.time - waiting.event.time;
  if (distance < -options_.allowed_lateness ||
      distance > types_.outcomes[at(outcome.type)].window) {
    ++accounts.outcomes.out_of_window;
    return;
  }
  ++accounts.outcomes.applied;
  const Standing before = standing(waiting);
  waiting.applied.push_back(outcome);
  changed(waiting, before, standing(waiting), suppressed);
}

void OracleJoin::judge(const Sample& sample) {
  ++accounts.samples;
  JoinedRow row =
      row_of({sample.id, sample.time, sample.features, sample.sampling_rate, sample.user}, F);
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
      return std::isfinite(sum) ? sum : kMissing;
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
        const auto consider = [&](EventTime due) {
          const Key key{due, event.time, event.id};
          if (due < limit && (!next || key < next->first)) next = {key, i};
        };
        consider(due_of(event, k));
        if (has_short_wait(k) && !waiting_[i].passed[at(k)])
          consider(event.time + short_wait_of(k));
        if (!has_looks(k)) continue;
        const std::vector<Duration> looks = looks_of(k);
        const std::size_t look = waiting_[i].looked[at(k)].size();
        if (look < looks.size()) consider(event.time + looks[look]);
      }
    }
    if (!next) break;
    // Of one impression at one time: short waits before labels.
    const EventTime due = std::get<0>(next->first);
    Waiting& waiting = waiting_[next->second];
    // Of a flush only what W had not decided.
    pass(waiting, due - waiting.event.time, flushing);
    bool labels = false;
    for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
      labels |= has_label(k) && !waiting.decided[at(k)] && due_of(waiting.event, k) == due;
    }
    if (labels) decide_one(next->second, due, flushing);
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
      if (tasks_[at(k)].policy == FeedbackPolicy::kWait) row.labels[at(k)] = label;
      // Algorithms 2.2: zeros that a condition decided count as missing in the first time.
      if (label == 0 && !condition_holds(waiting, k) &&
          due <= first_accepted_ + (due_of(waiting.event, k) - waiting.event.time)) {
        row.counts[at(k)] = 0;
      }
      if (tasks_[at(k)].policy != FeedbackPolicy::kWait) say_final(waiting, k, label, due, row);
    }
  }
  bool finished = true;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    if (!before[at(k)]) row.condition[at(k)] = condition_holds(waiting, k) ? 1 : 0;
    if (has_label(k)) finished &= waiting.decided[at(k)];
  }
  bool open = false, was_open = false;
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    if (!is_at_once(k) && !has_short_wait(k) && !has_looks(k)) continue;
    was_open |= !before[at(k)];
    open |= !waiting.decided[at(k)];
  }
  row.keeps_score = was_open;
  row.is_last = was_open && !open;
  emit(std::move(row));
  if (!finished) return;
  --accounts.impressions.waiting;
  ++accounts.impressions.finished;
  waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
}

// A final label under an immediate policy: measured; after a short wait the heads' targets too;
// trained by defer, and where it is known before the short wait.
void OracleJoin::say_final(const Waiting& waiting, int task, double label, EventTime due,
                           JoinedRow& row) const {
  if (std::isnan(label)) return;
  const auto k = at(task);
  const bool early = has_short_wait(task) && !waiting.passed[k];
  const bool seen_as_one = waiting.passed[k] && waiting.observed[k];
  if (row.counts[k] != 0) {
    row.measured[k] = label;
    if (has_short_wait(task)) {
      row.targets[k] = target::kDelayedKnown;
      if (label == 1 && !seen_as_one) row.targets[k] |= target::kDelayed;
      if (!seen_as_one) row.targets[k] |= target::kNeverKnown;
      if (!seen_as_one && label == 0) row.targets[k] |= target::kNever;
    }
  }
  if (has_looks(task)) {
    if (waiting.observed[k]) return;
    const bool told = waiting.told[k] >= Duration{0};
    row.labels[k] = label;
    row.origin[k] = !told ? Origin::kFirst : label == 1 ? Origin::kLater : Origin::kAgain;
    row.counts[k] = told || due > first_accepted_ + short_wait_of(task) ? 1 : 0;
    const EventTime from = *begins(waiting, task);
    row.until[k] = label == 1 ? static_cast<double>((*comes(waiting, task) - from).count())
                              : std::numeric_limits<double>::infinity();
    if (told) {
      row.since[k] =
          std::max(0.0, static_cast<double>((waiting.event.time + waiting.told[k] - from).count()));
    }
    return;
  }
  const bool defer = tasks_[k].policy == FeedbackPolicy::kDefer;
  if (early) {
    row.labels[k] = label;
    row.origin[k] = defer ? Origin::kTwice : Origin::kFirst;
    row.counts[k] = due > first_accepted_ + short_wait_of(task) ? 1 : 0;
  } else if (defer && (label == 0 || seen_as_one)) {  // else the 1 that came was the second row
    row.labels[k] = label;
    row.origin[k] = Origin::kAgain;
  }
}

JoinedRow OracleJoin::row_of(const Impression& impression, EventTime due) const {
  JoinedRow row{.impression_id = impression.id,
                .time = impression.time,
                .due = due,
                .watermark = W,
                .features = impression.features,
                .weight = 1 / impression.sampling_rate,
                .user = impression.user,
                .labels = std::vector<double>(tasks_.size(), kMissing),
                .condition = std::vector<std::uint8_t>(tasks_.size()),
                .counts = std::vector<std::uint8_t>(tasks_.size(), 1)};
  for (std::size_t k = 0; k < tasks_.size(); ++k) row.condition[k] = tasks_[k].given < 0 ? 1 : 0;
  const bool all_wait = std::all_of(tasks_.begin(), tasks_.end(), [](const Task& task) {
    return task.policy == FeedbackPolicy::kWait;
  });
  if (all_wait) return row;
  row.origin.assign(tasks_.size(), Origin::kFinal);
  row.targets.assign(tasks_.size(), 0);
  row.measured.assign(tasks_.size(), kMissing);
  const bool any_looks = std::any_of(tasks_.begin(), tasks_.end(), [](const Task& task) {
    return task.policy == FeedbackPolicy::kDfm;
  });
  if (!any_looks) return row;
  row.since.assign(tasks_.size(), 0);
  row.until.assign(tasks_.size(), kMissing);
  return row;
}

void OracleJoin::emit(JoinedRow row) {
  if (row.has_label()) ++accounts.rows;
  rows.push_back(std::move(row));
}

}  // namespace millrace
