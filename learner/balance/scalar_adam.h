#pragma once

#include <cmath>

#include "learner/balance/balancer.h"

namespace millrace {

/// Adam (Kingma and Ba 2015; .9, .999, 1e-8) of one number that takes its own steps.
struct ScalarAdam {
  static constexpr int kValues = 3;

  double moment = 0, square = 0, steps = 0;

  /// What the number moves by, times the rate: it is to be subtracted.
  double step(double slope) {
    constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
    steps += 1;
    moment += (1 - kBeta1) * (slope - moment);
    square += (1 - kBeta2) * (slope * slope - square);
    const double corrected = square / (1 - std::pow(kBeta2, steps));
    return moment / (1 - std::pow(kBeta1, steps)) / (std::sqrt(corrected) + kEpsilon);
  }

  void save(ByteWriter& writer) const {
    for (const double value : {moment, square, steps}) writer.put(value);
  }
  void restore(ByteReader& reader) {
    for (double* value : {&moment, &square, &steps}) *value = read_finite(reader);
    if (square < 0 || steps < 0) throw StateError("the balancer's state is out of its range");
  }
};

}  // namespace millrace
