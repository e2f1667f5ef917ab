#pragma once

#include <cstdint>
#include <optional>

#include "learner/evaluate/scored_rows.h"

namespace millrace {

/// DeLong's test of two AUCs on the same rows.
struct AucTest {
  std::uint64_t rows = 0, positives = 0;
  double auc_a = 0, auc_b = 0;  ///< Exact: by ranks, ties count half.
  double difference = 0;        ///< auc_b − auc_a
  double standard_error = 0;
  double low = 0, high = 0;  ///< difference ± the normal quantile · standard_error
  /// Two-sided, of no difference: erfc(|difference / standard_error| / √2). 1 where both order the
  /// rows alike; nothing where they do not and the standard error is 0 all the same.
  std::optional<double> p_value;
};

/// DeLong, DeLong and Clarke-Pearson (1988), by mid-ranks (Sun and Xu 2014). With the weights w of
/// the P positive rows, their sum W, v and V of the N negative ones, and ψ = 1, ½, 0 where a
/// positive row's score is above, at or below that of a negative one,
///   p_i = Σ_j v_j ψ_ij / V     n_j = Σ_i w_i ψ_ij / W     AUC = Σ_i w_i p_i / W
///   variance of AUC_b − AUC_a = P/(P−1) Σ_i (w_i/W)² d_i² + N/(N−1) Σ_j (v_j/V)² e_j²
/// d_i being p_i − AUC of b minus that of a, and e_j n_j − AUC likewise. With equal weights it is
/// the published one. Rows count as independent of each other: what the rows of a user have in
/// common is not in it (it is in a bootstrap over users).
/// `confidence`: that of the interval from `low` to `high`, between 0 and 1.
/// Nothing unless each class has two rows of positive weight. Cost: O(n log n).
std::optional<AucTest> delong_test(const PairedScores& scores, double confidence);

}  // namespace millrace
