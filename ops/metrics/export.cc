#include "ops/metrics/export.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "ops/metrics/evaluation.h"
#include "ops/metrics/families.h"
#include "ops/metrics/relations.h"

namespace millrace {
namespace {

double count(const std::atomic<std::uint64_t>& value) {
  return static_cast<double>(value.load(std::memory_order_relaxed));
}
double count(std::uint64_t value) { return static_cast<double>(value); }
double seconds(EventTime time) { return static_cast<double>(time.ms) / 1000; }

void add_process(EventTime started, MetricFamilies& out) {
  out.add("millrace_build_info", {{"version", MILLRACE_VERSION}}, 1);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  out.add("process_cpu_seconds_total", {}, of(usage.ru_utime) + of(usage.ru_stime));
  std::ifstream statm("/proc/self/statm");
  long pages = 0, resident = 0;
  statm >> pages >> resident;
  out.add("process_resident_memory_bytes", {},
          static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)));
  out.add("process_start_time_seconds", {}, seconds(started));
}

void add_ingest(const EngineStatus& status, const PipelineProbe& pipeline, MetricFamilies& out) {
  for (const PartitionStatus& of : status.partitions) {
    const std::string partition = std::to_string(of.input.partition);
    out.add("millrace_partition_position", {{"topic", of.input.topic}, {"partition", partition}},
            static_cast<double>(of.position));
    out.add("millrace_partition_lag", {{"topic", of.input.topic}, {"partition", partition}},
            static_cast<double>(of.lag));
  }
  for (std::size_t reason = 0; reason < status.losses.size(); ++reason) {
    const std::string_view name = kLossReasonNames[reason];
    const auto& lost = status.losses[reason];
    out.add("millrace_lost_ranges_total", {{"reason", name}}, count(lost.ranges));
    out.add("millrace_lost_offsets_total", {{"reason", name}}, count(lost.offsets));
  }
  out.add("millrace_partitions_left_out_total", {}, count(status.left_out));
  out.add("millrace_dead_letters_waiting", {}, count(status.dead_letters_waiting));
  out.add("millrace_taking_paused_total", {}, count(pipeline.pauses));
  out.add("millrace_features_missing_total", {}, count(status.decoded.missing_features));
  out.add("millrace_features_unknown_total", {}, count(status.decoded.unknown_features));
  out.add("millrace_labels_unknown_total", {}, count(status.decoded.unknown_labels));
}

void add_accounts(const Accounts& accounts, MetricFamilies& out) {
  out.add("millrace_events_taken_total", {}, count(accounts.events));
  for (std::size_t reason = 0; reason < kReasonNames.size(); ++reason) {
    out.add("millrace_dead_letters_total", {{"reason", kReasonNames[reason]}},
            count(accounts.dead_letters[reason]));
  }
  auto add = [&](std::string_view type, std::string_view result, std::uint64_t value) {
    out.add("millrace_events_total", {{"type", type}, {"result", result}}, count(value));
  };
  const Accounts::Impressions& i = accounts.impressions;
  add("impression", "late", i.late);
  add("impression", "duplicate", i.duplicate);
  add("impression", "finished", i.finished);
  const Accounts::Outcomes& o = accounts.outcomes;
  add("outcome", "late", o.late);
  add("outcome", "duplicate", o.duplicate);
  add("outcome", "out_of_window", o.out_of_window);
  add("outcome", "unmatched", o.unmatched);
  add("outcome", "unused", o.unused);
  add("outcome", "applied", o.applied);
  add("sample", "in", accounts.samples);
  out.add("millrace_waiting", {{"kind", "impressions"}}, count(i.waiting));
  out.add("millrace_waiting", {{"kind", "outcomes"}}, count(o.waiting));
  out.add("millrace_rows_total", {}, count(accounts.rows));
}

