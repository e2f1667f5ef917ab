#pragma once

#include <array>

#include "learner/base/fields.h"
#include "learner/base/schedule.h"

namespace millrace {

enum class EmbeddingOptimizer { kSgd, kAdagrad, kRowwiseAdagrad, kFtrl, kAdam };

template <>
struct Choices<EmbeddingOptimizer> {
  static constexpr std::array<Choice<EmbeddingOptimizer>, 5> all{
      {{"sgd", EmbeddingOptimizer::kSgd},
       {"adagrad", EmbeddingOptimizer::kAdagrad},
       {"rowwise_adagrad", EmbeddingOptimizer::kRowwiseAdagrad},
       {"ftrl", EmbeddingOptimizer::kFtrl},
       {"adam", EmbeddingOptimizer::kAdam}}};
};

/// `train.embedding`: how embedding rows follow their gradients (row_optimizer.h has the formulas).
/// What belongs to one optimiser alone is left at its default with every other.
struct EmbeddingOptimizerOptions {
  EmbeddingOptimizer optimizer = EmbeddingOptimizer::kAdagrad;
  double rate = 0.1;
  double l1 = 0;
  double l2 = 0;
  double decay = 0;
  double beta = 1;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  ScheduleOptions schedule = {};

  static constexpr auto fields() {
    using E = EmbeddingOptimizerOptions;
    return std::tuple{
        field("optimizer", &E::optimizer, "Optimiser of the embedding rows."),
        field("rate", &E::rate, "Learning rate of the embedding rows.", 0.0, 10.0),
        field("l1", &E::l1,
              "Of ftrl: a weight is 0 until its gradients add up to more than this. Above 0 rows "
              "start at zero instead of at random.",
              0.0, 1e6),
        field("l2", &E::l2,
              "Adds l2 times the weight to the gradient of each row that a batch uses; of ftrl: λ2 "
              "of its formula.",
              0.0, 1e6),
        field("decay", &E::decay,
              "Share of a weight, times the rate, that it loses in each step of a full batch; what "
              "a row missed while it was not used it loses at once when it is used again.",
              0.0, 1e3),
        field("beta", &E::beta, "Of ftrl: its rate is rate / (beta + root of the squares' sum).",
              1e-6, 1e6),
        field("beta1", &E::beta1, "Of adam: what the mean of the gradients keeps.", 0.0, 0.999999),
        field("beta2", &E::beta2, "Of adam: what the mean of their squares keeps.", 0.0, 0.999999),
        field("epsilon", &E::epsilon, "Of adam: added to the root of that mean.", 1e-15, 1.0),
        field("schedule", &E::schedule,
              "How the rate changes with the steps, a batch of n rows being n / batch of one; not "
              "of ftrl with l1.")};
  }
};

}  // namespace millrace
