#include "ops/config/evaluate_checks.h"

#include <algorithm>
#include <string>
#include <utility>

#include "learner/publish/score_formula.h"
#include "ops/config/feedback_checks.h"

namespace millrace {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

void check_composite(ConfigReader& reader, const Config& config) {
  double sum = 0;
  const auto& composite = config.learner.evaluate.composite;
  for (const auto& [task, weight] : composite) {
    find_task(reader, config, "evaluate.composite", task);
    if (weight < 0 || weight > 1e6) {
      reader.complain("evaluate.composite." + task,
                      print_value(weight) + " is no weight; expected 0 to 1000000");
    }
    sum += std::max(0.0, weight);
  }
  if (!composite.empty() && !(sum > 0)) {
    reader.complain("evaluate.composite", "all tasks weigh 0; expected one that counts");
  }
}

bool is_condition_of(const Config& config, int condition, int task) {
  std::size_t steps = 0;  // a circle is complained about elsewhere
  for (int t = config.tasks[at(task)].given; t >= 0 && steps < config.tasks.size(); ++steps) {
    if (t == condition) return true;
    t = config.tasks[at(t)].given;
  }
  return false;
}

// Whether the labels of a formula's tasks are decided in one row: an earlier one only where it is a
// condition of all that come later.
void check_known_together(ConfigReader& reader, const Config& config, const std::string& key,
                          const std::vector<int>& tasks) {
  for (const int early : tasks) {
    const Task& task = config.tasks[at(early)];
    if (task.policy != FeedbackPolicy::kWait) {
      return reader.complain(
          key, "the label of " + task.name + " is learned before it is decided (" +
                   std::string(choice_name(task.policy)) + "); expected tasks under `wait`");
    }
    for (const int late : tasks) {
      const Duration a = decided_after(config, early), b = decided_after(config, late);
      if (!(a < b) || is_condition_of(config, early, late)) continue;
      return reader.complain(
          key, "the labels of " + task.name + " (after " + print_duration(a) + ") and " +
                   config.tasks[at(late)].name + " (after " + print_duration(b) +
                   ") are never decided in one row; expected tasks of one window, or conditions "
                   "of the later ones");
    }
  }
}

void check_business(ConfigReader& reader, const Config& config) {
  std::vector<std::string> names;
  for (const Task& task : config.tasks) names.push_back(task.name);
  for (const auto& [name, text] : config.learner.evaluate.business) {
    const std::string key = "evaluate.business." + name;
    if (!is_name(name)) reader.complain(key, "expected a name without control characters");
    const auto formula = ScoreFormula::parse(text, names);
    if (!formula) {
      reader.complain(key, '"' + text + "\": " + formula.error().message);
      continue;
    }
    std::vector<int> tasks;
    for (int t = 0; t < formula->tasks(); ++t) {
      if (formula->reads(t)) tasks.push_back(t);
    }
    if (tasks.empty()) {
      reader.complain(key, '"' + text + "\" names no task");
    } else {
      check_known_together(reader, config, key, tasks);
    }
  }
}

void check_slices(ConfigReader& reader, const Config& config, std::vector<Problem>& doubts) {
  const SliceOptions& slices = config.learner.evaluate.slices;
  const std::string prefix = "evaluate.slices.";
  if (slices.event && !slices.feature.empty()) {
    reader.complain(prefix + "event", "true beside a feature; expected one of the two");
  }
  if (slices.event) return;
  if (slices.feature.empty()) {
    const bool other_most = slices.most != SliceOptions{}.most;
    for (const auto& [key, changed] :
         {std::pair("values", !slices.values.empty()), std::pair("most", other_most)}) {
      if (!changed || !reader.is_good(prefix + key)) continue;
      doubts.push_back({reader.place_of(prefix + key),
                        prefix + key + ": has no effect without a feature or `event: true`"});
    }
    return;
  }
  const auto found = std::find_if(config.features.begin(), config.features.end(),
                                  [&](const Feature& f) { return f.name == slices.feature; });
  if (found == config.features.end()) {
    std::vector<std::string> names;
    for (const Feature& feature : config.features) {
      if (feature.kind == FeatureKind::kCategorical) names.push_back(feature.name);
    }
    reader.complain(prefix + "feature",
                    slices.feature + " is no feature; expected " +
                        (names.empty() ? "a categorical one to be there" : join_words(names)));
  } else if (found->kind != FeatureKind::kCategorical) {
    reader.complain(prefix + "feature", slices.feature + " is " +
                                            std::string(choice_name(found->kind)) +
                                            "; expected a categorical feature");
  }
  if (slices.values.size() > SliceOptions::kMost) {
    reader.complain(prefix + "values", std::to_string(slices.values.size()) +
                                           " values are more than " +
                                           std::to_string(SliceOptions::kMost));
  }
  if (!slices.values.empty() && reader.is_good(prefix + "most")) {
    doubts.push_back({reader.place_of(prefix + "most"),
                      prefix + "most: has no effect where `values` names them"});
  }
}

}  // namespace

void check_evaluate(ConfigReader& reader, const Config& config, std::vector<Problem>& doubts) {
  const EvaluateOptions& options = config.learner.evaluate;
  if (!config.tasks.empty()) {
    check_composite(reader, config);
    check_business(reader, config);
  }
  check_slices(reader, config, doubts);
  if (options.long_window && (!options.window || *options.long_window <= *options.window)) {
    reader.complain(
        "evaluate.long_window",
        print_value(*options.long_window) + (options.window ? " is no longer than evaluate.window"
                                                            : " needs evaluate.window beside it"));
  }
  if (options.gates.even <= options.gates.collapsed) {
    reader.complain("evaluate.gates.even", print_value(options.gates.even) +
                                               " is no greater than evaluate.gates.collapsed");
  }
}

}  // namespace millrace
