// What `train.delayed_feedback` and `train.negative_sampling` ask of tasks and events.
#include "ops/config/feedback_checks.h"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr Duration kUsualShortWait{15 * 60'000};

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// Where a short wait ends that was not written: short of the label in any case.
Duration usual_short_wait(Duration window) {
  return kUsualShortWait < window ? kUsualShortWait : window / 2;
}

void set_policy(ConfigReader& reader, Config& config, const std::string& key, int t,
                const FeedbackSetting& setting, std::vector<Problem>& doubts) {
  Task& task = config.tasks[at(t)];
  const std::string word(choice_name(setting.policy));
  if (setting.short_wait && !has_short_wait(setting.policy)) {
    return reader.complain(
        key, "short_wait belongs to es_dfm, defer, defuse and dfm; the policy is " + word);
  }
  if (setting.policy == FeedbackPolicy::kWait) return;
  if (task.kind != TaskKind::kBinary) {
    return reader.complain(key, word + " is only for binary tasks; " + task.name + " is a " +
                                    std::string(choice_name(task.kind)));
  }
  task.policy = setting.policy;
  if (config.labels[at(t)].outcome < 0) {
    doubts.push_back({reader.place_of(key), key + ": has no effect; samples carry the label"});
    // Of files of rows that tell their delays (ops/parity), the unit of time to begin with.
    if (setting.policy == FeedbackPolicy::kDfm) {
      task.short_wait = setting.short_wait.value_or(kUsualShortWait);
    }
  } else if (has_short_wait(setting.policy)) {
    const Duration window = decided_after(config, t);
    task.short_wait = setting.short_wait.value_or(usual_short_wait(window));
    if (task.short_wait < window) return;
    reader.complain(key, "short_wait " + print_duration(task.short_wait) +
                             " is no shorter than the label's window (" + print_duration(window) +
                             ")");
  }
}

bool is_given(const Config& config, int task, int condition) {
  for (std::size_t steps = 0; task >= 0 && steps <= config.tasks.size(); ++steps) {
    if (task == condition) return true;
    task = config.tasks[at(task)].given;
  }
  return false;
}

}  // namespace

int find_task(ConfigReader& reader, const Config& config, const std::string& key,
              const std::string& name) {
  std::vector<std::string> names;
  for (std::size_t t = 0; t < config.tasks.size(); ++t) {
    if (config.tasks[t].name == name) return static_cast<int>(t);
    names.push_back(config.tasks[t].name);
  }
  if (!names.empty()) {
    reader.complain(key + "." + name, "there is no such task; expected " + join_words(names));
  }
  return -1;
}

Duration decided_after(const Config& config, int task) {
  Duration due{0};
  for (std::size_t steps = 0; task >= 0 && steps <= config.tasks.size(); ++steps) {
    const int outcome = config.labels[at(task)].outcome;
    if (outcome >= 0) due = std::max(due, config.events.outcomes[at(outcome)].window);
    task = config.tasks[at(task)].given;
  }
  return due;
}

void check_feedback(ConfigReader& reader, Config& config, std::vector<Problem>& doubts) {
  for (const auto& [name, setting] : config.learner.train.delayed_feedback) {
    const int t = find_task(reader, config, "train.delayed_feedback", name);
    if (t >= 0) {
      set_policy(reader, config, "train.delayed_feedback." + name, t, setting, doubts);
    }
  }
}

void check_sampling(ConfigReader& reader, Config& config, std::vector<Problem>& doubts) {
  const NegativeSamplingOptions& sampling = config.learner.train.negative_sampling;
  const std::string key = "train.negative_sampling";
  if (config.tasks.empty() || (reader.has(key) && !reader.is_good(key))) return;
  int t = 0;
  if (!sampling.task.empty()) {
    t = -1;
    std::vector<std::string> names;
    for (std::size_t k = 0; k < config.tasks.size(); ++k) {
      if (config.tasks[k].name == sampling.task) t = static_cast<int>(k);
      names.push_back(config.tasks[k].name);
    }
    if (t < 0) {
      return reader.complain(key + ".task",
                             sampling.task + " is no task; expected " + join_words(names));
    }
  }
  if (sampling.ratio > 0 && sampling.rate != 1) {
    return reader.complain(key + ".ratio", "stands for a rate; expected one of both");
  }
  if (sampling.rate == 1 && sampling.ratio == 0) {
    if (!sampling.task.empty() || sampling.correct != SamplingCorrection::kWeight) {
      doubts.push_back({reader.place_of(key), key + ": has no effect at the rate 1"});
    }
    return;
  }
  Task& task = config.tasks[at(t)];
  const std::string place = reader.has(key + ".task") ? key + ".task" : key;
  if (task.kind != TaskKind::kBinary || task.given >= 0) {
    return reader.complain(place, task.name + " is no binary task without a condition");
  }
  if (task.policy != FeedbackPolicy::kWait) {
    return reader.complain(place, "the negatives of " + task.name +
                                      " are known when its label is decided; expected the policy "
                                      "wait for it, not " +
                                      std::string(choice_name(task.policy)));
  }
  if (sampling.correct == SamplingCorrection::kWeight) return;
  if (sampling.ratio > 0) {
    return reader.complain(key + ".correct",
                           "serving makes up for one rate, and with a ratio it changes; expected "
                           "weight");
  }
  // Where nothing weighs what was left out, the other labels must not miss it.
  for (int k = 0; k < static_cast<int>(config.tasks.size()); ++k) {
    const Task& other = config.tasks[at(k)];
    if (is_given(config, k, t) && other.policy == FeedbackPolicy::kWait) continue;
    return reader.complain(key + ".correct", "serving needs every other task to be given " +
                                                 task.name + " and to wait for its label; " +
                                                 other.name + " does not; expected weight");
  }
  task.logit_shift = std::log(sampling.rate);
}

}  // namespace millrace
