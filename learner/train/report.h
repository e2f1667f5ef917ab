#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "learner/data/schema.h"
#include "learner/evaluate/division.h"
#include "learner/evaluate/figures.h"
#include "learner/evaluate/gate_watch.h"
#include "learner/evaluate/importance.h"
#include "learner/evaluate/output_metrics.h"
#include "learner/publish/publication.h"
#include "learner/relation/report.h"
#include "learner/train/business.h"
#include "learner/train/guardrail_report.h"

namespace millrace {

/// What recalibration makes of a task's own output: the line that is served now, and the figures of
/// what was served.
struct RecalibratedReport {
  LogitLine line;
  OutputReport output;
};

/// What is known of one task; the figures are those of its own output.
struct TaskReport : OutputReport {
  std::string name;
  TaskKind kind = TaskKind::kBinary;
  bool binary = true;
  /// The product over the chain of conditions on all rows; for tasks over the entire space.
  std::optional<OutputReport> entire;
  std::optional<RecalibratedReport> recalibrated;  ///< Of tasks in train.recalibrate.
  /// Of `entire`, where the condition is measured over all impressions, too.
  std::optional<DivisionReport> by_division;
  double weight = 1;           ///< What the balancer gives the task now.
  std::optional<double> loss;  ///< Mean loss of the last batch that had the label.
  double label_share = 0;      ///< Share of rows with the label, π_k, matured stream.
};

/// The weighted mean of the tasks' scores (evaluate/composite.h) over one window.
struct CompositeReport {
  std::string window;  ///< "all", "window", "last_fifth", "1h" …
  std::optional<double> value;
};

/// What is known of one embedding table.
struct TableReport {
  std::string name;
  std::uint64_t rows = 0, admitted = 0, expired = 0, refused = 0, evicted = 0, bytes = 0;
};

/// First scores that wait for labels trained early (train/first_scores.h).
struct ScoresReport {
  std::uint64_t waiting = 0, bytes = 0;
  std::uint64_t bytes_each = 0;  ///< 0 where no task needs them.
  std::uint64_t missed = 0;      ///< Labels that had none, since the store began.
};

/// One auxiliary net of es_dfm, defer, defuse or dfm.
struct HeadReport {
  std::string task;
  std::string head;  ///< "delayed", "never" or "rate".
  double loss = 0;   ///< Mean of the last batch with targets.
};

struct TrainerReport {
  std::string model;
  RelationReport relations;
  GuardrailReport guardrails;
  std::vector<TaskReport> tasks;
  std::vector<TableReport> tables;
  std::uint64_t steps = 0, rows = 0, skipped = 0;
  ScoresReport scores;
  std::vector<HeadReport> heads;
  std::vector<CompositeReport> composite;
  std::vector<BusinessReport> business;
  std::vector<GateReport> gates;
  ImportanceReport importance;  ///< Without a feature where it is not measured.
};

/// What the trainer counts while it works: plain numbers, written by its one thread, read by any.
/// ops/metrics gives them names, units and labels; the learner knows no Prometheus.
struct TrainerProbe {
  std::atomic<std::uint64_t> rows{0};
  std::atomic<std::uint64_t> steps{0};
  std::atomic<std::uint64_t> steps_skipped_not_finite{0};
  std::atomic<double> step_seconds_total{0};
};

}  // namespace millrace
