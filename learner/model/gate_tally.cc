#include "learner/model/gate_tally.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"

namespace millrace {

double GateTally::mean(std::size_t column) const {
  return rows == 0 ? 0 : sum[column] / static_cast<double>(rows);
}

double GateTally::deviation(std::size_t column) const {
  if (rows == 0) return 0;
  const double m = mean(column);
  return std::sqrt(std::max(0.0, squares[column] / static_cast<double>(rows) - m * m));
}

double GateTally::dead_share(std::size_t column) const {
  const std::size_t units = fired.size() / experts.size();
  if (rows == 0 || units == 0) return 0;
  const auto begin = fired.begin() + static_cast<std::ptrdiff_t>(column * units);
  const auto dead = std::count(begin, begin + static_cast<std::ptrdiff_t>(units), 0);
  return static_cast<double>(dead) / static_cast<double>(units);
}

double GateTally::zero_share(std::size_t column) const {
  const std::size_t units = fired.size() / experts.size();
  if (rows == 0 || units == 0) return 0;
  return zeros[column] / (static_cast<double>(rows) * static_cast<double>(units));
}

void GateTally::add(const GateTally& other) {
  if (other.rows == 0) return;
  if (rows == 0) {
    *this = other;
    return;
  }
  MILLRACE_CHECK(fired.size() == other.fired.size() && sum.size() == other.sum.size());
  rows += other.rows;
  entropy += other.entropy;
  for (std::size_t c = 0; c < sum.size(); ++c) {
    sum[c] += other.sum[c];
    squares[c] += other.squares[c];
    zeros[c] += other.zeros[c];
  }
  for (std::size_t u = 0; u < fired.size(); ++u) fired[u] |= other.fired[u];
}

}  // namespace millrace
