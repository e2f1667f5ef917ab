#include "ops/config/train_checks.h"

#include <map>
#include <string>
#include <utility>

#include "ops/config/feedback_checks.h"

namespace millrace {
namespace {

// Complains about a key that was changed from its default although it has no effect; `needs`: what
// would give it one. (A printed configuration has every key.)
void expect_needed(ConfigReader& reader, const std::string& key, bool changed, bool applies,
                   const std::string& needs) {
  if (changed && !applies) reader.complain(key, "has no effect; expected " + needs);
}

void check_schedule(ConfigReader& reader, const std::string& key, const ScheduleOptions& schedule) {
  if (reader.has(key + ".shape") && !reader.is_good(key + ".shape")) return;
  const ScheduleOptions usual;
  const bool changes = schedule.shape != ScheduleShape::kConstant;
  const bool by_factor =
      schedule.shape == ScheduleShape::kExponential || schedule.shape == ScheduleShape::kStep;
  const std::string other = "another `shape` than constant beside it";
  expect_needed(reader, key + ".length", schedule.length != usual.length, changes, other);
  expect_needed(reader, key + ".floor", schedule.floor != usual.floor, changes, other);
  expect_needed(reader, key + ".factor", schedule.factor != usual.factor, by_factor,
                "`shape: exponential` or step beside it");
}

// A number for each named task, more than 0 and at most `most`.
void check_numbers(ConfigReader& reader, const Config& config, const std::string& key,
                   const std::map<std::string, double>& values, double most) {
  for (const auto& [task, value] : values) {
    find_task(reader, config, key, task);
    if (0 < value && value <= most) continue;
    reader.complain(key + "." + task,
                    print_value(value) + " is not more than 0 and at most " + print_value(most));
  }
}

}  // namespace

void check_labels(ConfigReader& reader, const Config& config) {
  const LabelOptions& labels = config.learner.train.labels;
  const std::string key = "train.labels.";
  check_numbers(reader, config, key + "ratio", labels.ratio, 1e6);
  check_numbers(reader, config, key + "oversample", labels.oversample, 1e6);
  check_numbers(reader, config, key + "curriculum.steps", labels.curriculum.steps, 1e12);
  const auto& recalibrate = config.learner.train.recalibrate;
  for (const auto& [task, rows] : recalibrate) {
    if (find_task(reader, config, "train.recalibrate", task) < 0) continue;
    if (100 <= rows && rows <= 1e9) continue;
    reader.complain("train.recalibrate." + task,
                    print_value(rows) + " is no number of rows; expected 100 to 1000000000");
  }
  bool all_wait = !config.tasks.empty();
  for (const Task& task : config.tasks) {
    if (labels.ratio.contains(task.name) && task.kind != TaskKind::kBinary) {
      reader.complain(
          key + "ratio." + task.name,
          "a ratio is of 1s and 0s; " + task.name + " is a " + std::string(choice_name(task.kind)));
    }
    if (labels.ratio.contains(task.name) && task.policy == FeedbackPolicy::kDfm) {
      reader.complain(key + "ratio." + task.name,
                      "a ratio weighs a label by what it is in the end, and dfm learns it before "
                      "that; expected no ratio of " +
                          task.name + ", or another policy than dfm");
    }
    if (recalibrate.contains(task.name) && task.kind != TaskKind::kBinary) {
      reader.complain("train.recalibrate." + task.name, "a probability is recalibrated; " +
                                                            task.name + " is a " +
                                                            std::string(choice_name(task.kind)));
    }
    all_wait &= labels.curriculum.steps.contains(task.name);
  }
  if (all_wait) {
    reader.complain(key + "curriculum.steps",
                    "every task waits for its step; expected one that learns from the start");
  }
}

void check_optimizers(ConfigReader& reader, const Config& config, std::vector<Problem>& doubts) {
  const DenseOptimizerOptions& dense = config.learner.train.dense;
  const DenseOptimizerOptions usual;
  const std::string key = "train.dense.";
  if (!reader.has(key + "optimizer") || reader.is_good(key + "optimizer")) {
    const bool decays = dense.optimizer == DenseOptimizer::kAdamw;
    expect_needed(reader, key + "momentum", dense.momentum != 0,
                  dense.optimizer == DenseOptimizer::kSgd, "`optimizer: sgd` beside it");
    expect_needed(reader, key + "weight_decay", dense.weight_decay != usual.weight_decay, decays,
                  "`optimizer: adamw` beside it");
    expect_needed(reader, key + "task_states", dense.task_states,
                  dense.optimizer != DenseOptimizer::kSgd,
                  "`optimizer: adam`, adamw or adagrad beside it: sgd divides no gradient by its "
                  "size, so that the tasks' steps add up to the step of their sum");
    const Surgery surgery = config.learner.balance.surgery;
    if (dense.task_states && surgery != Surgery::kNone) {
      reader.complain(key + "task_states",
                      "cannot work with balance.surgery: " + std::string(choice_name(surgery)) +
                          ", which makes one gradient of the tasks' gradients; expected one of "
                          "the two");
    }
    if (decays && dense.rate * dense.weight_decay >= 1) {
      reader.complain(key + "weight_decay", print_value(dense.weight_decay) + " times the rate (" +
                                                print_value(dense.rate) +
                                                ") is 1 or more: no weight would be left");
    }
  }
  const bool clips = dense.clip != UpdateClipping::kOff;
  for (const auto& [name, changed] :
       {std::pair{"clip_relative", dense.clip_relative != usual.clip_relative},
        std::pair{"clip_absolute", dense.clip_absolute != usual.clip_absolute}}) {
    if (clips || !changed) continue;
    doubts.push_back({reader.place_of(key + name), key + name + ": has no effect without clip"});
  }
  check_schedule(reader, "train.dense.schedule", dense.schedule);
  check_schedule(reader, "train.embedding.schedule", config.learner.train.embedding.schedule);
}

}  // namespace millrace
