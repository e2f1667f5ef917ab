#include "ingest/join/feedback.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace millrace {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

bool is_at_once(FeedbackPolicy policy) {
  return policy == FeedbackPolicy::kFnw || policy == FeedbackPolicy::kFnc;
}

bool contains(const std::vector<int>& types, int type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

}  // namespace

bool has_passed(const WaitingImpression& impression, const Windows::Look& look) {
  if (!look.repeats) return impression.has_passed(look.task);
  return impression.short_waits && look.after <= impression.short_waits->looked_until;
}

EventTime next_short_wait_of(const WaitingImpression& impression, const Windows& windows) {
  for (const Windows::Look& look : windows.looks()) {
    const int k = look.task;
    if (!impression.open.has(k) || impression.is_carried(k) || has_passed(impression, look)) {
      continue;
    }
    return impression.time + look.after;
  }
  return EventTime::after_all();
}

EventTime next_due_of(const WaitingImpression& impression, const Windows& windows) {
  return std::min(windows.next_due(impression.time, impression.open),
                  next_short_wait_of(impression, windows));
}

Feedback::Feedback(const Schema& schema, const Windows& windows,
                   std::span<const LabelSource> sources)
    : windows_(windows), plans_(schema.tasks().size()) {
  std::vector<int> at_once;
  for (int k = 0; k < static_cast<int>(plans_.size()); ++k) {
    const Task& task = schema.tasks()[at(k)];
    if (task.policy == FeedbackPolicy::kWait || !windows.labelled().has(k)) continue;
    Plan& plan = plans_[at(k)];
    plan.policy = task.policy;
    plan.on_condition = task.given >= 0 && !task.entire_space;
    plan.own = sources[at(k)].outcome;
    for (int c = task.given; c >= 0; c = schema.tasks()[at(c)].given) {
      plan.reachable &= windows.labelled().has(c);
      if (windows.labelled().has(c)) plan.conditions.push_back(sources[at(c)].outcome);
    }
    tasks_.add(k);
    list_.push_back(k);
    std::vector<int> types = plan.conditions;
    types.push_back(plan.own);
    for (const int type : types) {
      if (at(type) >= of_type_.size()) of_type_.resize(at(type) + 1);
      std::vector<int>& tasks = of_type_[at(type)];
      if (plan.reachable && !contains(tasks, k)) tasks.push_back(k);
      if (is_at_once(plan.policy) && !contains(at_once, type)) at_once.push_back(type);
    }
  }
  types_at_once_ = static_cast<int>(at_once.size());
}

bool Feedback::condition_holds(const Plan& plan, const WaitingImpression& impression) const {
  return plan.reachable && std::all_of(plan.conditions.begin(), plan.conditions.end(),
                                       [&](int type) { return impression.has_applied(type); });
}

bool Feedback::is_one(const Plan& plan, const WaitingImpression& impression) const {
  return condition_holds(plan, impression) && impression.has_applied(plan.own);
}

void Feedback::set(const WaitingImpression& impression, int task, double label, Origin origin,
                   JoinedRow& row) const {
  row.labels[at(task)] = label;
  row.origin[at(task)] = origin;
  row.condition[at(task)] = condition_holds(plan(task), impression) ? 1 : 0;
}

void Feedback::accepted(const WaitingImpression& impression, JoinedRow& row) const {
  for (const int k : list_) {
    if (is_at_once(plan(k).policy) && !plan(k).on_condition) {
      set(impression, k, 0, Origin::kFirst, row);
    }
  }
}

void Feedback::applied(WaitingImpression& impression, int type, const TaskSet& not_yet,
                       JoinedRow& first, JoinedRow& second) const {
  if (at(type) >= of_type_.size()) return;
  for (const int k : of_type_[at(type)]) {
    const Plan& p = plan(k);
    const bool at_once = is_at_once(p.policy);
    // The letter of the rule for fnw: its first applied outcome, though its label be decided.
    if (!impression.open.has(k) && !(at_once && p.conditions.empty())) continue;
    if (impression.is_carried(k) && !impression.has_passed(k)) continue;
    if (p.policy == FeedbackPolicy::kDfm && !impression.is_carried(k)) continue;
    if (!at_once && (!impression.short_waits || !impression.short_waits->passed.has(k))) continue;
    if (!at_once && not_yet.has(k)) continue;
    if (!condition_holds(p, impression)) continue;
    // Nothing of this type was applied before, so what it takes part in is new.
    const bool begins = p.on_condition && contains(p.conditions, type);
    const bool one = impression.has_applied(p.own);
    if (begins && at_once) {
      set(impression, k, 0, Origin::kFirst, first);
      if (one) set(impression, k, 1, Origin::kLater, second);
    } else if (begins) {
      set(impression, k, one ? 1 : 0, Origin::kFirst, first);
      if (one) impression.short_waits->observed.add(k);
    } else if (one) {
      set(impression, k, 1, Origin::kLater, first);
    }
  }
}

void Feedback::pass(WaitingImpression& impression, EventTime due, JoinedRow& row) const {
  if (!impression.short_waits) impression.short_waits = std::make_unique<ShortWaits>();
  ShortWaits& waits = *impression.short_waits;
  Duration looked_until = waits.looked_until;
  for (const Windows::Look& at_age : windows_.looks()) {
    const int k = at_age.task;
    const bool now = impression.time + at_age.after == due;
    if (!now || !impression.open.has(k) || waits.carried.has(k)) continue;
    if (has_passed(impression, at_age)) continue;
    if (at_age.repeats) {
      look(impression, k, due, row);
      looked_until = at_age.after;
      continue;
    }
    waits.passed.add(k);
    const Plan& p = plan(k);
    if (p.on_condition && !condition_holds(p, impression)) continue;
    const bool one = is_one(p, impression);
    set(impression, k, one ? 1 : 0, Origin::kFirst, row);
    if (one) waits.observed.add(k);
  }
  waits.looked_until = looked_until;
}

