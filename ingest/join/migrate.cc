#include "ingest/join/migrate.h"

#include <memory>
#include <string>
#include <utility>

#include "ingest/join/state_values.h"

namespace millrace {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

std::string_view outcome_name(const JoinShape& shape, int task) {
  const int type = shape.labels[at(task)].outcome;
  return type < 0 ? std::string_view() : shape.types.outcomes[at(type)].name;
}

ShortWaits& short_waits_of(WaitingImpression& impression) {
  if (!impression.short_waits) impression.short_waits = std::make_unique<ShortWaits>();
  return *impression.short_waits;
}

}  // namespace

JoinMigration::JoinMigration(const JoinShape& from, const JoinShape& to)
    : from_(from),
      to_(to),
      from_windows_(from.schema, from.types, from.labels, Duration{0}),
      from_feedback_(from.schema, from_windows_, from.labels),
      transcode_(from.schema, to.schema) {
  new_task_.assign(from.schema.tasks().size(), -1);
  for (int k = 0; k < static_cast<int>(to.schema.tasks().size()); ++k) {
    const int source = from.schema.find_task(to.schema.tasks()[at(k)].name);
    tasks_.push_back(source >= 0 && is_same(source, k) ? source : -1);
    if (tasks_.back() >= 0) new_task_[at(source)] = k;
  }
  for (const OutcomeType& type : from.types.outcomes) {
    new_type_.push_back(-1);
    for (std::size_t t = 0; t < to.types.outcomes.size(); ++t) {
      if (to.types.outcomes[t].name == type.name) new_type_.back() = static_cast<int>(t);
    }
  }
  used_type_.assign(to.types.outcomes.size(), false);
  for (const LabelSource& label : to.labels) {
    if (label.outcome >= 0) used_type_[at(label.outcome)] = true;
  }
}

bool JoinMigration::is_same(int old_task, int new_task) const {
  const Task& a = from_.schema.tasks()[at(old_task)];
  const Task& b = to_.schema.tasks()[at(new_task)];
  if (a.name != b.name || a.kind != b.kind || a.entire_space != b.entire_space ||
      outcome_name(from_, old_task) != outcome_name(to_, new_task)) {
    return false;
  }
  if (a.given < 0 || b.given < 0) return a.given < 0 && b.given < 0;
  return is_same(a.given, b.given);
}

bool JoinMigration::is_same_policy(int old_task, int new_task) const {
  const Task& a = from_.schema.tasks()[at(old_task)];
  const Task& b = to_.schema.tasks()[at(new_task)];
  return a.policy == b.policy && (!has_short_wait(a.policy) || a.short_wait == b.short_wait);
}

// An open label and what its policy has said of it.
void JoinMigration::carry(const WaitingImpression& old, int old_task, int new_task,
                          WaitingImpression& moved) {
  moved.open.add(new_task);
  const bool same = is_same_policy(old_task, new_task);
  const bool waits = to_.schema.tasks()[at(new_task)].policy == FeedbackPolicy::kWait;
  const bool begun = from_feedback_.has_begun(old, old_task);
  if (!same && waits && !begun) return;
  const bool carried = !same || old.is_carried(old_task);
  const bool passed = same ? old.has_passed(old_task) : begun;
  if (!same && waits) ++dropped_labels_;
  const bool looks = to_.schema.tasks()[at(new_task)].policy == FeedbackPolicy::kDfm;
  if (same && looks && old.short_waits && old.short_waits->looked_until >= Duration{0}) {
    short_waits_of(moved).looked_until = old.short_waits->looked_until;
  }
  if (!carried && !passed) return;
  ShortWaits& state = short_waits_of(moved);
  if (carried) state.carried.add(new_task);
  if (passed) state.passed.add(new_task);
  if (same && passed && old.short_waits->observed.has(old_task)) state.observed.add(new_task);
}

// fnw and fnc take a first outcome though the label be decided: not where another policy decided it
// or, of a new task, nothing ever did.
void JoinMigration::end_decided(const WaitingImpression& old, WaitingImpression& moved) const {
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    const Task& task = to_.schema.tasks()[at(k)];
    const bool at_once = task.policy == FeedbackPolicy::kFnw || task.policy == FeedbackPolicy::kFnc;
    if (!at_once || task.given >= 0 || moved.open.has(k)) continue;
    const int source = tasks_[at(k)];
    if (source >= 0 && is_same_policy(source, k) && !old.is_carried(source)) continue;
    short_waits_of(moved).carried.add(k);
  }
}

bool JoinMigration::has_more_to_say(const WaitingImpression& moved) const {
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    const bool waits = to_.schema.tasks()[at(k)].policy == FeedbackPolicy::kWait;
    if (moved.open.has(k) && !(waits && moved.is_carried(k))) return true;
  }
  return false;
}

std::optional<WaitingImpression> JoinMigration::impression(std::string_view id,
                                                           std::string_view value) {
  const int old_tasks = static_cast<int>(new_task_.size());
  WaitingImpression old = read_impression(id, value, from_.types, old_tasks);
  WaitingImpression moved{.id = std::move(old.id),
                          .time = old.time,
                          .features = transcode_(old.features),
                          .weight = old.weight,
                          .user = old.user,
                          .open = {}};
  for (int k = 0; k < old_tasks; ++k) {
    if (!old.open.has(k)) continue;
    const int task = new_task_[at(k)];
    if (task < 0) {
      ++dropped_labels_;
      continue;
    }
    carry(old, k, task, moved);
  }
  if (!has_more_to_say(moved)) {
    ++finished_;
    return std::nullopt;
  }
  end_decided(old, moved);
  if (!old.applied) return moved;
  for (const KeptOutcome& outcome : *old.applied) {
    const int type = new_type_[at(outcome.type)];
    if (type < 0) continue;
    if (!moved.applied) moved.applied = std::make_unique<AppliedOutcomes>();
    KeptOutcome kept = outcome;
    kept.type = type;
    moved.applied->insert(std::move(kept));
  }
  return moved;
}

std::vector<KeptOutcome> JoinMigration::outcomes(std::string_view value) {
  std::vector<KeptOutcome> moved;
  for (KeptOutcome& outcome : read_outcomes(value, from_.types)) {
    const int type = new_type_[at(outcome.type)];
    if (type < 0 || !used_type_[at(type)]) {
      ++dropped_outcomes_;
      continue;
    }
    outcome.type = type;
    moved.push_back(std::move(outcome));
  }
  return moved;
}

}  // namespace millrace