void add_label_delays(const LabelDelays& of_all, const Config& config, MetricFamilies& out) {
  const std::vector<LabelDelays::Of> delays = of_all.all();
  for (const LabelDelays::Of& of : delays) {
    out.add("millrace_outcomes_out_of_window_total", {{"outcome", of.name}},
            count(of.out_of_window));
  }
  for (std::size_t k = 0; k < config.tasks.size(); ++k) {
    const int outcome = config.labels[k].outcome;
    if (outcome < 0) continue;
    const LabelDelays::Of& of = delays[static_cast<std::size_t>(outcome)];
    for (int part = 0; part < LabelDelays::kParts && of.applied() > 0; ++part) {
      out.add("millrace_label_coverage_ratio",
              {{"task", config.tasks[k].name}, {"within", label_delay_part(part)}}, of.share(part));
    }
  }
}

void add_join(const Engine& engine, EventTime now, MetricFamilies& out) {
  const PipelineProbe& probe = engine.pipeline();
  const EventTime watermark{probe.watermark_ms}, newest{probe.newest_ms};
  if (watermark.is_finite()) {
    out.add("millrace_watermark_timestamp_seconds", {}, seconds(watermark));
    out.add("millrace_watermark_lag_seconds", {}, seconds(now) - seconds(watermark));
    out.add("millrace_newest_event_timestamp_seconds", {}, seconds(newest));
  }
  out.add("millrace_clock_steps_total", {}, count(probe.clock_steps));
  out.add("millrace_join_memory_bytes", {}, count(probe.join_bytes));
  out.add("millrace_join_memory_limit_bytes", {},
          static_cast<double>(engine.config().join.memory.value));
  out.add("millrace_join_impressions", {{"place", "memory"}}, count(probe.join_in_memory));
  out.add("millrace_join_impressions", {{"place", "store"}}, count(probe.join_in_store));
  out.add("millrace_join_history_entries", {{"kind", "refused"}}, count(probe.join_refusals_kept));
  out.add("millrace_join_history_entries", {{"kind", "decided"}}, count(probe.join_decisions_kept));
  out.add("millrace_join_store_blocks", {}, count(probe.join_blocks));
  out.add("millrace_join_store_bytes", {}, count(probe.join_store_bytes));
  const std::uint64_t lookups = probe.join_lookups, spared = probe.join_lookups_spared;
  out.add("millrace_join_store_lookups_total", {{"result", "spared"}}, count(spared));
  out.add("millrace_join_store_lookups_total", {{"result", "read"}},
          count(std::max(lookups, spared) - spared));
  out.add("millrace_join_store_reads_total", {}, count(probe.join_block_reads));
  out.add("millrace_join_store_loads_total", {}, count(probe.join_block_loads));
  out.add("millrace_join_store_waits_total", {}, count(engine.joins_waited()));
  out.add("millrace_batches_total", {}, count(engine.batches()));
  for (std::size_t stage = 0; stage < kStageNames.size(); ++stage) {
    out.add("millrace_stage_seconds_total", {{"stage", kStageNames[stage]}},
            engine.stages().seconds(static_cast<Stage>(stage)));
  }
}

void add_task(std::string_view model, const TaskReport& task, MetricFamilies& out) {
  out.add("millrace_task_rows_total", {{"model", model}, {"task", task.name}},
          count(task.all.rows));
  if (task.binary) {
    out.add("millrace_task_positives_total", {{"model", model}, {"task", task.name}},
            count(task.all.positives));
  }
  add_output(model, task.name, "own", task, out);
  if (task.entire) add_output(model, task.name, "entire", *task.entire, out);
  if (task.recalibrated) {
    const auto& [line, output] = *task.recalibrated;
    add_output(model, task.name, "recalibrated", output, out);
    const MetricFamilies::Labels labels{{"model", model}, {"task", task.name}};
    out.add("millrace_task_recalibration_slope", labels, double{line.slope});
    out.add("millrace_task_recalibration_shift", labels, double{line.shift});
  }
  if (task.by_division) add_division(model, task.name, *task.by_division, out);
  out.add("millrace_task_weight", {{"model", model}, {"task", task.name}}, task.weight);
  if (task.loss) {
    out.add("millrace_task_loss", {{"model", model}, {"task", task.name}}, *task.loss);
  }
  out.add("millrace_task_label_ratio", {{"model", model}, {"task", task.name}}, task.label_share);
}

