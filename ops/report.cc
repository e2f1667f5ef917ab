#include "ops/report.h"

#include <fmt/format.h>

#include "ops/json_inner.h"
#include "serve/api/insight.h"

namespace millrace {
namespace {

namespace json = boost::json;

// The keys of `write`, which are written in one place for reports and answers.
template <class Write>
void add_written(json::object& out, Write&& write) {
  std::string text;
  JsonWriter writer(text);
  writer.begin_object();
  write(writer);
  writer.end_object();
  const json::value written = json::parse(text);
  for (const auto& [key, value] : written.as_object()) out[key] = value;
}

json::object figures(const Figures& figures, bool binary) {
  json::object out;
  add_written(out, [&](JsonWriter& writer) { write_figures(writer, figures, binary); });
  return out;
}

json::object figures_with_entire(const Figures& own, const Figures* entire, bool binary) {
  json::object out = figures(own, binary);
  if (entire) out["entire"] = figures(*entire, true);
  return out;
}

json::value freeze_value(const Freeze& freeze) {
  if (!freeze.on()) return nullptr;
  return json::object{{"reason", to_string(freeze.reason)},
                      {"text", freeze.text},
                      {"since", freeze.since.is_finite() ? json::value(print_rfc3339(freeze.since))
                                                         : json::value(nullptr)},
                      {"rows", freeze.rows}};
}

}  // namespace

void add_accounts(const Accounts& accounts, json::object& report) {
  report["events"] = accounts.events;
  json::object& dead = report["dead_letters"].emplace_object();
  for (std::size_t reason = 0; reason < kReasonNames.size(); ++reason) {
    dead[kReasonNames[reason]] = accounts.dead_letters[reason];
  }
  const Accounts::Impressions& i = accounts.impressions;
  report["impressions"] = json::object{{"in", i.in},
                                       {"late", i.late},
                                       {"duplicate", i.duplicate},
                                       {"finished", i.finished},
                                       {"waiting", i.waiting}};
  const Accounts::Outcomes& o = accounts.outcomes;
  report["outcomes"] = json::object{{"in", o.in},
                                    {"late", o.late},
                                    {"duplicate", o.duplicate},
                                    {"out_of_window", o.out_of_window},
                                    {"unmatched", o.unmatched},
                                    {"unused", o.unused},
                                    {"applied", o.applied},
                                    {"waiting", o.waiting}};
  report["samples"] = json::object{{"in", accounts.samples}};
  report["rows"] = accounts.rows;
}

void add_dropped_rows(const Sampling::Counts& dropped, json::object& report) {
  json::object& out = report["dropped_rows"].emplace_object();
  for (std::size_t reason = 0; reason < dropped.size(); ++reason) {
    out[kDroppedNames[reason]] = dropped[reason];
  }
}

void add_guardrails(const GuardrailReport& guards, const std::vector<std::string>& names,
                    json::object& report) {
  json::object& out = report["guardrails"].emplace_object();
  out["learning"] = freeze_value(guards.learning);
  out["paused"] = freeze_value(guards.pause);
  json::object& tasks = out["tasks"].emplace_object();
  for (std::size_t k = 0; k < names.size(); ++k) {
    tasks[names[k]] = json::object{{"frozen", freeze_value(guards.tasks[k])},
                                   {"passed_over", guards.passed_over[k]}};
  }
  json::array& quarantine = out["quarantine"].emplace_array();
  for (const SkippedBatch& batch : guards.quarantine) {
    quarantine.push_back(
        json::object{{"first", print_rfc3339(batch.first)},
                     {"last", print_rfc3339(batch.last)},
                     {"rows", batch.rows},
                     {"task", batch.task.empty() ? json::value(nullptr) : json::value(batch.task)},
                     {"reason", batch.reason}});
  }
}

void add_capped(const UserCap::Counts& capped, json::object& report) {
  report["capped"] =
      json::object{{"rows", capped.rows}, {"users", capped.users}, {"crowded", capped.crowded}};
}

void add_tasks(const TrainerReport& trainer, json::object& report) {
  json::object& tasks = report["tasks"].emplace_object();
  for (const TaskReport& task : trainer.tasks) {
    json::object& out = tasks[task.name].emplace_object();
    out["weight"] = task.weight;
    const OutputReport* const entire = task.entire ? &*task.entire : nullptr;
    out["all"] = figures_with_entire(task.all, entire ? &entire->all : nullptr, task.binary);
    out["window"] =
        figures_with_entire(task.window, entire ? &entire->window : nullptr, task.binary);
    out["last_fifth"] =
        figures_with_entire(task.last_fifth, entire ? &entire->last_fifth : nullptr, task.binary);
    add_written(out, [&](JsonWriter& writer) { write_more(writer, task, task.binary); });
    add_written(out, [&](JsonWriter& writer) { write_recalibrated(writer, task); });
    if (entire == nullptr) continue;
    json::object& more = out["entire"].emplace_object();
    add_written(more, [&](JsonWriter& writer) { write_more(writer, *entire, true); });
    add_written(out, [&](JsonWriter& writer) { write_division(writer, task); });
  }
}

void add_business(const TrainerReport& trainer, json::object& report) {
  add_written(report, [&](JsonWriter& writer) { write_business(writer, trainer); });
}

void add_evaluation(const TrainerReport& trainer, json::object& report) {
  add_business(trainer, report);
  const json::value gates = json::parse(print_gates(trainer));
  report["gates"] = gates.at("gates");
  report["lower_gates"] = gates.at("lower_gates");
  report["importance"] = json::parse(print_importance(trainer));
  report["importance"].as_object().erase("model");
  report["history"] = json::parse(print_history(trainer)).at("tasks");
}

void add_models(const TrainerReports& reports, json::object& report) {
  json::object& models = report["models"].emplace_object();
  for (std::size_t m = 0; m < reports.models.size(); ++m) {
    const TrainerReport& of = reports.models[m];
    json::object& out = models[of.model].emplace_object();
    out["champion"] = m == reports.champion_index;
    out["steps"] = of.steps;
    out["rows"] = of.rows;
    add_tasks(of, out);
    add_business(of, out);
  }
  if (reports.twins.empty()) return;
  json::array& twins = report["twins"].emplace_array();
  for (const TransferReport& twin : reports.twins) {
    twins.push_back(
        json::object{{"task", twin.task},
                     {"twin", twin.twin},
                     {"blocks", twin.blocks},
                     {"difference", twin.difference},
                     {"margin", twin.margin},
                     {"alarm", twin.alarm},
                     {"since", twin.since.is_finite() ? json::value(print_rfc3339(twin.since))
                                                      : json::value(nullptr)},
                     {"alarms", twin.alarms}});
  }
}

void add_label_delays(const std::vector<LabelDelays::Of>& delays, json::object& report) {
  json::object& out = report["label_delays"].emplace_object();
  for (const LabelDelays::Of& of : delays) {
    json::object& one = out[of.name].emplace_object();
    one["applied"] = of.applied();
    json::object& within = one["within"].emplace_object();
    for (int part = 0; part < LabelDelays::kParts; ++part) {
      within[label_delay_part(part)] =
          of.applied() > 0 ? json::value(of.share(part)) : json::value(nullptr);
    }
    one["out_of_window"] = of.out_of_window;
  }
}

std::string replay_report(const ReplayFigures& figures) {
  json::object report;
  add_accounts(figures.counts.accounts, report);
  add_dropped_rows(figures.counts.dropped, report);
  add_capped(figures.counts.capped, report);
  add_label_delays(figures.counts.delays.all(), report);
  const TrainerReport& champion = figures.trainers.champion();
  add_tasks(champion, report);
  add_evaluation(champion, report);
  if (figures.trainers.models.size() > 1) add_models(figures.trainers, report);
  std::vector<std::string> names;
  for (const TaskReport& task : champion.tasks) names.push_back(task.name);
  add_guardrails(champion.guardrails, names, report);
  report["seconds"] = figures.seconds;
  json::object& by_stage = report["stages"].emplace_object();
  for (std::size_t stage = 0; stage < kStageNames.size(); ++stage) {
    by_stage[kStageNames[stage]] = figures.stages.seconds(static_cast<Stage>(stage));
  }
  report["digest"] = print_digest(figures.digest);
  return json::serialize(report);
}

std::string print_digest(std::uint64_t digest) { return fmt::format("{:016x}", digest); }

}  // namespace millrace
