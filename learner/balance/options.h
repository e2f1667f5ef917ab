#pragma once

#include <map>
#include <string>

#include "learner/base/fields.h"

namespace millrace {

enum class BalanceMethod { kFixed, kUncertainty, kGradnorm, kDwa, kPerformance };
enum class Surgery { kNone, kPcgrad, kCagrad };

template <>
struct Choices<BalanceMethod> {
  static constexpr std::array<Choice<BalanceMethod>, 5> all{
      {{"fixed", BalanceMethod::kFixed},
       {"uncertainty", BalanceMethod::kUncertainty},
       {"gradnorm", BalanceMethod::kGradnorm, false},
       {"dwa", BalanceMethod::kDwa, false},
       {"performance", BalanceMethod::kPerformance, false}}};
};
template <>
struct Choices<Surgery> {
  static constexpr std::array<Choice<Surgery>, 3> all{{{"none", Surgery::kNone},
                                                       {"pcgrad", Surgery::kPcgrad, false},
                                                       {"cagrad", Surgery::kCagrad, false}}};
};

/// The `balance:` section of the configuration.
struct BalanceOptions {
  BalanceMethod method = BalanceMethod::kUncertainty;
  Surgery surgery = Surgery::kNone;
  double rate = 0.01;
  double min_weight = 0.05;
  /// Of method `fixed`, by task; 1 where a task is not named. Scaled so that they sum to T.
  std::map<std::string, double> weights;

  static auto fields() {
    using B = BalanceOptions;
    return std::tuple{
        field("method", &B::method, "How the tasks' losses are weighed against each other."),
        field("surgery", &B::surgery, "What is done to conflicting gradients of shared weights."),
        field("rate", &B::rate, "Adam's rate for uncertainty's log variances.", 0.0, 1.0),
        field("min_weight", &B::min_weight, "The least weight of a task, as a share of the mean.",
              0.0, 1.0),
        field("weights", &B::weights, "Task weights of the method `fixed`, by task name."),
    };
  }
};

}  // namespace millrace
