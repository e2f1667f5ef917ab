#pragma once

#include <cmath>

#include "learner/data/schema.h"

namespace millrace {

/// From a transformed label or output back to the label's units: sign(y) · expm1(|y|) for log1p.
inline double in_label_units(Transform transform, double value) {
  return transform == Transform::kLog1p ? std::copysign(std::expm1(std::fabs(value)), value)
                                        : value;
}

}  // namespace millrace
