#include "learner/evaluate/auc.h"

namespace millrace {

std::optional<Auc> auc_of(std::span<const BinCounts> bins) {
  double positives = 0, negatives = 0, won = 0, tied = 0;
  for (auto bin = bins.rbegin(); bin != bins.rend(); ++bin) {
    won += bin->negatives * positives;
    tied += bin->negatives * bin->positives;
    positives += bin->positives;
    negatives += bin->negatives;
  }
  const double pairs = positives * negatives;
  if (!(pairs > 0)) return std::nullopt;
  return Auc{(won + tied / 2) / pairs, tied / 2 / pairs};
}

}  // namespace millrace
