#include "serve/api/tasks.h"

#include <limits>
#include <optional>

#include "serve/api/insight.h"
#include "serve/http/json_text.h"

namespace millrace {
namespace {

double or_null(const std::optional<double>& value) {
  return value.value_or(std::numeric_limits<double>::quiet_NaN());  // Written as null.
}

void write_number(JsonWriter& json, std::string_view key, const std::optional<double>& value) {
  json.key(key);
  json.number(or_null(value));
}

void write_span(JsonWriter& json, std::string_view key, const TaskReport& task,
                const Figures& figures, const Figures* entire) {
  json.key(key);
  json.begin_object();
  write_figures(json, figures, task.binary);
  if (entire) {
    json.key("entire");
    json.begin_object();
    write_figures(json, *entire, true);
    json.end_object();
  }
  json.end_object();
}

void write_task(JsonWriter& json, const TaskReport& task) {
  json.key(task.name);
  json.begin_object();
  json.key("kind");
  json.text(choice_name(task.kind));
  json.key("weight");
  json.number(task.weight);
  write_number(json, "loss", task.loss);
  json.key("label_share");
  json.number(task.label_share);
  const OutputReport* const entire = task.entire ? &*task.entire : nullptr;
  write_span(json, "all", task, task.all, entire ? &entire->all : nullptr);
  write_span(json, "window", task, task.window, entire ? &entire->window : nullptr);
  write_span(json, "last_fifth", task, task.last_fifth, entire ? &entire->last_fifth : nullptr);
  write_more(json, task, task.binary);
  if (entire != nullptr) {
    json.key("entire");
    json.begin_object();
    write_more(json, *entire, true);
    json.end_object();
  }
  write_division(json, task);
  write_recalibrated(json, task);
  json.end_object();
}

}  // namespace

namespace {

void write_model(JsonWriter& json, const TrainerReport& report) {
  json.key("rows");
  json.number(report.rows);
  json.key("steps");
  json.number(report.steps);
  json.key("steps_skipped");
  json.number(report.skipped);
  json.key("tasks");
  json.begin_object();
  for (const TaskReport& task : report.tasks) write_task(json, task);
  json.end_object();
  write_business(json, report);
}

void write_twin(JsonWriter& json, const TransferReport& twin) {
  json.begin_object();
  json.key("task");
  json.text(twin.task);
  json.key("twin");
  json.text(twin.twin);
  json.key("blocks");
  json.number(static_cast<std::uint64_t>(twin.blocks));
  json.key("difference");
  json.number(twin.difference);
  json.key("margin");
  json.number(twin.margin);
  json.key("alarm");
  json.raw(twin.alarm ? "true" : "false");
  json.key("since");
  if (twin.since.is_finite()) {
    json.text(print_rfc3339(twin.since));
  } else {
    json.raw("null");
  }
  json.key("alarms");
  json.number(twin.alarms);
  json.end_object();
}

}  // namespace

std::string print_tasks(const TrainerReport& report, const std::string& version,
                        const TrainerReports& all) {
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("model");
  json.text(report.model);
  json.key("version");
  if (version.empty()) {
    json.raw("null");
  } else {
    json.text(version);
  }
  write_model(json, report);
  if (all.models.size() > 1) {
    json.key("models");
    json.begin_object();
    for (const TrainerReport& model : all.models) {
      json.key(model.model);
      json.begin_object();
      write_model(json, model);
      json.end_object();
    }
    json.end_object();
  }
  if (!all.twins.empty()) {
    json.key("twins");
    json.begin_list();
    for (const TransferReport& twin : all.twins) write_twin(json, twin);
    json.end_list();
  }
  json.end_object();
  body += '\n';
  return body;
}

Answer answer_tasks(const ServeParts& parts, const Request& request) {
  const auto report = report_of(parts, request);
  if (!report) return report.error();
  Answer answer;
  const std::shared_ptr<const ServingModel> serving = serving_of(parts, report->model);
  const TrainerReports all = parts.models ? parts.models() : TrainerReports{};
  answer.body = print_tasks(
      *report, serving == nullptr ? std::string{} : print_version(serving->pin().version()), all);
  return answer;
}

}  // namespace millrace
