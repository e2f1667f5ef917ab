#pragma once

#include <map>
#include <string>

#include "learner/base/fields.h"

namespace millrace {

/// `train.labels.curriculum`: tasks with many labels first.
struct CurriculumOptions {
  std::int64_t labels = 0;
  std::map<std::string, double> steps;

  static auto fields() {
    using C = CurriculumOptions;
    return std::tuple{
        field("labels", &C::labels,
              "A task is learned once so many of its labels have come (of a binary task: of its "
              "1s); the task with the most always is. 0: all from the start.",
              0, std::int64_t{1} << 53),
        field("steps", &C::steps,
              "By task: instead, from so many steps on. A step is a full batch's."),
    };
  }
};

/// `train.labels`: how much the labels of a task, or of its rare class, count in what is learned.
/// Metrics are of all labels alike.
struct LabelOptions {
  std::map<std::string, double> ratio;
  std::map<std::string, double> oversample;
  double effective_count = 0;
  CurriculumOptions curriculum;

  static auto fields() {
    using L = LabelOptions;
    return std::tuple{
        field("ratio", &L::ratio,
              "By binary task: the most that its 0s may weigh together, in weights of its 1s. They "
              "weigh less, as the counts so far say, and the logit that the loss sees is shifted "
              "for it, so that what is served needs no correction."),
        field("oversample", &L::oversample,
              "By task: how often a row counts that has its label, in this task's loss; as far as "
              "the sum of all tasks' weights allows, which stays."),
        field("effective_count", &L::effective_count,
              "β of (1 − β)/(1 − β^n), by which a task with n labels (of a binary task: 1s) so far "
              "weighs more the fewer they are. 0: off.",
              0.0, 0.9999999999),
        field("curriculum", &L::curriculum, "Tasks with many labels first."),
    };
  }
};

}  // namespace millrace
