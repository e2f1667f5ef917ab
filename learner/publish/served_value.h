#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "learner/data/label_units.h"
#include "learner/data/schema.h"
#include "learner/math/activation.h"
#include "learner/publish/publication.h"

namespace millrace {

/// What is answered for a task's own logit z: a binary task's probability (given its condition,
/// where it has one); a regression's value in the label's units, the inverse of its transform at z
/// clamped to the range of transformed labels seen. With log1p that is a median, not a mean.
/// NaN where that is not finite, so also for a NaN in z.
inline float served_value(const Task& task, const LabelRange& seen, float z) {
  float value = 0;
  if (task.kind == TaskKind::kBinary) {
    value = math::sigmoid(z);
  } else {
    const float y = std::isnan(z) ? z : std::clamp(z, seen.least, seen.most);
    value = static_cast<float>(in_label_units(task.transform, double{y}));
  }
  return std::isfinite(value) ? value : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace millrace
