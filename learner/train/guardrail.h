#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/train/guardrail_options.h"
#include "learner/train/guardrail_report.h"
#include "learner/train/task_losses.h"
#include "learner/train/task_watch.h"

namespace millrace {

/// Decides, from the data and an administrator's commands alone, what of a model learns.
///
/// A task is frozen by its watch (TaskWatch), all tasks by `not_finite.limit` skipped batches in a
/// row, by a hold of versions that lasts for `publish.hold` rows, or for the time in which the
/// batches say that too many records are dead letters. What a freeze means is the trainer's part:
/// rows are scored and measured, and the task's labels have no weight.
/// Rows that weigh nothing (guardrails.user_cap) do not count here: what is not learned from
/// decides nothing of learning either. A freeze ends by `resume`; one for silence also by itself,
/// when positives come back.
///
/// Once a batch: `begin`, then either `skipped`, or `add` and what was done: `stepped`, or nothing.
/// What a batch shows holds from the next one on.
///
/// State: the value "guardrails" (what decides, in the digest), and "guardrail_notes" (counts and
/// the quarantine, not in it). Memory: a few numbers a task, and the quarantine.
/// Threads: one at a time.
class Guardrail {
 public:
  /// Borrows both.
  Guardrail(const Schema& schema, const GuardrailOptions& options);

  /// Whether a task learns from this batch, by task. One that has not joined (`joined`, by task;
  /// empty: all have) does not, and is not watched.
  const std::vector<std::uint8_t>& begin(const Batch& batch,
                                         std::span<const std::uint8_t> joined = {});
  /// The same between two batches, and after a restart, by what is known then.
  const std::vector<std::uint8_t>& refresh(std::span<const std::uint8_t> joined);
  const std::vector<std::uint8_t>& learns() const { return learns_; }

  /// The batch was skipped; `task`: whose loss is not finite, or −1 for a gradient.
  void skipped(const Batch& batch, int task);

  /// The batch was scored: z [rows, T] and `losses` are of it. Counts what is passed over.
  void add(const Batch& batch, View<const float> z, const TaskLosses& losses);

  /// The batch was learned: the norms of the dense weights and of their change, and the largest
  /// weight of all that was touched (NaN: one is not finite).
  void stepped(const Batch& batch, double norm, double change, double largest);

  /// An administrator's commands. No task: all of learning; `resume` then ends every freeze,
  /// and lets versions leave.
  void freeze(std::optional<int> task, std::string text);
  /// Returns whether anything was frozen. What froze the task is watched anew, from a warm-up on.
  bool resume(std::optional<int> task);

  /// Whether a step beyond the bounds, or a task frozen for its loss, stands against a version:
  /// until a quarter of `publish.hold` rows were learned since, all that learn have their usual
  /// loss, and none that was frozen for its loss is beyond `publish.max_loss` times its own.
  bool holds_versions() const { return hold_.on != 0; }
  /// The usual loss of a task; nothing before a first mean.
  std::optional<double> usual_loss(int task) const;

  GuardrailReport report() const;
  /// What has changed, for the log; each once.
  std::vector<std::string> take_notices() { return std::exchange(notices_, {}); }

  void save(StateChanges& changes) const;
  /// Returns whether the value is one of the guardrails'. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  void freeze(Freeze& what, const std::string& name, FreezeReason reason, std::string text);
  bool resume(Freeze& what, const std::string& name, std::string_view why);
  void pause(bool paused);
  void hold(std::uint8_t cause, const std::string& why);
  bool all_usual() const;
  bool is_far_off(int task) const;
  void watch_row(int task, double label, double prediction, std::optional<double> loss);
  std::string name_of(int task) const;

  const Schema& schema_;
  const GuardrailOptions& options_;
  std::vector<TaskWatch> watches_;
  Freeze learning_, pause_;
  std::vector<Freeze> tasks_;
  EventTime now_ = EventTime::before_all();  ///< The last batch's due time.
  /// Versions are held since a step beyond the bounds, or a task that was frozen for its loss.
  struct Hold {
    std::uint8_t on = 0;             ///< 1: for a task's loss; 2: for a step.
    double rows = 0, good_rows = 0;  ///< Learned since it began; since the last cause of it.
  } hold_;
  double usual_norm_ = 0;  ///< What a step's change is measured by; 0: before a first step.
  std::uint64_t skipped_in_a_row_ = 0;

  std::deque<SkippedBatch> quarantine_;
  std::vector<std::uint64_t> passed_over_;
  std::array<std::uint64_t, kFreezeReasons> freezes_{};
  std::vector<std::uint8_t> learns_, joined_;
  std::vector<std::string> notices_;
  /// For the log alone, and not kept: the batches skipped of late, and the others since the last.
  std::uint64_t skips_ = 0, good_since_skip_ = 0;
};

/// What a store holds of a model's guardrails, for whoever has no model.
struct SavedGuardrails {
  std::vector<std::string> tasks;
  GuardrailReport report;
};
/// From both values. Error: throws StateError.
SavedGuardrails read_guardrails(std::string_view state, std::string_view notes);

/// The value "guardrails" of a model of `old_tasks` tasks for another list of tasks, of which task
/// k was old_of[k] before, or −1: what was known of a task, frozen or not, is kept; a new one
/// starts. Error: throws StateError.
std::string migrate_guardrails(std::string_view bytes, std::size_t old_tasks,
                               const std::vector<int>& old_of);

}  // namespace millrace