void add_guardrails(const TrainerReport& report, MetricFamilies& out) {
  const GuardrailReport& guards = report.guardrails;
  const std::string& model = report.model;
  for (int r = 1; r < kFreezeReasons; ++r) {
    const auto reason = static_cast<FreezeReason>(r);
    const std::string_view name = to_string(reason);
    const bool all = guards.learning.reason == reason || guards.pause.reason == reason;
    out.add("millrace_learning_frozen", {{"model", model}, {"reason", name}}, all ? 1 : 0);
    out.add("millrace_freezes_total", {{"model", model}, {"reason", name}},
            count(guards.freezes[static_cast<std::size_t>(r)]));
    for (std::size_t k = 0; k < report.tasks.size(); ++k) {
      out.add("millrace_task_frozen",
              {{"model", model}, {"task", report.tasks[k].name}, {"reason", name}},
              guards.tasks[k].reason == reason ? 1 : 0);
    }
  }
  for (std::size_t k = 0; k < report.tasks.size(); ++k) {
    out.add("millrace_task_rows_passed_over_total",
            {{"model", model}, {"task", report.tasks[k].name}}, count(guards.passed_over[k]));
  }
  out.add("millrace_quarantined_batches", {{"model", model}},
          static_cast<double>(guards.quarantine.size()));
}

void add_model(const TrainerReport& of, const TrainerProbe& probe,
               std::uint64_t impressions_waiting, MetricFamilies& out) {
  const TrainerReport* report = &of;
  const std::string& model = report->model;
  out.add("millrace_train_rows_total", {{"model", model}}, count(probe.rows));
  out.add("millrace_train_steps_total", {{"model", model}}, count(probe.steps));
  out.add("millrace_train_steps_skipped_total", {{"model", model}, {"reason", "not_finite"}},
          count(probe.steps_skipped_not_finite));
  out.add("millrace_train_seconds_total", {{"model", model}}, probe.step_seconds_total);
  out.add("millrace_feedback_scores", {{"model", model}}, count(report->scores.waiting));
  out.add("millrace_feedback_score_bytes", {{"model", model}}, count(report->scores.bytes));
  out.add("millrace_feedback_score_limit_bytes", {{"model", model}},
          count(impressions_waiting * report->scores.bytes_each));
  out.add("millrace_feedback_scores_missed_total", {{"model", model}},
          count(report->scores.missed));
  for (const HeadReport& head : report->heads) {
    out.add("millrace_feedback_head_loss",
            {{"model", model}, {"task", head.task}, {"head", head.head}}, head.loss);
  }
  add_guardrails(*report, out);
  add_evaluation(*report, out);
  for (const TaskReport& task : report->tasks) add_task(model, task, out);
  add_relations(*report, out);
  for (const TableReport& table : report->tables) {
    auto add = [&](std::string_view name, std::uint64_t value) {
      out.add(name, {{"model", model}, {"table", table.name}}, count(value));
    };
    add("millrace_embedding_rows", table.rows);
    add("millrace_embedding_bytes", table.bytes);
    add("millrace_embedding_admitted_total", table.admitted);
    add("millrace_embedding_expired_total", table.expired);
    add("millrace_embedding_refused_total", table.refused);
    add("millrace_embedding_evicted_total", table.evicted);
  }
}

void add_learner(const Engine& engine, std::uint64_t impressions_waiting, MetricFamilies& out) {
  out.add("millrace_train_queue_batches", {}, count(engine.queued()));
  out.add("millrace_train_queue_capacity_batches", {}, count(engine.queue_capacity()));
  const std::shared_ptr<const TrainerReports> reports = engine.reports();
  for (std::size_t m = 0; m < reports->models.size(); ++m) {
    add_model(reports->models[m], engine.trainer(m), impressions_waiting, out);
    out.add("millrace_champion", {{"model", reports->models[m].model}},
            m == reports->champion_index ? 1 : 0);
  }
  for (const TransferReport& twin : reports->twins) {
    const std::string& model = reports->champion().model;
    auto add = [&](std::string_view name, double value) {
      out.add(name, {{"model", model}, {"task", twin.task}}, value);
    };
    add("millrace_transfer_alarm", twin.alarm ? 1 : 0);
    add("millrace_transfer_loss_difference", twin.difference);
    add("millrace_transfer_loss_margin", twin.margin);
    for (const auto& [name, alarms] : twin.by_model) {
      out.add("millrace_transfer_alarms_total", {{"model", name}, {"task", twin.task}},
              count(alarms));
    }
  }
}

