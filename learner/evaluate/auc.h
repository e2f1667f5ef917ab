#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace millrace {

/// Bins of the AUC's histogram: uniform in the logit over [−16, 16], open at the ends, because in a
/// stream of rare clicks equal bins of probability would put everything into the first one.
inline constexpr int kAucBins = 4096;

/// Weights of the positive and the negative rows in one bin.
struct BinCounts {
  double positives = 0;
  double negatives = 0;
};

/// The bin of a row by the logit of its prediction. Requires: not NaN.
inline int auc_bin(double logit) {
  const double place = (logit + 16) * (kAucBins / 32.0);
  if (!(place >= 1)) return 0;
  return place >= kAucBins - 1 ? kAucBins - 1 : static_cast<int>(place);
}

struct Auc {
  double value;
  double error;  ///< Pairs within one bin count half: off by at most ½ Σ_b P_b N_b / (P N).
};

/// AUC = Σ_b N_b (P_{>b} + ½ P_b) / (P N) over bins in ascending order; nothing unless both classes
/// occurred. Cost: one pass.
std::optional<Auc> auc_of(std::span<const BinCounts> bins);

/// Σ_c |Σ predictions − Σ labels| / Σ weights over 32 bins c of unit width in the logit: the
/// expected calibration error. A prediction counts as the middle of its bin among the 4,096, which
/// is off by at most 1/1024. Nothing without a row. Requires: kAucBins bins. Cost: one pass.
std::optional<double> calibration_error_of(std::span<const BinCounts> bins);

}  // namespace millrace
