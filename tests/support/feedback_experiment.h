#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "learner/data/schema.h"

namespace millrace {

/// How much of what waiting for labels costs does each policy of delayed feedback win back?
///
/// A stream of the funnel simulator whose conversions come hours after their clicks, while what
/// each genre is worth goes on changing. Each method trains the same model on the same events
/// through the real join and the real batches; the *oracle* is told every label with its
/// impression. Every impression of the second half is scored by the model of its moment, before any
/// of its rows, and judged by the known probability (normalised entropy) and the final label (AUC):
/// cvr by its own output on the clicked impressions, and by the product on all.
struct FeedbackExperiment {
  std::uint64_t impressions = 400'000;
  std::uint64_t seed = 1;
  double impressions_per_second = 1;
  double conversion_swing = 1.5;
  Duration conversion_delay{7'200'000};
  Duration conversion_turn{72 * 3'600'000};
  Duration window{24 * 3'600'000};
  Duration short_wait{15 * 60'000};
};

struct FeedbackResult {
  std::string method;      ///< A policy, "oracle", or "truth" (the simulator's own probabilities).
  double ne = 0, auc = 0;  ///< cvr on clicked impressions.
  double entire_ne = 0, entire_auc = 0;  ///< click and conversion on all impressions.
  /// What the trainer itself reports of cvr, by the first scores: NE over all.
  std::optional<double> reported_ne;
  double seconds = 0;
};

/// A policy's name or "oracle".
FeedbackResult run_feedback_method(const FeedbackExperiment& experiment, const std::string& method);

/// The simulator's probabilities, as a bound.
FeedbackResult score_truth(const FeedbackExperiment& experiment);

/// Of the gap between `wait` and `oracle`, the share that `value` closes: 0 as wait, 1 as oracle.
inline double gap_closed(double wait, double value, double oracle) {
  return (wait - value) / (wait - oracle);
}

}  // namespace millrace
