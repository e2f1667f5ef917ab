#pragma once

#include <string>

#include "learner/base/fields.h"

namespace millrace {

/// How the negatives that were left out are made up for (algorithms 2.15).
enum class SamplingCorrection {
  kWeight,   ///< Those that were kept weigh 1 / rate.
  kServing,  ///< They weigh 1; ln rate is added to the task's logit where it is served.
};
template <>
struct Choices<SamplingCorrection> {
  static constexpr std::array<Choice<SamplingCorrection>, 2> all{
      {{"weight", SamplingCorrection::kWeight}, {"serving", SamplingCorrection::kServing}}};
};

/// `train.negative_sampling`: rows whose label of `task` is 0 are kept at `rate`, or at the rate
/// that leaves `ratio` of them for each 1.
struct NegativeSamplingOptions {
  double rate = 1;
  std::string task;
  SamplingCorrection correct = SamplingCorrection::kWeight;
  double ratio = 0;

  static auto fields() {
    using N = NegativeSamplingOptions;
    return std::tuple{
        field("rate", &N::rate, "The share of negative rows that is kept; 1: all.", 1e-6, 1.0),
        field("ratio", &N::ratio,
              "Instead of a fixed rate: how many negatives are kept for each positive; the rate "
              "follows from the counts so far. 0: off.",
              0.0, 1e6),
        field("task", &N::task,
              "The binary task without a condition whose negatives are sampled. Default: the "
              "first."),
        field("correct", &N::correct,
              "How that is made up for: kept negatives weigh 1 / rate, or ln rate is added to the "
              "task's logit when it is served.")};
  }
};

}  // namespace millrace
