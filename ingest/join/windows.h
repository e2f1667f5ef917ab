#pragma once

#include <span>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/label_source.h"
#include "ingest/join/task_set.h"
#include "learner/base/time.h"
#include "learner/data/schema.h"

namespace millrace {

/// Which label matures when, and which outcomes belong to an impression (contract/join.md,
/// Impression and Outcome).
///
/// A task's due time is its impression's time plus `offset`: the window of its outcome, but no
/// earlier than the due time of the task it is given. A task without an outcome takes its labels
/// from samples alone: it has no due time and is never decided; a task given such a one is decided
/// at its own due time, with a condition that is missing.
/// Immutable; any thread.
class Windows {
 public:
  /// `labels` is parallel to schema.tasks(). Windows and lateness beyond 2^62 ms are cut there, so
  /// that no sum of times overflows.
  Windows(const Schema& schema, const EventTypes& types, std::span<const LabelSource> labels,
          Duration allowed_lateness);

  /// Tasks that impressions have labels of.
  const TaskSet& labelled() const { return labelled_; }
  /// Those of them that take their label from this type of outcome.
  const TaskSet& tasks_of(int type) const { return tasks_of_[static_cast<std::size_t>(type)]; }
  bool is_used(int type) const { return !tasks_of(type).empty(); }

  /// Tasks with a label, conditions before what is given them, in ascending order of offset.
  const std::vector<int>& order() const { return order_; }
  /// Due time − impression's time. Requires: the task has a label from impressions.
  Duration offset(int task) const { return offset_[static_cast<std::size_t>(task)]; }

  /// An impression's labels are looked at so long after it, before they are due.
  struct Look {
    Duration after;
    int task;
    bool repeats;  ///< One of several at this task's label.
  };
  /// Of the labelled tasks with a short wait (Task::short_wait), in ascending order of `after`: at
  /// the short wait; under dfm again and again, each time kLookGrowth times as late, while that is
  /// before the label is due.
  const std::vector<Look>& looks() const { return looks_; }
  static constexpr int kLookGrowth = 4;
  /// It ends no later than the label is due.
  Duration short_wait(int task) const { return short_wait_[static_cast<std::size_t>(task)]; }

  /// The earliest due time of the `open` tasks of an impression at `time`; after_all() of none.
  EventTime next_due(EventTime time, const TaskSet& open) const;

  Duration window(int type) const { return window_[static_cast<std::size_t>(type)]; }
  /// −allowed_lateness ≤ u − t ≤ window of the type.
  bool is_inside(int type, EventTime impression, EventTime outcome) const;
  /// The last W at which an outcome still waits for its impression.
  EventTime waits_until(EventTime outcome) const { return outcome + lateness_; }
  Duration allowed_lateness() const { return lateness_; }

 private:
  TaskSet labelled_;
  std::vector<TaskSet> tasks_of_;
  std::vector<Duration> window_;  // by type
  std::vector<Duration> offset_;  // by task
  std::vector<int> order_;
  std::vector<Look> looks_;
  std::vector<Duration> short_wait_;  // by task
  Duration lateness_;
};

}  // namespace millrace
