#include "ops/compare/linear_report.h"

#include <fmt/format.h>

#include "ops/compare/numbers.h"
#include "ops/compare/text_table.h"
#include "ops/json_inner.h"

namespace millrace {
namespace {

namespace json = boost::json;

json::value number_or_null(const std::optional<double>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::value difference_value(const LinearDifference& difference) {
  if (!difference.value) return nullptr;
  json::object out{{"difference", *difference.value}, {"low", nullptr}, {"high", nullptr}};
  if (difference.interval) {
    out["low"] = difference.interval->low;
    out["high"] = difference.interval->high;
  }
  return out;
}

json::object rate_object(const LinearTask::Rate& rate) {
  return {{"rate", rate.rate},
          {"auc", number_or_null(rate.auc)},
          {"log_loss", number_or_null(rate.log_loss)}};
}

std::string shown(const LinearDifference& difference) {
  if (difference.interval) return print_interval(difference.interval, 4);
  return difference.value ? fmt::format("{:+.4f}", *difference.value) : "-";
}

std::string head(const LinearReport& linear) {
  std::string text = fmt::format(
      "\nThe linear baseline: a logistic regression for each binary task on the same rows and "
      "inputs, in steps of one row; of {} rates the best by AUC. {} keys have weights, in {:.0f} "
      "MiB; {:.1f} s. Differences are the model's figure minus the baseline's.\n",
      linear.tasks.front().rates.size(), print_count(linear.keys),
      static_cast<double>(linear.bytes) / 1048576, linear.seconds);
  if (linear.left_out > 0) {
    text += fmt::format(
        "Its memory is full: {} times a key came that has no weight, so it is weaker than a linear "
        "model could be.\n",
        print_count(linear.left_out));
  }
  return text;
}

}  // namespace

std::string print_linear(const Comparison& comparison) {
  if (!comparison.linear) {
    return comparison.no_linear.empty() ? ""
                                        : "\nNo linear baseline: " + comparison.no_linear + ".\n";
  }
  const LinearReport& linear = *comparison.linear;
  TextTable table({"task", "model", "AUC", "baseline", "AUC difference", "log loss difference",
                   "AUC difference, last fifth", "the model is"});
  std::string sentences;
  for (const LinearTask& task : linear.tasks) {
    for (const ComparedModel& model : comparison.models) {
      const auto of = model.tasks.find(task.name);
      if (of == model.tasks.end() || !of->second.linear) continue;
      const AgainstLinear& against = *of->second.linear;
      table.add({task.name, model.report.model, print_optional(against.model_auc, 4),
                 print_optional(against.linear_auc, 4), shown(against.auc), shown(against.log_loss),
                 shown(against.late), std::string(to_string(verdict_of(against)))});
      if (model.is_alone) continue;
      const std::string sentence = linear_sentence(model.report.model, task.name, against);
      if (!sentence.empty()) sentences += sentence + "\n";
    }
  }
  return head(linear) + table.print(2) + (sentences.empty() ? "" : "\n" + sentences);
}

json::object linear_object(const LinearReport& linear) {
  json::object out{{"steps", linear.steps}, {"batches", linear.batches},
                   {"keys", linear.keys},   {"keys_left_out", linear.left_out},
                   {"bytes", linear.bytes}, {"seconds", linear.seconds}};
  json::object& tasks = out["tasks"].emplace_object();
  for (const LinearTask& task : linear.tasks) {
    const Figures& all = task.all;
    json::object& one = tasks[task.name].emplace_object();
    one["rate"] = task.rate;
    one["rows"] = all.rows;
    one["positives"] = all.positives;
    one["auc"] = number_or_null(all.auc);
    one["auc_error"] = number_or_null(all.auc_error);
    one["log_loss"] = number_or_null(all.log_loss);
    one["normalized_entropy"] = number_or_null(all.normalized_entropy);
    one["calibration"] = number_or_null(all.calibration);
    json::array& rates = one["rates"].emplace_array();
    for (const LinearTask::Rate& rate : task.rates) rates.push_back(rate_object(rate));
    one["in_the_models_steps"] = rate_object(task.same_steps);
  }
  return out;
}

json::object against_linear_object(const AgainstLinear& against, const std::string& model,
                                   const std::string& task) {
  const LinearVerdict verdict = verdict_of(against);
  json::array fifths;
  for (const auto& fifth : against.fifths) fifths.push_back(number_or_null(fifth));
  const std::string sentence = linear_sentence(model, task, against);
  return {{"verdict", to_string(verdict)},
          {"beats", verdict == LinearVerdict::kAhead},
          {"auc_difference", difference_value(against.auc)},
          {"log_loss_difference", difference_value(against.log_loss)},
          {"last_fifth_auc_difference", difference_value(against.late)},
          {"auc_difference_by_fifths", std::move(fifths)},
          {"explanation", sentence.empty() ? json::value(nullptr) : json::value(sentence)}};
}

}  // namespace millrace
