#pragma once

#include <cmath>
#include <limits>

#include "learner/data/label_units.h"
#include "learner/data/schema.h"
#include "learner/math/activation.h"
#include "learner/publish/publication.h"

namespace millrace {

/// What is answered for a task's own logit z: a binary task's probability (given its condition,
/// where it has one); any other task's value in the label's units: of a regression or duration the
/// inverse of its transform at z clamped to the range of transformed labels seen (with log1p that
/// is a median, not a mean; of a duration it is never negative), of a count its rate e^z, a mean,
/// within the range of counts seen.
/// NaN where that is not finite, so also for a NaN in z.
inline float served_value(const Task& task, const LabelRange& seen, float z) {
  float value = 0;
  if (task.kind == TaskKind::kBinary) {
    value = math::sigmoid(z);
  } else {
    value =
        static_cast<float>(clamped_value(task, double{z}, double{seen.least}, double{seen.most}));
  }
  return std::isfinite(value) ? value : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace millrace
