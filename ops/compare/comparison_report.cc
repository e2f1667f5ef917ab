#include "ops/compare/comparison_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "ops/compare/linear_report.h"
#include "ops/compare/numbers.h"
#include "ops/compare/text_table.h"
#include "ops/json_inner.h"
#include "ops/report.h"

namespace millrace {
namespace {

namespace json = boost::json;

json::value interval_value(const std::optional<Interval>& interval) {
  if (!interval) return nullptr;
  return json::object{
      {"difference", interval->difference}, {"low", interval->low}, {"high", interval->high}};
}

const TaskReport* find_task(const TrainerReport& report, const std::string& name) {
  for (const TaskReport& task : report.tasks) {
    if (task.name == name) return &task;
  }
  return nullptr;
}

// The tasks of all models, in the order of those that have most.
std::vector<std::string> tasks_of(const Comparison& comparison) {
  std::vector<std::string> names;
  for (const ComparedModel& model : comparison.models) {
    for (const TaskReport& task : model.report.tasks) {
      if (std::find(names.begin(), names.end(), task.name) == names.end()) {
        names.push_back(task.name);
      }
    }
  }
  return names;
}

const LinearTask* find_linear(const Comparison& comparison, const std::string& name) {
  if (!comparison.linear) return nullptr;
  for (const LinearTask& task : comparison.linear->tasks) {
    if (task.name == name) return &task;
  }
  return nullptr;
}

std::string auc_text(const Figures& all) {
  return all.auc ? print_optional(all.auc, 4) + " ± " + print_optional(all.auc_error, 4) : "-";
}

double samples_per_second(const ComparedModel& model) {
  return model.seconds > 0 ? static_cast<double>(model.report.rows) / model.seconds : 0;
}

std::string print_tasks_table(const Comparison& comparison) {
  TextTable table({"task", "model", "rows", "observed", "predicted", "AUC ± error", "log loss",
                   "NE", "calibration", "RMSE", "gain over alone", "against the first"});
  for (const std::string& name : tasks_of(comparison)) {
    for (const ComparedModel& model : comparison.models) {
      const TaskReport* task = find_task(model.report, name);
      if (task == nullptr) continue;
      const Figures& all = task->all;
      const auto extra = model.tasks.find(name);
      const ComparedTask of = extra == model.tasks.end() ? ComparedTask{} : extra->second;
      const bool binary = task->binary;
      table.add({name, model.report.model, print_count(all.rows), print_optional(all.label_mean, 4),
                 print_optional(all.prediction_mean, 4), auc_text(all),
                 print_optional(all.log_loss, 4), print_optional(all.normalized_entropy, 4),
                 print_optional(all.calibration, 3), print_optional(all.rmse, 4),
                 print_interval(of.gain, 4), print_interval(binary ? of.auc : of.rmse, 4)});
    }
    if (const LinearTask* linear = find_linear(comparison, name)) {
      const Figures& all = linear->all;
      table.add({name, std::string(kLinearName), print_count(all.rows),
                 print_optional(all.label_mean, 4), print_optional(all.prediction_mean, 4),
                 auc_text(all), print_optional(all.log_loss, 4),
                 print_optional(all.normalized_entropy, 4), print_optional(all.calibration, 3), "-",
                 "-", "-"});
    }
  }
  return table.print(2);
}

std::string print_models_table(const Comparison& comparison) {
  TextTable table({"model", "composite", "parameters", "embedding rows", "MiB", "seconds",
                   "samples/s", "µs/sample"});
  for (const ComparedModel& model : comparison.models) {
    const double rate = samples_per_second(model);
    table.add({model.report.model, print_optional(model.composite, 4),
               print_count(static_cast<std::uint64_t>(model.parameters)),
               print_count(model.embedding_rows),
               fmt::format("{:.1f}", static_cast<double>(model.embedding_bytes) / 1048576),
               fmt::format("{:.1f}", model.seconds), print_count(static_cast<std::uint64_t>(rate)),
               rate > 0 ? fmt::format("{:.2f}", 1e6 / rate) : "-"});
  }
  return table.print(1);
}

// Sums of evaluate.business over the whole stream; empty where there are none.
std::string print_business_table(const Comparison& comparison) {
  TextTable table({"figure", "model", "rows", "observed", "predicted", "predicted / observed",
                   "observed per row", "predicted per row"});
  bool any = false;
  for (const BusinessReport& figure : comparison.models.front().report.business) {
    for (const ComparedModel& model : comparison.models) {
      for (const BusinessReport& own : model.report.business) {
        if (own.name != figure.name) continue;
        const BusinessSums& sums = own.windows.front().sums;
        const auto over = [](double sum, double by) {
          return by != 0 ? std::optional(sum / by) : std::nullopt;
        };
        table.add({own.name, model.report.model, print_count(sums.rows),
                   fmt::format("{:.6g}", sums.observed), fmt::format("{:.6g}", sums.predicted),
                   print_optional(over(sums.predicted, sums.observed), 3),
                   print_optional(over(sums.observed, sums.weight), 4),
                   print_optional(over(sums.predicted, sums.weight), 4)});
        any = true;
      }
    }
  }
  return any ? "\n" + table.print(2) : std::string();
}

json::object task_extras(const Comparison& comparison, const ComparedModel& model,
                         const std::string& task) {
  const ComparedTask& of = model.tasks.at(task);
  const std::string &name = model.report.model, &first = comparison.models.front().report.model;
  const auto test = [&](const std::string& against) {
    return test_value(find_pair(comparison.auc_pairs, task, name, against));
  };
  json::object out{{"mtl_gain", interval_value(of.gain)},
                   {"mtl_gain_delong", test("single." + task)},
                   {"auc_difference", interval_value(of.auc)},
                   {"auc_difference_delong", test(first)},
                   {"log_loss_difference", interval_value(of.log_loss)},
                   {"rmse_difference", interval_value(of.rmse)},
                   {"units", of.by_user ? "users" : "blocks"}};
  if (!of.linear) return out;
  json::object linear = against_linear_object(*of.linear, name, task);
  linear["auc_difference_delong"] = test(std::string(kLinearName));
  out["linear"] = std::move(linear);
  return out;
}

json::object model_object(const Comparison& comparison, const ComparedModel& model) {
  json::object out;
  out["source"] = model.source;
  out["single_task"] = model.is_alone;
  out["parameters"] = model.parameters;
  out["embedding_rows"] = model.embedding_rows;
  out["embedding_bytes"] = model.embedding_bytes;
  out["rows"] = model.report.rows;
  out["steps"] = model.report.steps;
  out["steps_skipped"] = model.report.skipped;
  out["seconds"] = model.seconds;
  out["samples_per_second"] = samples_per_second(model);
  out["composite"] = model.composite ? json::value(*model.composite) : json::value(nullptr);
  add_tasks(model.report, out);
  json::object business;
  add_business(model.report, business);
  out["business"] = business["business"];
  out["composites"] = business["composite"];
  json::object& tasks = out["tasks"].as_object();
  for (const auto& [name, extra] : model.tasks) {
    for (auto& [key, value] : task_extras(comparison, model, name)) {
      tasks[name].as_object()[key] = std::move(value);
    }
  }
  return out;
}

}  // namespace

std::string print_comparison(const Comparison& comparison) {
  std::string text = print_tasks_table(comparison) + print_business_table(comparison) +
                     print_pairs(comparison.auc_pairs, comparison.bootstrap.confidence) +
                     print_linear(comparison) + "\n" + print_models_table(comparison);
  bool by_user = true;
  for (const ComparedModel& model : comparison.models) {
    for (const auto& [name, task] : model.tasks) by_user &= task.by_user;
  }
  return text + fmt::format(
                    "\n{} events, {} rows, {:.1f} s. Intervals: {:.0f} % of {} paired bootstrap "
                    "replicates over {}.\n",
                    print_count(comparison.events), print_count(comparison.rows),
                    comparison.seconds, 100 * comparison.bootstrap.confidence,
                    comparison.bootstrap.replicates, by_user ? "users" : "blocks of rows");
}

std::string comparison_json(const Comparison& comparison) {
  json::object out;
  out["events"] = comparison.events;
  out["rows"] = comparison.rows;
  out["seconds"] = comparison.seconds;
  out["reference"] = comparison.models.front().report.model;
  out["bootstrap"] = json::object{{"replicates", comparison.bootstrap.replicates},
                                  {"confidence", comparison.bootstrap.confidence},
                                  {"seed", comparison.bootstrap.seed}};
  out["linear_baseline"] =
      comparison.linear ? json::value(linear_object(*comparison.linear)) : json::value(nullptr);
  out["auc_pairs"] = pairs_object(comparison.auc_pairs);
  json::object& models = out["models"].emplace_object();
  for (const ComparedModel& model : comparison.models) {
    models[model.report.model] = model_object(comparison, model);
  }
  return json::serialize(out);
}

std::vector<LineChart> progress_charts(
    const std::vector<std::string>& tasks, const std::vector<std::string>& models,
    const std::vector<std::map<std::string, const ComparedOutput*>>& outputs) {
  std::vector<LineChart> charts;
  for (const std::string& task : tasks) {
    LineChart chart{task + ", window by window", "rows of the stream", "", {}};
    for (std::size_t m = 0; m < models.size(); ++m) {
      const auto at = outputs[m].find(task);
      if (at == outputs[m].end()) continue;
      const ComparedOutput& output = *at->second;
      chart.y_label = output.binary() ? "AUC" : "RMSE";
      Series series{models[m], {}};
      Tally tally(output.binary());
      for (std::size_t b = 0; b < output.blocks().size(); ++b) {
        tally.clear();
        tally.add(output.blocks()[b]);
        const Figures figures = tally.figures();
        const std::optional<double>& value = output.binary() ? figures.auc : figures.rmse;
        series.points.push_back({static_cast<double>((b + 1) * output.block_rows()),
                                 value.value_or(std::numeric_limits<double>::quiet_NaN())});
      }
      chart.series.push_back(std::move(series));
    }
    charts.push_back(std::move(chart));
  }
  return charts;
}

}  // namespace millrace
