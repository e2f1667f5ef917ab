#pragma once

#include <algorithm>
#include <cmath>

#include "learner/base/state.h"
#include "learner/math/running_mean.h"

namespace millrace {

/// (x − mean) · inverse_deviation within ±8; 0 for a missing value (NaN) and where nothing, or
/// only one value, was ever seen (inverse_deviation 0).
inline float standardise(float x, float mean, float inverse_deviation) {
  if (std::isnan(x) || inverse_deviation == 0) return 0;
  return std::clamp((x - mean) * inverse_deviation, -8.0F, 8.0F);
}

/// Running mean and standard deviation of one numeric feature: over all of the first 20,000 values,
/// then exponentially fading with that length. Values that are missing or not finite do not count.
class RunningMoments {
 public:
  static constexpr double kLength = 20'000;

  /// Takes a batch's values in; `at(i)` for 0 ≤ i < rows.
  template <class At>
  void add(int rows, At&& at) {
    double n = 0, sum = 0;
    for (int i = 0; i < rows; ++i) {
      if (const double x = at(i); std::isfinite(x)) ++n, sum += x;
    }
    if (n == 0) return;
    const double batch_mean = sum / n;
    double squares = 0;
    for (int i = 0; i < rows; ++i) {
      if (const double x = at(i); std::isfinite(x)) squares += (x - batch_mean) * (x - batch_mean);
    }
    // Chan et al. 1983, with the share of the batch instead of its count.
    const double share = math::running_share(count_, n, kLength), step = batch_mean - mean_;
    mean_ += share * step;
    variance_ = (1 - share) * (variance_ + share * step * step) + share * squares / n;
    count_ = std::min(count_ + n, kLength);
  }

  float mean() const { return static_cast<float>(mean_); }
  /// 0 where the values seen do not differ by more than the rounding of their sums.
  float inverse_deviation() const {
    if (!(variance_ > 1e-20 * mean_ * mean_)) return 0;
    return static_cast<float>(1 / std::sqrt(variance_));
  }

  void save(ByteWriter& writer) const {
    for (const double value : {count_, mean_, variance_}) writer.put(value);
  }
  void restore(ByteReader& reader) {
    for (double* value : {&count_, &mean_, &variance_}) *value = reader.get<double>();
  }

 private:
  double count_ = 0, mean_ = 0, variance_ = 0;
};

}  // namespace millrace
