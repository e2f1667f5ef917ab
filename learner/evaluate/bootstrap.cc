#include "learner/evaluate/bootstrap.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

constexpr int kLeastUnits = 10;

// The value below which the share `at` of the sorted values lies, between two of them by their
// distance.
double quantile(const std::vector<double>& sorted, double at) {
  const double place = at * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - std::floor(place)) * (sorted[above] - sorted[below]);
}

std::optional<double> figure_of(const std::vector<SparseTally>& units, std::span<const int> copies,
                                const FigureOf& figure, Tally& scratch) {
  scratch.clear();
  for (std::size_t u = 0; u < units.size(); ++u) {
    for (int copy = 0; copy < copies[u]; ++copy) scratch.add(units[u]);
  }
  return figure(scratch.figures());
}

}  // namespace

std::optional<Interval> bootstrap(int units, const BootstrapStatistic& statistic,
                                  const BootstrapOptions& options) {
  if (units < kLeastUnits) return std::nullopt;
  const auto count = static_cast<std::size_t>(units);
  std::vector<int> copies(count, 1);
  const std::optional<double> of_all = statistic(copies);
  if (!of_all) return std::nullopt;
  std::vector<double> values;
  for (int r = 0; r < options.replicates; ++r) {
    std::fill(copies.begin(), copies.end(), 0);
    for (std::size_t drawn = 0; drawn < count; drawn += 4) {
      const auto numbers = philox(options.seed, static_cast<std::uint64_t>(r), drawn / 4);
      for (std::size_t i = 0; i < std::min<std::size_t>(4, count - drawn); ++i) {
        // 32 bits times the count, cut: even to one part in 2³² / count.
        ++copies[static_cast<std::size_t>(std::uint64_t{numbers[i]} * count >> 32)];
      }
    }
    if (const std::optional<double> value = statistic(copies)) values.push_back(*value);
  }
  if (2 * values.size() < static_cast<std::size_t>(options.replicates)) return std::nullopt;
  std::sort(values.begin(), values.end());
  const double tail = (1 - options.confidence) / 2;
  return Interval{*of_all, quantile(values, tail), quantile(values, 1 - tail)};
}

std::optional<Interval> bootstrap_difference(const std::vector<SparseTally>& a,
                                             const std::vector<SparseTally>& b, bool binary,
                                             const FigureOf& figure,
                                             const BootstrapOptions& options) {
  MILLRACE_CHECK(a.size() == b.size());
  Tally scratch(binary);
  return bootstrap(
      static_cast<int>(a.size()),
      [&](std::span<const int> copies) -> std::optional<double> {
        const auto of_a = figure_of(a, copies, figure, scratch);
        const auto of_b = figure_of(b, copies, figure, scratch);
        if (!of_a || !of_b) return std::nullopt;
        return *of_b - *of_a;
      },
      options);
}

}  // namespace millrace