void add_store(const Engine& engine, std::uint64_t past_failures, MetricFamilies& out) {
  const StoreProbe& probe = engine.store().probe();
  out.add("millrace_commit_sequence", {}, count(engine.store().sequence()));
  out.add("millrace_commits_total", {}, count(probe.commits));
  out.add("millrace_commit_failures_total", {}, count(past_failures + probe.failures));
  out.add("millrace_commit_seconds_total", {}, probe.commit_seconds_total);
  out.add("millrace_commit_bytes_total", {}, count(probe.commit_bytes));
  out.add("millrace_store_blocks", {}, count(probe.blocks));
  out.add("millrace_store_block_bytes", {}, count(probe.block_bytes));
  out.add("millrace_store_live_bytes", {}, count(probe.live_bytes));
  out.add("millrace_snapshots_total", {}, count(probe.snapshots));
  out.add("millrace_side_file_failures_total", {}, count(probe.side_file_failures));
  const auto lost = engine.store().lost();
  out.add("millrace_lost_commits", {}, lost ? count(lost->acknowledged - lost->recovered) : 0);
}

void add_learning(const LearningStatus& learning, MetricFamilies& out) {
  using State = LearningStatus::State;
  out.add("millrace_learning_stopped", {}, learning.state == State::kRunning ? 0 : 1);
  for (int state = 0; state < int{std::size(kLearningStates)}; ++state) {
    out.add("millrace_learning_state", {{"state", kLearningStates[state]}},
            learning.state == static_cast<State>(state) ? 1 : 0);
  }
  out.add("millrace_learning_restarts_total", {}, count(learning.restarts));
}

void add_rollbacks(const std::array<Supervisor::Rollbacks, 2>& rollbacks, MetricFamilies& out) {
  for (const Offsets offsets : {Offsets::kRewind, Offsets::kKeep}) {
    const Supervisor::Rollbacks& of = rollbacks[static_cast<std::size_t>(offsets)];
    const std::string_view name = offsets == Offsets::kKeep ? "keep" : "rewind";
    out.add("millrace_rollbacks_total", {{"offsets", name}, {"result", "done"}}, count(of.done));
    out.add("millrace_rollbacks_total", {{"offsets", name}, {"result", "refused"}},
            count(of.refused));
  }
}

void add_publisher(const Engine& engine, MetricFamilies& out) {
  const PublisherProbe& probe = engine.publisher();
  out.add("millrace_publications_total", {}, count(probe.publications));
  for (std::size_t r = 0; r < kHeldReasons.size(); ++r) {
    out.add("millrace_publications_held_total", {{"reason", kHeldReasons[r]}},
            count(engine.held(r)));
  }
  out.add("millrace_publish_seconds", {}, probe.last_seconds);
  if (probe.published_ms != 0) {
    out.add("millrace_publish_timestamp_seconds", {}, seconds({probe.published_ms}));
  }
}

void add_serving(const ServingModel& serving, EventTime now, MetricFamilies& out) {
  if (serving.has_version()) {
    const ServingModel::Pin pin = serving.pin();
    out.add("millrace_version_commit", {}, count(pin.version().commit));
    out.add("millrace_version_publication", {}, count(pin.version().publication));
    if (pin.seen().is_finite()) {
      out.add("millrace_version_age_seconds", {}, seconds(now) - seconds(pin.seen()));
    }
  }
  out.add("millrace_serving_rows", {}, count(serving.rows()));
  out.add("millrace_serving_bytes", {}, 2 * count(serving.bytes()));
}

