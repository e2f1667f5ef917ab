#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "learner/evaluate/figures.h"
#include "learner/evaluate/tally.h"

namespace millrace {

/// A difference, and the interval that holds it.
struct Interval {
  double difference = 0, low = 0, high = 0;
};

struct BootstrapOptions {
  int replicates = 1'000;
  double confidence = 0.95;
  std::uint64_t seed = 1;
};

/// The paired bootstrap (Efron and Tibshirani 1993, chapters 10 and 13): of `units` units (users,
/// blocks of time) as many are drawn again and again with replacement, each time the same ones for
/// both sides, and the percentiles of statistic(copies) are the interval's ends; copies[u] says how
/// often unit u was drawn. What the rows of a unit have in common is so in the interval.
/// The draws are Philox numbers of (seed, replicate, place). Replicates in which the statistic is
/// undefined are left out. Nothing where there are fewer than 10 units, the statistic of all of
/// them is undefined, or that of half the replicates.
using BootstrapStatistic = std::function<std::optional<double>(std::span<const int> copies)>;
std::optional<Interval> bootstrap(int units, const BootstrapStatistic& statistic,
                                  const BootstrapOptions& options);

/// A figure of a task's metrics, as a function of what they add up to.
using FigureOf = std::function<std::optional<double>(const Figures&)>;

/// The same for the difference of a figure between two models' tallies of the same units:
/// figure(b) − figure(a). Requires: as many of each; all binary or none.
/// Cost: replicates times all bins that hold something.
std::optional<Interval> bootstrap_difference(const std::vector<SparseTally>& a,
                                             const std::vector<SparseTally>& b, bool binary,
                                             const FigureOf& figure,
                                             const BootstrapOptions& options);

}  // namespace millrace
