#include "learner/train/recalibration.h"

#include <algorithm>
#include <cmath>

#include "learner/math/activation.h"

namespace millrace {
namespace {

constexpr double kMostLogit = 16, kMostShift = 16, kLeastSlope = 0.1, kMostSlope = 10;
constexpr double kHeldSlope = 100, kHeldShift = 5;  // D
constexpr double kSlopeStep = 0.25, kShiftStep = 0.5;

}  // namespace

void Recalibration::learn(double logit, double label, double weight) {
  if (!std::isfinite(logit) || !(weight > 0)) return;
  const double z = std::clamp(logit, -kMostLogit, kMostLogit);
  const double p = math::sigmoid(slope_ * z + shift_);
  const double fade = 1 - 1 / rows_, told = weight * p * (1 - p);
  slopes_ = fade * slopes_ + told * z * z;
  crossed_ = fade * crossed_ + told * z;
  shifts_ = fade * shifts_ + told;
  const double a = slopes_ + kHeldSlope, b = shifts_ + kHeldShift;
  const double determinant = a * b - crossed_ * crossed_;  // > 0: A is never negative
  const double pull = weight * (p - label) / determinant;
  const double slope_step = pull * (b * z - crossed_), shift_step = pull * (a - crossed_ * z);
  slope_ =
      std::clamp(slope_ - std::clamp(slope_step, -kSlopeStep, kSlopeStep), kLeastSlope, kMostSlope);
  shift_ =
      std::clamp(shift_ - std::clamp(shift_step, -kShiftStep, kShiftStep), -kMostShift, kMostShift);
}

void Recalibration::settle() { line_ = {static_cast<float>(slope_), static_cast<float>(shift_)}; }

void Recalibration::save(ByteWriter& writer) const {
  for (const double value : {slope_, shift_, slopes_, crossed_, shifts_}) writer.put(value);
}

void Recalibration::restore(ByteReader& reader) {
  for (double* value : {&slope_, &shift_, &slopes_, &crossed_, &shifts_}) {
    *value = reader.get<double>();
    if (!std::isfinite(*value)) throw StateError("a saved recalibration is not finite");
  }
  settle();
}

}  // namespace millrace
