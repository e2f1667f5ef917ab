#pragma once

#include "learner/base/state.h"
#include "learner/publish/publication.h"

namespace millrace {

/// Online Platt scaling (Platt 1999): the served logit z of a binary task becomes slope · z +
/// shift, fitted by stochastic gradient steps on the log loss of what comes in, row by row:
///
///   p = σ(slope · z + shift),  x = (z, 1)
///   A ← (1 − 1/rows) · A + w p (1 − p) x xᵀ
///   (slope, shift) ← (slope, shift) − (A + D)⁻¹ · w (p − y) x
///
/// A is what the last `rows` rows tell of the two numbers, so a step is as large as a row counts
/// among them, whatever the base rate and the spread of z; D = diag(100, 5) holds the first steps
/// to the identity. z counts within ±16, a step changes the slope by at most ¼ and the shift by ½,
/// the slope stays in [0.1, 10] and the shift within ±16.
///
/// What is applied is what was learned up to the last `settle`: from rows before the batch at hand.
/// Deterministic: a function of the rows in their order. Threads: one at a time.
class Recalibration {
 public:
  /// Requires: rows ≥ 1.
  explicit Recalibration(double rows) : rows_(rows) {}

  double apply(double logit) const { return line_.at(logit); }
  /// One row whose label, 0 or 1, is known. What is not finite is passed over.
  void learn(double logit, double label, double weight);
  /// What was learned is applied from now on.
  void settle();

  const LogitLine& line() const { return line_; }

  /// Requires: settled.
  void save(ByteWriter& writer) const;
  void restore(ByteReader& reader);

 private:
  const double rows_;
  double slope_ = 1, shift_ = 0;
  double slopes_ = 0, crossed_ = 0, shifts_ = 0;  ///< A: its diagonal and what is beside it.
  LogitLine line_;
};

}  // namespace millrace
