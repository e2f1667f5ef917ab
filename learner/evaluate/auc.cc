#include "learner/evaluate/auc.h"

#include <array>
#include <cmath>

#include "learner/base/check.h"
#include "learner/math/activation.h"

namespace millrace {
namespace {

constexpr int kCalibrationBins = 32;

// The probability in the middle of each bin.
const std::array<double, kAucBins>& bin_middles() {
  static const std::array<double, kAucBins> middles = [] {
    std::array<double, kAucBins> values{};
    for (int b = 0; b < kAucBins; ++b) {
      values[static_cast<std::size_t>(b)] = math::sigmoid(-16 + (b + 0.5) * (32.0 / kAucBins));
    }
    return values;
  }();
  return middles;
}

}  // namespace

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

std::optional<double> calibration_error_of(std::span<const BinCounts> bins) {
  MILLRACE_CHECK(bins.size() == kAucBins);
  const std::array<double, kAucBins>& middles = bin_middles();
  constexpr std::size_t kEach = kAucBins / kCalibrationBins;
  double weight = 0, error = 0;
  for (std::size_t first = 0; first < kAucBins; first += kEach) {
    double difference = 0;
    for (std::size_t b = first; b < first + kEach; ++b) {
      const double rows = bins[b].positives + bins[b].negatives;
      difference += rows * middles[b] - bins[b].positives;
      weight += rows;
    }
    error += std::fabs(difference);
  }
  return weight > 0 ? std::optional(error / weight) : std::nullopt;
}

}  // namespace millrace
