#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

/// A gate below a model's top level, whose mixture feeds the level above.
struct LowerGate {
  int level = 0;                     ///< From 0.
  int task = -1;                     ///< −1: the shared stream's.
  std::vector<std::string> experts;  ///< By column.
};

/// What one task's gate did over some rows: mean and deviation of each expert's weight (PLE, Tang
/// et al. 2020, fig. 8), how even the mixture was, and which units of the experts never fired.
struct GateTally {
  std::vector<std::string> experts;  ///< By column of the gate.
  std::uint64_t rows = 0;
  std::vector<double> sum, squares;  ///< Σ g and Σ g², by column.
  double entropy = 0;                ///< Σ H(g) / ln n; 0 where there is but one expert.
  /// Σ over rows and units of [y = 0], by column, and whether a unit was ever not 0, [n·H].
  std::vector<double> zeros;
  std::vector<std::uint8_t> fired;

  double mean(std::size_t column) const;
  double deviation(std::size_t column) const;
  /// Of one row's H(g) / ln n: 1 where all experts weigh alike, 0 where one has it all.
  double mean_entropy() const { return rows == 0 ? 0 : entropy / static_cast<double>(rows); }
  /// The share of an expert's units that were 0 in every row.
  double dead_share(std::size_t column) const;
  /// The share of its outputs that were 0.
  double zero_share(std::size_t column) const;

  /// Takes the rows of another tally of the same gate in.
  void add(const GateTally& other);
};

}  // namespace millrace
