#include "ops/config/idle_checks.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>

namespace millrace {
namespace {

/// What is on by its key `by`, as "rows above 0".
struct Switch {
  std::string_view by;
  bool on;
  std::string_view needs;
};

// (A printed configuration has every key: only what is not its default says anything.)
template <class Options>
void check_section(const ConfigReader& reader, const std::string& section, const Options& options,
                   const Switch& by, std::vector<Problem>& doubts) {
  if (by.on) return;
  const Options usual;
  const auto check = [&](const auto& field) {
    if (field.key == by.by || options.*field.member == usual.*field.member) return;
    const std::string key = section + "." + std::string(field.key);
    doubts.push_back({reader.place_of(key),
                      key + ": has no effect without " + section + "." + std::string(by.needs)});
  };
  std::apply([&](const auto&... fields) { (check(fields), ...); }, Options::fields());
}

}  // namespace

void check_idle(const ConfigReader& reader, const Config& config, std::vector<Problem>& doubts) {
  const LearnerOptions& learner = config.learner;
  const EvaluateOptions& evaluate = learner.evaluate;
  check_section(reader, "relations", learner.relations,
                {"every", learner.relations.every > 0, "every above 0"}, doubts);
  check_section(reader, "guardrails.user_cap", learner.guardrails.user_cap,
                {"rows", learner.guardrails.user_cap.rows > 0, "rows above 0"}, doubts);
  check_section(reader, "evaluate.history", evaluate.history,
                {"points", evaluate.history.points > 0, "points above 0"}, doubts);
  check_section(reader, "evaluate.importance", evaluate.importance,
                {"every", evaluate.importance.every > 0, "every above 0"}, doubts);
  check_section(reader, "evaluate.gates", evaluate.gates,
                {"every", evaluate.gates.every > 0, "every above 0"}, doubts);
  const auto has_net = [](const Task& task) { return has_short_wait(task.policy); };
  if (std::any_of(config.tasks.begin(), config.tasks.end(), has_net)) return;
  const FeedbackOptions &feedback = learner.train.feedback, usual;
  const auto doubt = [&](const std::string& key, bool changed, const char* needs) {
    if (!changed) return;
    doubts.push_back({reader.place_of(key), key + ": has no effect without " + needs});
  };
  const char* nets = "es_dfm, defer, defuse or dfm in train.delayed_feedback";
  doubt("train.feedback.layers", feedback.layers != usual.layers, nets);
  doubt("train.feedback.rate", feedback.rate != usual.rate, nets);
  const bool early = std::any_of(config.tasks.begin(), config.tasks.end(), [](const Task& task) {
    return task.policy != FeedbackPolicy::kWait;
  });
  doubt("train.feedback.forget_after", !early && feedback.forget_after != usual.forget_after,
        "a policy in train.delayed_feedback");
}

}  // namespace millrace