TaskSet Feedback::passed_before(EventTime impression, EventTime watermark) const {
  TaskSet passed;
  for (const Windows::Look& look : windows_.looks()) {
    if (impression + look.after < watermark) passed.add(look.task);
  }
  return passed;
}

Feedback::Story Feedback::story_of(const Plan& plan, const WaitingImpression& impression) const {
  const auto first_of = [&](int type) {
    EventTime first = EventTime::after_all();
    if (!impression.has_applied(type)) return first;
    const auto [from, to] = impression.applied->equal_range(type);
    for (auto outcome = from; outcome != to; ++outcome) first = std::min(first, outcome->time);
    return first;
  };
  // An outcome may be a little before its impression.
  EventTime holds = plan.reachable ? impression.time : EventTime::after_all();
  for (const int type : plan.conditions) holds = std::max(holds, first_of(type));
  return {plan.on_condition ? holds : impression.time, std::max(holds, first_of(plan.own))};
}

Duration Feedback::last_look(const WaitingImpression& impression, int task) const {
  Duration last{0};
  for (const Windows::Look& look : windows_.looks()) {
    if (look.task == task && has_passed(impression, look)) last = look.after;
  }
  return last;
}

void Feedback::tell(const WaitingImpression& impression, int task, const Story& story,
                    EventTime end, JoinedRow& row) const {
  if (!story.begins.is_finite()) return;
  row.since[at(task)] = 0;
  if (impression.has_passed(task)) {
    const Duration since = impression.time + last_look(impression, task) - story.begins;
    row.since[at(task)] = static_cast<double>(std::max(since, Duration{0}).count());
  }
  row.until[at(task)] = end == EventTime::after_all()
                            ? std::numeric_limits<double>::infinity()
                            : static_cast<double>((end - story.begins).count());
}

void Feedback::look(WaitingImpression& impression, int task, EventTime now, JoinedRow& row) const {
  ShortWaits& waits = *impression.short_waits;
  const Story story = story_of(plan(task), impression);
  if (waits.observed.has(task) || now < story.begins) return;
  const bool one = story.comes <= now, again = waits.passed.has(task);
  const Origin when_again = one ? Origin::kLater : Origin::kAgain;
  set(impression, task, one ? 1 : 0, again ? when_again : Origin::kFirst, row);
  tell(impression, task, story, one ? story.comes : now, row);
  waits.passed.add(task);
  if (one) waits.observed.add(task);
}

void Feedback::last(const WaitingImpression& impression, int task, double label, bool first_counts,
                    JoinedRow& row) const {
  const bool passed = impression.has_passed(task), one = label == 1;
  if (passed && impression.short_waits->observed.has(task)) return;  // the 1 was trained
  const Origin when_again = one ? Origin::kLater : Origin::kAgain;
  row.labels[at(task)] = label;
  row.origin[at(task)] = passed ? when_again : Origin::kFirst;
  // A cold start has had its 1s at the looks before.
  row.counts[at(task)] = passed || first_counts ? 1 : 0;
  const Story story = story_of(plan(task), impression);
  tell(impression, task, story, one ? story.comes : EventTime::after_all(), row);
}

bool Feedback::has_begun(const WaitingImpression& impression, int task) const {
  const Plan& p = plan(task);
  if (impression.is_carried(task)) return impression.has_passed(task);
  if (p.policy == FeedbackPolicy::kWait) return false;
  if (p.policy == FeedbackPolicy::kDfm) return impression.has_passed(task);
  if (!is_at_once(p.policy) && !impression.has_passed(task)) return false;
  return !p.on_condition || condition_holds(p, impression);
}

void Feedback::decided(const WaitingImpression& impression, int task, double label,
                       bool first_counts, JoinedRow& row) const {
  const Plan& p = plan(task);
  const bool known = !std::isnan(label), carried = impression.is_carried(task);
  if (carried && !impression.has_passed(task)) {
    row.labels[at(task)] = label;
    return;
  }
  const bool counts = known && row.counts[at(task)] != 0;
  if (counts) row.measured[at(task)] = label;
  if (is_at_once(p.policy) || !known || carried) return;
  if (p.policy == FeedbackPolicy::kDfm) return last(impression, task, label, first_counts, row);

  const ShortWaits* waits = impression.short_waits.get();
  const bool passed = waits != nullptr && waits->passed.has(task);
  const bool observed = waits != nullptr && waits->observed.has(task);
  if (counts) {
    std::uint8_t& targets = row.targets[at(task)];
    targets |= target::kDelayedKnown;
    if (label == 1 && !observed) targets |= target::kDelayed;
    if (!observed) targets |= target::kNeverKnown;
    if (!observed && label != 1) targets |= target::kNever;
  }
  const bool defer = p.policy == FeedbackPolicy::kDefer;
  const bool came_later = passed && !observed && label == 1;  // its second row was that 1
  if (passed && defer && !came_later) {
    row.labels[at(task)] = label;
    row.origin[at(task)] = Origin::kAgain;
  } else if (!passed) {
    // A condition decided it before its short wait: this is its first row.
    row.labels[at(task)] = label;
    row.origin[at(task)] = defer ? Origin::kTwice : Origin::kFirst;
    row.counts[at(task)] = first_counts ? 1 : 0;
  }
}

}  // namespace millrace
