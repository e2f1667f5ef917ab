#pragma once

#include <string>
#include <vector>

namespace millrace {

/// A copy of what is known of all pairs of tasks. Matrices are [T,T] by rows and symmetric; NaN:
/// not known.
struct RelationReport {
  std::vector<std::string> tasks;
  std::vector<double> gradient_cosine, conflict_rate;
  std::vector<double> label_correlation, mutual_information;
  std::vector<double> representation_similarity;
  /// Probabilities of the learned classifier; not known before the first measured pair.
  std::vector<double> positive, negative, neutral;
  /// By task, [T].
  std::vector<double> gradient_norm, similarity;
};

}  // namespace millrace
