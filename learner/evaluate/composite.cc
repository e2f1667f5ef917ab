#include "learner/evaluate/composite.h"

namespace millrace {

std::optional<double> composite_score(const Figures& figures, bool binary,
                                      CompositeMeasure measure) {
  if (!binary) return figures.explained;
  const bool by_auc = measure == CompositeMeasure::kAuc;
  const std::optional<double>& value = by_auc ? figures.auc : figures.normalized_entropy;
  if (!value) return std::nullopt;
  return by_auc ? 2 * *value - 1 : 1 - *value;
}

std::optional<double> composite_of(std::span<const CompositePart> parts) {
  double weights = 0, sum = 0;
  for (const CompositePart& part : parts) {
    if (!(part.weight > 0)) continue;
    if (!part.score) return std::nullopt;
    weights += part.weight;
    sum += part.weight * *part.score;
  }
  return weights > 0 ? std::optional(sum / weights) : std::nullopt;
}

}  // namespace millrace
