#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "learner/train/task_watch.h"

namespace millrace {

/// Learning of one task, or of all, that is frozen; `reason` is kNone where it is not.
struct Freeze {
  FreezeReason reason = FreezeReason::kNone;
  EventTime since = EventTime::before_all();  ///< Event time of the last row before.
  std::string text;                           ///< For people.
  std::uint64_t rows = 0;                     ///< Passed over since then.

  bool on() const { return reason != FreezeReason::kNone; }
};

/// A batch that updated nothing because its loss or gradient was not finite.
struct SkippedBatch {
  EventTime first, last;  ///< Due times of its first and last row.
  std::uint64_t rows = 0;
  std::string task;    ///< Whose loss it was; empty: the gradient.
  std::string reason;  ///< "loss" or "gradient".
};

/// The state of a model's guardrails, as operators see it.
struct GuardrailReport {
  Freeze learning;            ///< Of all tasks.
  Freeze pause;               ///< While too many records are dead letters.
  std::vector<Freeze> tasks;  ///< By task.
  /// Rows with the task's label that it did not learn from, since the store began; by task.
  std::vector<std::uint64_t> passed_over;
  std::array<std::uint64_t, kFreezeReasons> freezes{};  ///< By reason, since the store began.
  std::uint64_t skipped_in_a_row = 0;
  std::vector<SkippedBatch> quarantine;  ///< The last ones, oldest first.
  /// Why no version may leave now ("unbounded"); empty: it may.
  std::string held;
};

}  // namespace millrace
