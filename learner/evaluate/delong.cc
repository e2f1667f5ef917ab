#include "learner/evaluate/delong.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <numeric>
#include <span>
#include <vector>

namespace millrace {
namespace {

// The sums of the weights of both classes, and how many rows have one.
struct Classes {
  double weight[2] = {0, 0};
  double rows[2] = {0, 0};
};

// What share of the other class each row is on the right side of, ties by half, and their mean.
struct Placements {
  std::vector<double> of_row;
  double auc = 0;
};

Placements placements(const PairedScores& scores, std::span<const float> logits,
                      const Classes& classes) {
  const std::size_t count = logits.size();
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t i, std::size_t j) { return logits[i] < logits[j]; });
  Placements out{std::vector<double>(count), 0};
  double below[2] = {0, 0};
  for (std::size_t first = 0; first < count;) {
    std::size_t end = first;
    double tied[2] = {0, 0};
    for (; end < count && logits[order[end]] == logits[order[first]]; ++end) {
      tied[scores.labels[order[end]]] += scores.weights[order[end]];
    }
    for (; first < end; ++first) {
      const std::size_t row = order[first];
      const int other = scores.labels[row] != 0 ? 0 : 1;
      const double under = below[other] + tied[other] / 2;
      const double right = other == 0 ? under : classes.weight[1] - under;
      out.of_row[row] = right / classes.weight[other];
      if (other == 0) out.auc += scores.weights[row] * right;
    }
    below[0] += tied[0];
    below[1] += tied[1];
  }
  out.auc /= classes.weight[0] * classes.weight[1];
  return out;
}

// z with P(|normal| < z) = confidence.
double normal_quantile(double confidence) {
  double low = 0, high = 40;
  for (int halving = 0; halving < 100; ++halving) {
    const double middle = (low + high) / 2;
    (std::erf(middle / std::numbers::sqrt2) < confidence ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

std::optional<AucTest> delong_test(const PairedScores& scores, double confidence) {
  const std::size_t count = scores.labels.size();
  Classes classes;
  for (std::size_t i = 0; i < count; ++i) {
    classes.weight[scores.labels[i]] += scores.weights[i];
    classes.rows[scores.labels[i]] += scores.weights[i] > 0 ? 1 : 0;
  }
  if (classes.rows[0] < 2 || classes.rows[1] < 2) return std::nullopt;
  const Placements a = placements(scores, scores.a, classes);
  const Placements b = placements(scores, scores.b, classes);
  AucTest test;
  test.rows = count;
  test.auc_a = a.auc;
  test.auc_b = b.auc;
  test.difference = b.auc - a.auc;
  double squares[2] = {0, 0};
  for (std::size_t i = 0; i < count; ++i) {
    const int label = scores.labels[i];
    const double share = scores.weights[i] / classes.weight[label];
    const double apart = share * (b.of_row[i] - a.of_row[i] - test.difference);
    squares[label] += apart * apart;
    test.positives += scores.labels[i];
  }
  double variance = 0;
  for (int label = 0; label < 2; ++label) {
    variance += squares[label] * classes.rows[label] / (classes.rows[label] - 1);
  }
  // Below this it is what rounding made of nothing.
  if (variance < 1e-28) variance = 0;
  if (std::fabs(test.difference) < 1e-14) test.difference = 0;
  test.standard_error = std::sqrt(variance);
  const double reach = normal_quantile(confidence) * test.standard_error;
  test.low = test.difference - reach;
  test.high = test.difference + reach;
  if (test.standard_error > 0) {
    const double z = std::fabs(test.difference) / test.standard_error;
    test.p_value = std::erfc(z / std::numbers::sqrt2);
  } else if (test.difference == 0) {
    test.p_value = 1;
  }
  return test;
}

}  // namespace millrace
