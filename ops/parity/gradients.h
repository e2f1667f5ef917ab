#pragma once

#include <optional>
#include <string>
#include <vector>

#include "learner/base/result.h"
#include "ops/config/config.h"
#include "ops/parity/batch_file.h"
#include "ops/parity/tensor_file.h"

namespace millrace {

/// The learner's gradients on the last of some batches, held against central differences of its
/// losses in double, by the code that trains in float.
struct GradientRun {
  Config config;
  GivenBatches batches;  ///< Those before the last one make the statistics of numbers alone.
  std::optional<TensorFile> weights;  ///< None: normal numbers of train.seed, `deviation` wide.
  double deviation = 0.5;
  double step = 1e-4;
};

/// Of one array of weights, or of the inputs ("x").
struct ArrayGradient {
  std::string array;
  /// ‖ours − differences‖ / ‖differences‖ in double and in float, the largest of any task's loss.
  /// Slopes so small that rounding alone makes more than 1e-6 of them count as the least that do
  /// not.
  double in_double = 0, in_float = 0;
  std::string loss;  ///< The task's whose it is, in double.
};

struct GradientResult {
  std::vector<ArrayGradient> arrays;
  /// Slopes that were left out, since two steps of the differences do not agree: a unit's kink is
  /// between them.
  long left_out = 0;
  long compared = 0;
};

/// Each task's loss L_k (algorithms 2.0: as it is weighed by no balancer) by each weight that a
/// gradient moves and by each element of the input x, of which the slope of an embedding row is a
/// sum. Differences of steps 2h and h, extrapolated to 0. What a unit or a gate drops is drawn as
/// in the first step. A STEM's slopes that do not pass to others' experts are those of a step in
/// which the others' logits stay. Cost: four forward passes for each weight. Error: the weights do
/// not fit; or differences cannot tell the slopes: of a STEM of several levels, which holds some
/// back inside one task's network, of penalties on gates, which are no task's loss, and of labels
/// learned before they are decided.
Result<GradientResult> check_gradients(const GradientRun& run);

}  // namespace millrace
