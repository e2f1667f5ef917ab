// The histogram AUC must contain the exact one within its own error bound, whatever the
// distribution of predictions; the window must be what its rows alone would give.
#include "learner/evaluate/auc.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "learner/evaluate/tally.h"

namespace millrace {
namespace {

struct Row {
  double logit, weight;
  bool positive;
};

/// Every pair compared; ties count half.
double exact_auc(std::vector<Row> rows) {
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.logit < b.logit; });
  double below = 0, positives = 0, negatives = 0, won = 0;
  for (std::size_t i = 0; i < rows.size();) {
    double p = 0, n = 0;
    std::size_t j = i;
    for (; j < rows.size() && rows[j].logit == rows[i].logit; ++j) {
      (rows[j].positive ? p : n) += rows[j].weight;
    }
    won += p * (below + n / 2);
    below += n;
    positives += p;
    negatives += n;
    i = j;
  }
  return won / (positives * negatives);
}

std::vector<Row> draw(int count, double center, double spread, double signal, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) {
    const double logit = center + spread * normal(random);
    const double truth = center + signal * (logit - center) + normal(random);
    const bool positive =
        std::uniform_real_distribution<double>()(random) < 1 / (1 + std::exp(-truth));
    rows.push_back({logit, random() % 4 == 0 ? 4.0 : 1.0, positive});
  }
  return rows;
}

Tally tally_of(const std::vector<Row>& rows) {
  Tally tally(true);
  for (const Row& row : rows) {
    const double p = 1 / (1 + std::exp(-row.logit));
    tally.add(Measurement{row.weight, row.positive ? 1.0 : 0.0, p, row.logit,
                          row.positive ? -std::log(p) : -std::log1p(-p)});
  }
  return tally;
}

TEST(Auc, IsWithinItsBoundOfTheExactOne) {
  for (const double center : {-12.0, -4.0, 0.0, 9.0}) {
    for (const double spread : {0.001, 0.01, 0.3, 2.0, 8.0}) {
      const auto rows = draw(20'000, center, spread, 1.0, 11);
      const Figures figures = tally_of(rows).figures();
      if (!figures.auc) continue;
      EXPECT_LE(std::fabs(*figures.auc - exact_auc(rows)), *figures.auc_error + 1e-12)
          << center << " " << spread;
    }
  }
}

TEST(Auc, TheBoundIsSmallForOrdinaryPredictions) {
  EXPECT_LT(*tally_of(draw(50'000, -3, 1, 1, 5)).figures().auc_error, 1e-3);
}

TEST(Auc, UndefinedWithoutBothClasses) {
  Tally tally(true);
  EXPECT_FALSE(tally.figures().auc);
  EXPECT_FALSE(tally.figures().log_loss);
  EXPECT_FALSE(tally.figures().calibration);
  tally.add(Measurement{1, 0, 0.2, -1.4, 0.22});
  const Figures figures = tally.figures();
  EXPECT_FALSE(figures.auc);
  EXPECT_FALSE(figures.auc_error);
  EXPECT_FALSE(figures.normalized_entropy);
  EXPECT_FALSE(figures.calibration);
  EXPECT_FALSE(figures.rmse);
  EXPECT_DOUBLE_EQ(*figures.log_loss, 0.22);
}

TEST(Auc, EndsAreOpen) {
  EXPECT_EQ(auc_bin(-1e9), 0);
  EXPECT_EQ(auc_bin(-INFINITY), 0);
  EXPECT_EQ(auc_bin(-16), 0);
  EXPECT_EQ(auc_bin(0), kAucBins / 2);
  EXPECT_EQ(auc_bin(15.9999), kAucBins - 1);
  EXPECT_EQ(auc_bin(INFINITY), kAucBins - 1);
}

TEST(LogLoss, FollowsFromItsDefinitions) {
  const auto rows = draw(5'000, -1, 1.5, 1, 3);
  double weight = 0, loss = 0, label = 0, prediction = 0;
  std::uint64_t positives = 0;
  for (const Row& row : rows) {
    const double p = 1 / (1 + std::exp(-row.logit)), y = row.positive ? 1 : 0;
    weight += row.weight;
    loss -= row.weight * (y * std::log(p) + (1 - y) * std::log(1 - p));
    label += row.weight * y;
    prediction += row.weight * p;
    positives += row.positive ? 1 : 0;
  }
  const double rate = label / weight;
  const double entropy = -rate * std::log(rate) - (1 - rate) * std::log(1 - rate);
  const Figures figures = tally_of(rows).figures();
  EXPECT_EQ(figures.rows, rows.size());
  EXPECT_EQ(figures.positives, positives);  // plain counts, whatever the weights
  EXPECT_NEAR(*figures.log_loss, loss / weight, 1e-9);
  EXPECT_NEAR(*figures.normalized_entropy, loss / weight / entropy, 1e-9);
  EXPECT_NEAR(*figures.calibration, prediction / label, 1e-9);
}

TEST(Regression, RootMeanSquaredErrorIsWeighted) {
  Tally tally(false);
  tally.add(Measurement{1, 3, 5, 0, 0});
  tally.add(Measurement{3, 1, 2, 0, 0});
  const Figures figures = tally.figures();
  EXPECT_DOUBLE_EQ(*figures.rmse, std::sqrt((1 * 4.0 + 3 * 1.0) / 4));
  EXPECT_EQ(figures.rows, 2U);
  EXPECT_FALSE(figures.auc || figures.log_loss || figures.calibration);
}

}  // namespace
}  // namespace millrace
