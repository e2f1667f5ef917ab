#pragma once

#include "learner/base/fields.h"

namespace millrace {

enum class RepresentationMeasure { kCka, kCosine };

template <>
struct Choices<RepresentationMeasure> {
  static constexpr std::array<Choice<RepresentationMeasure>, 2> all{
      {{"cka", RepresentationMeasure::kCka}, {"cosine", RepresentationMeasure::kCosine}}};
};

/// The `relations:` section of the configuration: how the tasks are measured against each other.
struct RelationOptions {
  int every = 16;
  int steps = 1000;
  int rows = 1'000'000;
  double neutral = 0.05;
  RepresentationMeasure representation = RepresentationMeasure::kCka;

  static constexpr auto fields() {
    using R = RelationOptions;
    return std::tuple{
        field("every", &R::every,
              "Steps (of full batches) between two measurements of the tasks' gradients and tower "
              "inputs; 0: never, and no relation is learned.",
              0, 1'000'000'000),
        field("steps", &R::steps, "Measurements over which their running means reach.", 1,
              1'000'000'000),
        field("rows", &R::rows,
              "Rows over which the running figures of the labels reach (all rows are taken).", 1,
              1'000'000'000),
        field("neutral", &R::neutral,
              "The gradient cosine up to which, in size, two tasks count as neutral to each other.",
              0.0, 1.0),
        field("representation", &R::representation,
              "How tower inputs are compared: linear CKA, or the mean cosine of their rows.")};
  }
};

}  // namespace millrace
