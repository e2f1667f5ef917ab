#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "learner/base/state.h"
#include "learner/relation/gradient_cosine.h"

namespace millrace {

enum class Relation { kPositive, kNegative, kNeutral };
inline constexpr int kRelations = 3;

/// What two tasks are to each other, learned: from an embedding u [8] of each task to the
/// probabilities of positive, negative and neutral.
///
///   f_ij = [u_i ∘ u_j, (u_i − u_j)²],  p_ij = softmax(A f_ij + b)
///
/// f is symmetric, and so is p; a task is positive to itself. Supervised by measured gradient
/// cosines: above τ positive, below −τ negative, else neutral; one step of Adam (rate 0.01) on the
/// mean cross-entropy of all measured pairs for each measurement. Pairs that were never measured
/// together get what the embeddings say. Starts from N(0, 1/8) by Philox of the seed.
/// Threads: one at a time.
class RelationClassifier {
 public:
  /// `neutral`: τ.
  RelationClassifier(int tasks, double neutral, std::uint64_t seed);

  void learn(const GradientCosine& cosines);

  /// Whether any pair was measured yet; until then the probabilities say nothing.
  bool has_learned() const { return steps_ > 0; }
  /// The probabilities of the three.
  std::array<double, kRelations> relation(int i, int j) const;

  void save(ByteWriter& writer) const;
  /// Error: throws StateError.
  void restore(ByteReader& reader);

 private:
  static constexpr int kUnits = 8, kFeatures = 2 * kUnits;
  std::array<double, kFeatures> features(int i, int j) const;
  std::array<double, kRelations> probabilities(const std::array<double, kFeatures>& f) const;
  const double* embedding(int task) const { return values_.data() + task * kUnits; }

  const int tasks_;
  const double neutral_;
  const std::size_t head_;      ///< Where A [3,16] begins; b [3] follows.
  std::vector<double> values_;  ///< u of all tasks, A, b
  std::vector<double> moments_, squares_;
  double steps_ = 0;
};

}  // namespace millrace
