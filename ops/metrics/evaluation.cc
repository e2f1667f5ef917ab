#include "ops/metrics/evaluation.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>

namespace millrace {
namespace {

double count(std::uint64_t value) { return static_cast<double>(value); }

void add_figures(std::string_view model, std::string_view task, std::string_view output,
                 std::string_view window, const Figures& figures, MetricFamilies& out) {
  auto add = [&](std::string_view name, const std::optional<double>& value) {
    if (!value) return;  // undefined is absent, never a number
    out.add(name, {{"model", model}, {"task", task}, {"output", output}, {"window", window}},
            *value);
  };
  add("millrace_task_auc", figures.auc);
  add("millrace_task_auc_error", figures.auc_error);
  add("millrace_task_log_loss", figures.log_loss);
  add("millrace_task_normalized_entropy_ratio", figures.normalized_entropy);
  add("millrace_task_calibration_ratio", figures.calibration);
  add("millrace_task_rmse", figures.rmse);
  add("millrace_task_mae", figures.mae);
  add("millrace_task_calibration_error", figures.calibration_error);
  add("millrace_task_label_mean", figures.label_mean);
  add("millrace_task_prediction_mean", figures.prediction_mean);
}

}  // namespace

void add_output(std::string_view model, std::string_view task, std::string_view output,
                const OutputReport& report, MetricFamilies& out) {
  add_figures(model, task, output, "all", report.all, out);
  add_figures(model, task, output, "recent", report.window, out);
  for (const NamedFigures& span : report.spans) {
    add_figures(model, task, output, span.name, span.figures, out);
  }
  for (const NamedFigures& slice : report.slices) {
    auto add = [&](std::string_view name, const std::optional<double>& value) {
      if (!value) return;
      out.add(name, {{"model", model}, {"task", task}, {"output", output}, {"slice", slice.name}},
              *value);
    };
    add("millrace_slice_rows", static_cast<double>(slice.figures.rows));
    add("millrace_slice_auc", slice.figures.auc);
    add("millrace_slice_log_loss", slice.figures.log_loss);
    add("millrace_slice_calibration_ratio", slice.figures.calibration);
    add("millrace_slice_rmse", slice.figures.rmse);
  }
  const MetricFamilies::Labels labels{{"model", model}, {"task", task}, {"output", output}};
  if (report.exact_auc && report.exact_auc->value) {
    out.add("millrace_task_exact_auc", labels, *report.exact_auc->value);
  }
  if (!report.gauc) return;
  if (report.gauc->value) out.add("millrace_task_gauc", labels, *report.gauc->value);
  out.add("millrace_task_gauc_users", labels, count(report.gauc->counted));
}

void add_division(std::string_view model, std::string_view task, const DivisionReport& report,
                  MetricFamilies& out) {
  for (const auto& [window, division] :
       {std::pair("all", &report.all), std::pair("recent", &report.window)}) {
    const MetricFamilies::Labels labels{{"model", model}, {"task", task}, {"window", window}};
    if (division->predicted) {
      out.add("millrace_task_division_prediction_ratio", labels, *division->predicted);
    }
    if (division->observed) {
      out.add("millrace_task_division_label_ratio", labels, *division->observed);
    }
  }
}

void add_evaluation(const TrainerReport& report, MetricFamilies& out) {
  const std::string& model = report.model;
  for (const CompositeReport& composite : report.composite) {
    if (!composite.value) continue;
    const std::string& window = composite.window;
    if (window == "last_fifth") continue;  // of this process alone
    out.add("millrace_composite",
            {{"model", model}, {"window", window == "window" ? "recent" : window}},
            *composite.value);
  }
  for (const BusinessReport& figure : report.business) {
    for (const BusinessWindow& window : figure.windows) {
      const std::string_view name =
          window.name == "window" ? std::string_view("recent") : window.name;
      auto add = [&](std::string_view kind, double value) {
        out.add("millrace_business",
                {{"model", model}, {"figure", figure.name}, {"window", name}, {"kind", kind}},
                value);
      };
      add("observed", window.sums.observed);
      add("predicted", window.sums.predicted);
    }
  }
  for (const GateReport& gate : report.gates) {
    // No task has a name with parentheses.
    const std::string_view task = gate.task.empty() ? std::string_view("(shared)") : gate.task;
    const std::string level = std::to_string(gate.level);
    out.add("millrace_gate_entropy_ratio", {{"model", model}, {"task", task}, {"level", level}},
            gate.entropy);
    for (const auto alarm : {GateReport::Alarm::kEven, GateReport::Alarm::kCollapsed}) {
      out.add("millrace_gate_alarm",
              {{"model", model}, {"task", task}, {"level", level}, {"reason", to_string(alarm)}},
              gate.alarm == alarm ? 1 : 0);
    }
    for (std::size_t e = 0; e < gate.experts.size(); ++e) {
      auto add = [&](std::string_view name, double value) {
        out.add(name,
                {{"model", model}, {"task", task}, {"level", level}, {"expert", gate.experts[e]}},
                value);
      };
      add("millrace_gate_weight", gate.means[e]);
      add("millrace_gate_weight_deviation", gate.deviations[e]);
      add("millrace_gate_dead_units_ratio", gate.dead[e]);
    }
  }
  for (const FeatureImportance& feature : report.importance.features) {
    for (std::size_t k = 0; k < feature.values.size(); ++k) {
      if (!std::isfinite(feature.values[k])) continue;
      out.add("millrace_feature_importance",
              {{"model", model}, {"task", report.tasks[k].name}, {"feature", feature.name}},
              feature.values[k]);
    }
  }
}

}  // namespace millrace
