#pragma once

#include <algorithm>
#include <cmath>

#include "learner/data/schema.h"

namespace millrace {

/// From a transformed label or output back to the label's units: sign(y) · expm1(|y|) for log1p.
inline double in_label_units(Transform transform, double value) {
  return transform == Transform::kLog1p ? std::copysign(std::expm1(std::fabs(value)), value)
                                        : value;
}

/// From the output z of a task that is not binary to the label's units: a count's rate e^z, else
/// the inverse of the transform. NaN for NaN.
inline double value_of_output(const Task& task, double z) {
  return task.kind == TaskKind::kCount ? std::exp(z) : in_label_units(task.transform, z);
}

/// The same within the range of transformed labels seen, least to most.
inline double clamped_value(const Task& task, double z, double least, double most) {
  if (std::isnan(z)) return z;
  if (task.kind == TaskKind::kCount) return std::clamp(std::exp(z), least, most);
  return in_label_units(task.transform, std::clamp(z, least, most));
}

}  // namespace millrace