// Who answers, by name or for the champion, and with which version.
void add_served_models(const ServiceMetrics& service, EventTime now, MetricFamilies& out) {
  const ServingModel& champion = *service.serving;
  for (const std::string& name : service.models) {
    std::shared_ptr<const ServingModel> model;
    bool answers = false;
    if (champion.has_version()) {
      const std::shared_ptr<const ServedShape> shape = champion.pin().shape();
      answers = shape == nullptr || shape->model == name;
      if (answers) model = {std::shared_ptr<void>(), &champion};
    }
    if (model == nullptr && service.served != nullptr) model = service.served->find(name);
    out.add("millrace_served", {{"model", name}}, answers ? 1 : 0);
    if (model == nullptr) continue;
    const ServingModel::Pin pin = model->pin();
    const auto add = [&](std::string_view family, double value) {
      out.add(family, {{"model", name}}, value);
    };
    add("millrace_model_version_commit", count(pin.version().commit));
    add("millrace_model_version_publication", count(pin.version().publication));
    if (pin.seen().is_finite()) {
      add("millrace_model_version_age_seconds", seconds(now) - seconds(pin.seen()));
    }
  }
}

void add_serve(const ServeProbe& probe, MetricFamilies& out) {
  constexpr std::array<std::string_view, 6> kClasses{"", "1xx", "2xx", "3xx", "4xx", "5xx"};
  for (std::size_t route = 0; route < static_cast<std::size_t>(kRoutes); ++route) {
    for (const std::size_t status : {2UL, 4UL, 5UL}) {
      out.add("millrace_requests_total",
              {{"route", route_name(static_cast<Route>(route))}, {"status", kClasses[status]}},
              count(probe.answers[route][status]));
    }
  }
  out.add("millrace_request_seconds", {{"stage", "queue"}}, probe.queue);
  out.add("millrace_request_seconds", {{"stage", "input"}}, probe.input);
  out.add("millrace_request_seconds", {{"stage", "compute"}}, probe.compute);
  out.add("millrace_request_seconds", {{"stage", "output"}}, probe.output);
  out.add("millrace_request_seconds", {{"stage", "total"}}, probe.total);
  out.add("millrace_scored_candidates_total", {}, count(probe.candidates));
  out.add("millrace_scored_keys_total", {}, count(probe.keys));
  out.add("millrace_scored_keys_unknown_total", {}, count(probe.unknown_keys));
  out.add("millrace_scored_features_unknown_total", {}, count(probe.unknown_features));
  out.add("millrace_scores_not_finite_total", {}, count(probe.not_finite));
  for (std::size_t r = 0; r < kJoinQuestionResults.size(); ++r) {
    out.add("millrace_join_questions_total", {{"result", kJoinQuestionResults[r]}},
            count(probe.join_questions[r]));
  }
  out.add("millrace_connections", {}, count(probe.connections));
  out.add("millrace_connections_refused_total", {}, count(probe.connections_refused));
}

}  // namespace

std::string export_service(const ServiceMetrics& service, EventTime now) {
  MetricFamilies out;
  add_process(service.started, out);
  add_learning(service.learning, out);
  add_rollbacks(*service.rollbacks, out);
  add_serving(*service.serving, now, out);
  add_served_models(service, now, out);
  if (service.serve != nullptr) add_serve(*service.serve, out);
  return out.text();
}

std::string export_engine(const Engine& engine, std::uint64_t past_failures, EventTime now) {
  MetricFamilies out;
  const EngineStatus status = engine.status();
  const CommittedCounts& counts = status.committed;
  add_ingest(status, engine.pipeline(), out);
  add_accounts(counts.accounts, out);
  for (std::size_t reason = 0; reason < counts.dropped.size(); ++reason) {
    out.add("millrace_rows_dropped_total", {{"reason", kDroppedNames[reason]}},
            count(counts.dropped[reason]));
  }
  out.add("millrace_user_cap_rows_total", {}, count(counts.capped.rows));
  out.add("millrace_user_cap_users_total", {}, count(counts.capped.users));
  out.add("millrace_user_cap_crowded_total", {}, count(counts.capped.crowded));
  add_join(engine, now, out);
  add_label_delays(counts.delays, engine.config(), out);
  add_learner(engine, counts.accounts.impressions.waiting, out);
  add_store(engine, past_failures, out);
  add_publisher(engine, out);
  return out.text();
}

}  // namespace millrace
