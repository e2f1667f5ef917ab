#include "serve/api/insight.h"

#include <limits>
#include <optional>

#include "learner/base/time.h"
#include "learner/data/feature_key.h"
#include "serve/http/head.h"
#include "serve/http/respond.h"

namespace millrace {
namespace {

void write_number(JsonWriter& json, std::string_view key, const std::optional<double>& value) {
  json.key(key);
  // What is no number is written as null.
  json.number(value.value_or(std::numeric_limits<double>::quiet_NaN()));
}

void write_time(JsonWriter& json, std::string_view key, EventTime time) {
  json.key(key);
  if (time.is_finite()) {
    json.text(print_rfc3339(time));
  } else {
    json.raw("null");
  }
}

// Calls write(json) between the braces of an object with the model's name.
template <class Write>
std::string of_model(const TrainerReport& report, Write&& write) {
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  json.key("model");
  json.text(report.model);
  write(json);
  json.end_object();
  body += '\n';
  return body;
}

void write_gate(JsonWriter& json, const GateReport& gate) {
  json.begin_object();
  json.key("level");
  json.number(static_cast<std::uint64_t>(gate.level));
  if (gate.lower) {
    json.key("task");
    gate.task.empty() ? json.raw("null") : json.text(gate.task);
  }
  json.key("rows");
  json.number(gate.rows);
  json.key("entropy");
  json.number(gate.entropy);
  json.key("alarm");
  json.text(to_string(gate.alarm));
  json.key("experts");
  json.begin_object();
  for (std::size_t e = 0; e < gate.experts.size(); ++e) {
    json.key(gate.experts[e]);
    json.begin_object();
    json.key("mean");
    json.number(gate.means[e]);
    json.key("deviation");
    json.number(gate.deviations[e]);
    json.key("zero_outputs");
    json.number(gate.zeros[e]);
    json.key("dead_units");
    json.number(gate.dead[e]);
    json.end_object();
  }
  json.end_object();
  json.end_object();
}

void write_values(JsonWriter& json, const std::vector<double>& values,
                  const std::vector<TaskReport>& tasks) {
  json.key("tasks");
  json.begin_object();
  for (std::size_t k = 0; k < tasks.size(); ++k) write_number(json, tasks[k].name, values[k]);
  json.end_object();
}

void write_feature(JsonWriter& json, const FeatureImportance& feature,
                   const std::vector<TaskReport>& tasks) {
  json.key(feature.name);
  json.begin_object();
  write_values(json, feature.values, tasks);
  json.key("ids");
  json.begin_list();
  for (const IdImportance& id : feature.ids) {
    json.begin_object();
    json.key("key");
    json.text(print_key(id.key));
    json.key("weight");
    json.number(id.weight);
    write_values(json, id.values, tasks);
    json.end_object();
  }
  json.end_list();
  json.end_object();
}

void write_points(JsonWriter& json, std::string_view key, const OutputReport& output, bool binary) {
  json.key(key);
  json.begin_list();
  if (output.history) {
    for (const HistoryPoint& point : *output.history) {
      json.begin_object();
      write_time(json, "first", point.first);
      write_time(json, "last", point.last);
      write_figures(json, point.figures, binary);
      json.end_object();
    }
  }
  json.end_list();
}

void write_sums(JsonWriter& json, const BusinessWindow& window) {
  const BusinessSums& sums = window.sums;
  json.key(window.name);
  json.begin_object();
  json.key("rows");
  json.number(sums.rows);
  json.key("observed");
  json.number(sums.observed);
  json.key("predicted");
  json.number(sums.predicted);
  const auto mean = [&](double sum) {
    return sums.weight > 0 ? std::optional(sum / sums.weight) : std::nullopt;
  };
  write_number(json, "observed_mean", mean(sums.observed));
  write_number(json, "predicted_mean", mean(sums.predicted));
  json.end_object();
}

// Whether the weights that answer for the model have a row of this key of the feature.
bool is_known(const ServeParts& parts, const std::string& model, const std::string& feature,
              std::uint64_t key) {
  const std::shared_ptr<const ServingModel> serving = serving_of(parts, model);
  if (serving == nullptr) return false;
  const ServingModel::Pin pin = serving->pin();
  const Schema& schema = pin.shape() == nullptr ? *parts.schema : pin.shape()->projection.schema();
  const int index = schema.find_feature(feature);  // the model may do without it
  return index >= 0 && pin.find(schema.table_of(index), key) != nullptr;
}

Answer answer_with(const ServeParts& parts, const Request& request,
                   std::string (*print)(const TrainerReport&)) {
  const auto report = report_of(parts, request);
  if (!report) return report.error();
  Answer answer;
  answer.body = print(*report);
  return answer;
}

}  // namespace

Result<TrainerReport, Answer> report_of(const ServeParts& parts, const Request& request) {
  const std::optional<std::string> name = query_value(request.query, "model");
  TrainerReport report = parts.tasks();
  if (!name || *name == report.model) return report;
  const TrainerReports all = parts.models ? parts.models() : TrainerReports{{report}, 0, {}};
  std::string names;
  for (const TrainerReport& model : all.models) {
    if (model.model == *name) return model;
    names += (names.empty() ? "" : ", ") + model.model;
  }
  return error_answer(404, "there is no model " + shortened(*name) + "; expected one of " + names,
                      request.id);
}

std::shared_ptr<const ServingModel> serving_of(const ServeParts& parts, const std::string& model) {
  if (parts.served != nullptr) {
    if (auto served = parts.served->find(model)) return served;
  }
  if (!parts.serving->has_version()) return nullptr;
  const ServingModel::Pin pin = parts.serving->pin();
  if (pin.shape() != nullptr && pin.shape()->model != model) return nullptr;
  return {std::shared_ptr<void>(), parts.serving};  // which outlives this
}

Answer answer_gates(const ServeParts& parts, const Request& request) {
  return answer_with(parts, request, print_gates);
}
Answer answer_importance(const ServeParts& parts, const Request& request) {
  const auto report = report_of(parts, request);
  if (!report) return report.error();
  const auto name = query_value(request.query, "feature");
  const auto value = query_value(request.query, "value");
  Answer answer;
  if (!name || !value) {
    answer.body = print_importance(*report);
    return answer;
  }
  const Schema& schema = *parts.schema;
  const int feature = schema.find_feature(*name);
  const bool there = feature >= 0;
  const FeatureKind kind =
      there ? schema.features()[static_cast<std::size_t>(feature)].kind : FeatureKind::kNumeric;
  if (kind != FeatureKind::kCategorical && kind != FeatureKind::kBag) {
    return error_answer(404, "there is no categorical feature or bag " + shortened(*name),
                        request.id);
  }
  const std::uint64_t seed =
      schema.tables()[static_cast<std::size_t>(schema.table_of(feature))].seed;
  const std::uint64_t key = feature_key(*value, seed);
  answer.body = print_importance(
      *report, AskedValue{print_key(key), is_known(parts, report->model, *name, key)});
  return answer;
}
Answer answer_history(const ServeParts& parts, const Request& request) {
  return answer_with(parts, request, print_history);
}

std::string print_gates(const TrainerReport& report) {
  return of_model(report, [&](JsonWriter& json) {
    json.key("gates");
    json.begin_object();
    for (const GateReport& gate : report.gates) {
      if (gate.lower) continue;
      json.key(gate.task);
      write_gate(json, gate);
    }
    json.end_object();
    json.key("lower_gates");
    json.begin_list();
    for (const GateReport& gate : report.gates) {
      if (gate.lower) write_gate(json, gate);
    }
    json.end_list();
  });
}

std::string print_importance(const TrainerReport& report, const std::optional<AskedValue>& asked) {
  return of_model(report, [&](JsonWriter& json) {
    if (asked) {
      json.key("key");
      json.text(asked->key);
      json.key("known");
      json.raw(asked->known ? "true" : "false");
    }
    json.key("rows");
    json.number(report.importance.rows);
    json.key("features");
    json.begin_object();
    for (const FeatureImportance& feature : report.importance.features) {
      write_feature(json, feature, report.tasks);
    }
    json.end_object();
  });
}

std::string print_history(const TrainerReport& report) {
  return of_model(report, [&](JsonWriter& json) {
    json.key("tasks");
    json.begin_object();
    for (const TaskReport& task : report.tasks) {
      json.key(task.name);
      json.begin_object();
      write_points(json, "points", task, task.binary);
      if (task.entire) write_points(json, "entire", *task.entire, true);
      json.end_object();
    }
    json.end_object();
  });
}

void write_figures(JsonWriter& json, const Figures& figures, bool binary) {
  json.key("rows");
  json.number(figures.rows);
  json.key("positives");
  if (binary) {
    json.number(figures.positives);
  } else {
    json.raw("null");
  }
  write_number(json, "auc", figures.auc);
  write_number(json, "auc_error", figures.auc_error);
  write_number(json, "log_loss", figures.log_loss);
  write_number(json, "normalized_entropy", figures.normalized_entropy);
  write_number(json, "calibration", figures.calibration);
  write_number(json, "calibration_error", figures.calibration_error);
  write_number(json, "rmse", figures.rmse);
  write_number(json, "mae", figures.mae);
  write_number(json, "label_mean", figures.label_mean);
  write_number(json, "prediction_mean", figures.prediction_mean);
  write_number(json, "label_sum", figures.label_sum);
  write_number(json, "prediction_sum", figures.prediction_sum);
}

namespace {

void write_named(JsonWriter& json, std::string_view key, const std::vector<NamedFigures>& windows,
                 bool binary) {
  json.key(key);
  json.begin_object();
  for (const NamedFigures& window : windows) {
    json.key(window.name);
    json.begin_object();
    write_figures(json, window.figures, binary);
    json.end_object();
  }
  json.end_object();
}

}  // namespace

void write_more(JsonWriter& json, const OutputReport& output, bool binary) {
  json.key("gauc");
  if (output.gauc) {
    json.begin_object();
    write_number(json, "value", output.gauc->value);
    json.key("rows");
    json.number(output.gauc->rows);
    json.key("users");
    json.number(output.gauc->users);
    json.key("users_counted");
    json.number(output.gauc->counted);
    json.end_object();
  } else {
    json.raw("null");
  }
  json.key("exact_auc");
  if (output.exact_auc) {
    json.begin_object();
    write_number(json, "value", output.exact_auc->value);
    json.key("rows");
    json.number(output.exact_auc->rows);
    json.end_object();
  } else {
    json.raw("null");
  }
  write_named(json, "spans", output.spans, binary);
  write_named(json, "slices", output.slices, binary);
}

void write_recalibrated(JsonWriter& json, const TaskReport& task) {
  if (!task.recalibrated) return;
  json.key("recalibrated");
  const auto& [line, output] = *task.recalibrated;
  json.begin_object();
  json.key("slope");
  json.number(double{line.slope});
  json.key("shift");
  json.number(double{line.shift});
  for (const auto& [key, figures] :
       {std::pair("all", &output.all), std::pair("window", &output.window),
        std::pair("last_fifth", &output.last_fifth)}) {
    json.key(key);
    json.begin_object();
    write_figures(json, *figures, true);
    json.end_object();
  }
  write_named(json, "spans", output.spans, true);
  write_named(json, "slices", output.slices, true);
  json.end_object();
}

void write_division(JsonWriter& json, const TaskReport& task) {
  if (!task.by_division) return;
  json.key("by_division");
  json.begin_object();
  for (const auto& [window, division] :
       {std::pair("all", &task.by_division->all), std::pair("window", &task.by_division->window),
        std::pair("last_fifth", &task.by_division->last_fifth)}) {
    json.key(window);
    json.begin_object();
    write_number(json, "predicted", division->predicted);
    write_number(json, "observed", division->observed);
    json.end_object();
  }
  json.end_object();
}

void write_business(JsonWriter& json, const TrainerReport& report) {
  json.key("composite");
  json.begin_object();
  for (const CompositeReport& composite : report.composite) {
    if (composite.window == "last_fifth") continue;  // of this process alone
    write_number(json, composite.window, composite.value);
  }
  json.end_object();
  json.key("business");
  json.begin_object();
  for (const BusinessReport& figure : report.business) {
    json.key(figure.name);
    json.begin_object();
    json.key("formula");
    json.text(figure.formula);
    json.key("windows");
    json.begin_object();
    for (const BusinessWindow& window : figure.windows) write_sums(json, window);
    json.end_object();
    json.end_object();
  }
  json.end_object();
}

}  // namespace millrace
