#include "ops/config/balance_checks.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "ops/config/feedback_checks.h"

namespace millrace {
namespace {

bool is_windowed(BalanceMethod method) {
  return method == BalanceMethod::kDwa || method == BalanceMethod::kDtp ||
         method == BalanceMethod::kPerformance;
}

// (A printed configuration has every key: only what is not its default says anything.)
template <class Options>
bool is_usual(const Options& options) {
  const Options usual;
  return std::apply(
      [&](const auto&... field) { return ((options.*field.member == usual.*field.member) && ...); },
      Options::fields());
}

void check_weights(ConfigReader& reader, const Config& config) {
  const BalanceOptions& balance = config.learner.balance;
  const bool fixed = balance.method == BalanceMethod::kFixed;
  const bool good = !reader.has("balance.method") || reader.is_good("balance.method");
  if (!balance.weights.empty() && !fixed && balance.warmup_steps == 0 && good) {
    reader.complain("balance.weights", "needs `method: fixed` or `warmup_steps`; the method is " +
                                           std::string(choice_name(balance.method)));
  }
  double sum = static_cast<double>(config.tasks.size() -
                                   std::min(config.tasks.size(), balance.weights.size()));
  for (const auto& [task, weight] : balance.weights) {
    find_task(reader, config, "balance.weights", task);
    if (weight < 0 || weight > 1e6) {
      reader.complain("balance.weights." + task,
                      print_value(weight) + " is no weight; expected 0 to 1000000");
    }
    sum += std::max(0.0, weight);
  }
  if (!config.tasks.empty() && !(sum > 0)) {
    reader.complain("balance.weights", "all tasks weigh 0; expected one that is learned");
  }
}

void check_decay(ConfigReader& reader, const Config& config) {
  const BalanceOptions& balance = config.learner.balance;
  const bool good = !reader.has("balance.method") || reader.is_good("balance.method");
  if (!balance.decay.empty() && balance.method != BalanceMethod::kFixed && good) {
    reader.complain("balance.decay", "needs `method: fixed`; the method is " +
                                         std::string(choice_name(balance.method)));
  }
  for (const auto& [task, ratio] : balance.decay) {
    find_task(reader, config, "balance.decay", task);
    if (!(0.01 <= ratio && ratio <= 100)) {
      reader.complain("balance.decay." + task,
                      print_value(ratio) + " is no ratio of two windows; expected 0.01 to 100");
    }
  }
}

}  // namespace

void check_balance(ConfigReader& reader, const Config& config, std::vector<Problem>& doubts) {
  check_weights(reader, config);
  check_decay(reader, config);
  const BalanceOptions& balance = config.learner.balance;
  const BalanceMethod method = balance.method;
  const bool scheduled = method == BalanceMethod::kFixed && !balance.decay.empty();
  const bool by_figures = method == BalanceMethod::kDtp || method == BalanceMethod::kPerformance;
  const ModelOptions& model = config.learner.model;
  for (const auto& [key, weight] : {std::pair("model.gate_entropy", model.gate_entropy),
                                    std::pair("model.load_balance", model.load_balance)}) {
    const bool states = config.learner.train.dense.task_states;
    if (weight == 0 || (balance.surgery == Surgery::kNone && !states)) continue;
    reader.complain(key,
                    "cannot work with " +
                        (states ? "train.dense.task_states: true"
                                : "balance.surgery: " + std::string(choice_name(balance.surgery))) +
                        ", which needs every gradient to be of one task's loss");
  }
  if (model.backbone == BackboneKind::kSharedSpecific && model.shared_mix == SharedMix::kMeasured &&
      config.learner.relations.every == 0) {
    reader.complain("model.shared_mix",
                    "measured goes by the gradients' cosines, which relations.every: 0 never "
                    "measures; expected `shared_mix: learned`, or a number of steps there");
  }
  if (model.backbone == BackboneKind::kSeparate && method == BalanceMethod::kGradnorm) {
    reader.complain("balance.method",
                    "gradnorm goes by the gradients in the last layer that all tasks share; with "
                    "model.backbone: separate they share the embeddings alone");
  }
  const BalanceOptions usual;
  const bool is_uncertainty = method == BalanceMethod::kUncertainty;
  struct Effect {
    const char* key;
    bool has_effect, changed;
  };
  const Effect effects[] = {
      {"balance.rate", is_uncertainty, balance.rate != usual.rate},
      {"balance.uncertainty", is_uncertainty, !is_usual(balance.uncertainty)},
      {"balance.gradnorm", method == BalanceMethod::kGradnorm, !is_usual(balance.gradnorm)},
      {"balance.min_weight", method != BalanceMethod::kFixed || scheduled,
       balance.min_weight != usual.min_weight},
      {"balance.window", is_windowed(method) || scheduled, balance.window != usual.window},
      {"balance.temperature", method == BalanceMethod::kDwa,
       balance.temperature != usual.temperature},
      {"balance.focus", method == BalanceMethod::kDtp, balance.focus != usual.focus},
      {"balance.share", by_figures, balance.share != usual.share},
      {"balance.cagrad_radius", balance.surgery == Surgery::kCagrad,
       balance.cagrad_radius != usual.cagrad_radius},
  };
  for (const auto& [key, has_effect, changed] : effects) {
    if (has_effect || !changed || !reader.is_good(key)) continue;
    doubts.push_back(
        {reader.place_of(key),
         std::string(key) + ": has no effect with the method " + std::string(choice_name(method)) +
             (std::string(key) == "balance.cagrad_radius" ? " and another surgery" : "")});
  }
}

}  // namespace millrace
