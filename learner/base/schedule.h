#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "learner/base/fields.h"

namespace millrace {

enum class ScheduleShape { kConstant, kInverseSqrt, kCosine, kExponential, kStep };
template <>
struct Choices<ScheduleShape> {
  static constexpr std::array<Choice<ScheduleShape>, 5> all{
      {{"constant", ScheduleShape::kConstant},
       {"inverse_sqrt", ScheduleShape::kInverseSqrt},
       {"cosine", ScheduleShape::kCosine},
       {"exponential", ScheduleShape::kExponential},
       {"step", ScheduleShape::kStep}}};
};

/// `train.dense.schedule`, `train.embedding.schedule`: how a learning rate changes with the steps.
struct ScheduleOptions {
  ScheduleShape shape = ScheduleShape::kConstant;
  double warmup = 0;
  double length = 10'000;
  double factor = 0.5;
  double floor = 0.1;

  static constexpr auto fields() {
    using S = ScheduleOptions;
    return std::tuple{
        field("shape", &S::shape,
              "What happens to the rate after the warm-up: constant; inverse_sqrt: √(length / "
              "(length + steps)); cosine: half a cosine over `length` steps; exponential: times "
              "`factor` in every `length` steps, evenly; step: the same at once at their ends."),
        field("warmup", &S::warmup,
              "Over so many steps the rate rises evenly from 0. A step is a full batch's; a batch "
              "of n rows is n / batch of one.",
              0.0, 1e9),
        field("length", &S::length, "Steps; of every shape but constant.", 1.0, 1e12),
        field("factor", &S::factor, "Of exponential and step.", 1e-6, 1.0),
        field("floor", &S::floor,
              "The least share of the rate; of every shape but constant. A stream has no end, so "
              "neither has learning.",
              0.0, 1.0),
    };
  }
};

/// The share of the configured rate that a step takes. `steps` is Σφ over the steps so far with
/// this one: of the data alone, in the commit, and whatever the traffic (algorithms 2.0).
///
///   s < w: s / w;  then, with u = s − w over L = length:
///   inverse_sqrt  √(L / (L + u)), which with L = w is Vaswani et al. 2017;
///   cosine        f + (1 − f) (1 + cos(π min(u, L) / L)) / 2, Loshchilov and Hutter 2017, no
///   restart; exponential   factor^(u / L);  step  factor^⌊u / L⌋;  none below f = floor.
inline double scheduled_share(const ScheduleOptions& options, double steps) {
  if (steps < options.warmup) return steps / options.warmup;
  // Σφ of many partial batches ends a hair below the whole number that it stands for.
  constexpr double kRounding = 1e-9;
  const double past = (steps - options.warmup) / options.length;
  double share = 1;
  switch (options.shape) {
    case ScheduleShape::kConstant:
      return 1;
    case ScheduleShape::kInverseSqrt:
      share = 1 / std::sqrt(1 + past);
      break;
    case ScheduleShape::kCosine:
      share = options.floor +
              (1 - options.floor) * (1 + std::cos(std::numbers::pi * std::min(past, 1.0))) / 2;
      break;
    case ScheduleShape::kExponential:
      share = std::pow(options.factor, past);
      break;
    case ScheduleShape::kStep:
      share = std::pow(options.factor, std::floor(past + kRounding));
      break;
  }
  return std::max(share, options.floor);
}

}  // namespace millrace
