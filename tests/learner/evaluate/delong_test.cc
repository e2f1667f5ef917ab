// DeLong's test is held against the placement values of its paper, pair by pair; against rows that
// are written out as often as they weigh; and against how often a true difference is in the
// interval. What is kept of two outputs is of the same rows, however many there were.
#include "learner/evaluate/delong.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace millrace {
namespace {

double psi(float positive, float negative) {
  return positive > negative ? 1 : positive == negative ? 0.5 : 0;
}

// The covariance matrix of two AUCs, from V10 and V01 as the paper has them.
struct Oracle {
  double auc[2] = {0, 0};
  double covariance[2][2] = {{0, 0}, {0, 0}};
};

Oracle by_pairs(const PairedScores& scores) {
  std::vector<std::size_t> positives, negatives;
  for (std::size_t i = 0; i < scores.labels.size(); ++i) {
    (scores.labels[i] != 0 ? positives : negatives).push_back(i);
  }
  const auto m = static_cast<double>(positives.size()), n = static_cast<double>(negatives.size());
  std::vector<double> v10[2], v01[2];
  Oracle oracle;
  for (int model = 0; model < 2; ++model) {
    const std::vector<float>& x = model == 0 ? scores.a : scores.b;
    for (const std::size_t i : positives) {
      double sum = 0;
      for (const std::size_t j : negatives) sum += psi(x[i], x[j]);
      v10[model].push_back(sum / n);
      oracle.auc[model] += sum / (m * n);
    }
    for (const std::size_t j : negatives) {
      double sum = 0;
      for (const std::size_t i : positives) sum += psi(x[i], x[j]);
      v01[model].push_back(sum / m);
    }
  }
  for (int r = 0; r < 2; ++r) {
    for (int s = 0; s < 2; ++s) {
      double s10 = 0, s01 = 0;
      for (std::size_t i = 0; i < positives.size(); ++i) {
        s10 += (v10[r][i] - oracle.auc[r]) * (v10[s][i] - oracle.auc[s]);
      }
      for (std::size_t j = 0; j < negatives.size(); ++j) {
        s01 += (v01[r][j] - oracle.auc[r]) * (v01[s][j] - oracle.auc[s]);
      }
      oracle.covariance[r][s] = s10 / (m - 1) / m + s01 / (n - 1) / n;
    }
  }
  return oracle;
}

// `steps` > 0: logits on so coarse a grid that most are tied.
PairedScores random_scores(std::size_t rows, double steps, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  PairedScores scores;
  const auto cut = [&](double x) {
    return static_cast<float>(steps > 0 ? std::round(x * steps) / steps : x);
  };
  for (std::size_t i = 0; i < rows; ++i) {
    const std::uint8_t label = random() % 4 == 0 ? 1 : 0;
    const double shared = normal(random) + label;
    scores.labels.push_back(label);
    scores.weights.push_back(1);
    scores.a.push_back(cut(shared + 0.7 * normal(random)));
    scores.b.push_back(cut(shared + 0.5 * normal(random)));
  }
  return scores;
}

TEST(DeLong, IsThePlacementValuesOfThePaper) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const double steps : {0.0, 1.0, 4.0}) {
      const PairedScores scores = random_scores(40 + 7 * seed, steps, seed);
      const Oracle oracle = by_pairs(scores);
      const auto test = delong_test(scores, 0.95);
      ASSERT_TRUE(test);
      EXPECT_NEAR(test->auc_a, oracle.auc[0], 1e-12);
      EXPECT_NEAR(test->auc_b, oracle.auc[1], 1e-12);
      EXPECT_NEAR(test->difference, oracle.auc[1] - oracle.auc[0], 1e-12);
      const double variance =
          oracle.covariance[0][0] + oracle.covariance[1][1] - 2 * oracle.covariance[0][1];
      EXPECT_NEAR(test->standard_error, std::sqrt(variance), 1e-12);
      EXPECT_NEAR(test->high - test->difference, 1.959963984540054 * test->standard_error, 1e-12);
      EXPECT_NEAR(test->difference - test->low, 1.959963984540054 * test->standard_error, 1e-12);
      ASSERT_TRUE(test->p_value);
      EXPECT_NEAR(*test->p_value,
                  std::erfc(std::fabs(test->difference) / test->standard_error / std::sqrt(2)),
                  1e-12);
      EXPECT_EQ(test->rows, scores.labels.size());
    }
  }
}

// Worked out by hand: positives 3, 2 and 1; negatives 2 and 0; model b is the other way round.
TEST(DeLong, AnExampleByHand) {
  PairedScores scores;
  scores.labels = {1, 1, 1, 0, 0};
  scores.weights.assign(5, 1);
  scores.a = {3, 2, 1, 2, 0};
  scores.b = {-3, -2, -1, -2, 0};
  // V10 of a: 1, ¾, ½; V01: ½, 1; AUC ¾. Of b, 0, ¼, ½; ½, 0; ¼.
  const auto test = delong_test(scores, 0.95);
  ASSERT_TRUE(test);
  EXPECT_DOUBLE_EQ(test->auc_a, 0.75);
  EXPECT_DOUBLE_EQ(test->auc_b, 0.25);
  // V10 of b − a, from its mean: −½, 0, ½; V01: ½, −½.
  const double variance = 0.5 / 2 / 3 + 0.5 / 1 / 2;
  EXPECT_NEAR(test->standard_error, std::sqrt(variance), 1e-15);
}

TEST(DeLong, IsUndefinedWithoutTwoOfEachClass) {
  PairedScores scores = random_scores(50, 0, 1);
  EXPECT_FALSE(delong_test({}, 0.95));
  PairedScores one = scores;
  one.labels.assign(50, 0);
  EXPECT_FALSE(delong_test(one, 0.95));
  one.labels.assign(50, 1);
  EXPECT_FALSE(delong_test(one, 0.95));
  one.labels[0] = 0;
  EXPECT_FALSE(delong_test(one, 0.95));
  one.labels[1] = 0;
  EXPECT_TRUE(delong_test(one, 0.95));
  one.weights[1] = 0;
  EXPECT_FALSE(delong_test(one, 0.95));
}

TEST(DeLong, AModelDoesNotDifferFromItself) {
  PairedScores scores = random_scores(500, 0, 2);
  // Any rising function of a orders the rows as a does.
  for (std::size_t i = 0; i < 500; ++i) scores.b[i] = 3 * scores.a[i] + 1;
  const auto test = delong_test(scores, 0.95);
  ASSERT_TRUE(test && test->p_value);
  EXPECT_EQ(test->difference, 0);
  EXPECT_EQ(test->standard_error, 0);
  EXPECT_EQ(*test->p_value, 1);
  // One that is always right beside one that is always wrong: there is no spread to judge by.
  for (std::size_t i = 0; i < 500; ++i) {
    scores.a[i] = scores.labels[i] != 0 ? 1.0F : 0.0F;
    scores.b[i] = -scores.a[i];
  }
  const auto sure = delong_test(scores, 0.95);
  ASSERT_TRUE(sure);
  EXPECT_EQ(sure->difference, -1);
  EXPECT_FALSE(sure->p_value);
}

// A row of weight 3 counts three times: in the AUC as in every sum.
TEST(DeLong, WeightsAreThoseOfTheAuc) {
  PairedScores scores = random_scores(60, 4, 3), written;
  for (std::size_t i = 0; i < 60; ++i) {
    scores.weights[i] = scores.labels[i] != 0 ? 1 : 3;
    for (int copy = 0; copy < static_cast<int>(scores.weights[i]); ++copy) {
      written.labels.push_back(scores.labels[i]);
      written.weights.push_back(1);
      written.a.push_back(scores.a[i]);
      written.b.push_back(scores.b[i]);
    }
  }
  const auto weighed = delong_test(scores, 0.95), copied = delong_test(written, 0.95);
  ASSERT_TRUE(weighed && copied);
  EXPECT_NEAR(weighed->auc_a, copied->auc_a, 1e-12);
  EXPECT_NEAR(weighed->difference, copied->difference, 1e-12);
  // Copies are no further witnesses, so the variance is that of the rows as they were drawn.
  PairedScores plain = scores;
  plain.weights.assign(60, 1);
  const auto alike = delong_test(plain, 0.95);
  ASSERT_TRUE(alike);
  EXPECT_NEAR(weighed->standard_error, alike->standard_error, 1e-12);
}

TEST(DeLong, TheIntervalHoldsTheTrueDifferenceAsOftenAsItSays) {
  // Normal scores a unit (or more) apart: AUC = Φ(shift / √(2 · variance)).
  const auto phi = [](double x) { return std::erfc(-x / std::sqrt(2)) / 2; };
  const double truth = phi(1 / std::sqrt(2 * 1.25)) - phi(1 / std::sqrt(2 * 1.49));
  int held = 0;
  constexpr int kTrials = 1'000;
  for (std::uint64_t trial = 0; trial < kTrials; ++trial) {
    const auto test = delong_test(random_scores(400, 0, 100 + trial), 0.95);
    ASSERT_TRUE(test);
    held += test->low <= truth && truth <= test->high ? 1 : 0;
  }
  // 950, give or take 7.
  EXPECT_GE(held, 925);
  EXPECT_LE(held, 972);
}

Measurement row_of(double label, double logit, double weight = 1) {
  return {weight, label, 0, logit, 0};
}

TEST(ScoredRows, OfTwoOutputsTheRowsThatBothHaveArePaired) {
  ScoredRows a(1'000), b(1'000);
  for (int i = 0; i < 300; ++i) {
    const auto position = static_cast<std::uint64_t>(i / 10 * 10);
    a.add(row_of(i % 3 == 0, i), position);
    // b passes over the batch of row 50, and knows another label of row 70.
    if (position != 50) b.add(row_of(i % 3 == 0 || i == 70, -i), position);
  }
  const PairedScores pairs = paired_scores(a, b);
  ASSERT_EQ(pairs.labels.size(), 289U);
  EXPECT_EQ(pairs.share, 1U);
  for (std::size_t i = 0; i < pairs.a.size(); ++i) {
    EXPECT_EQ(pairs.a[i], -pairs.b[i]);
    EXPECT_EQ(pairs.labels[i], static_cast<int>(pairs.a[i]) % 3 == 0 ? 1 : 0);
  }
}

TEST(ScoredRows, WhatIsKeptOfManyRowsIsOfTheSameRows) {
  ScoredRows few(500), many(4'000), all(100'000);
  std::mt19937_64 random(1);
  std::uint64_t position = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 20 == 0) position = static_cast<std::uint64_t>(i);
    for (ScoredRows* rows : {&few, &many, &all}) rows->add(row_of(i % 2, i), position);
    EXPECT_LE(few.rows().size(), 500U);
  }
  EXPECT_GE(few.rows().size(), 200U);
  EXPECT_GT(few.share(), many.share());
  EXPECT_EQ(all.rows().size(), 20'000U);
  for (const ScoredRows* other : {&many, &all}) {
    const PairedScores pairs = paired_scores(few, *other);
    EXPECT_EQ(pairs.labels.size(), few.rows().size());
    EXPECT_EQ(pairs.share, few.share());
    EXPECT_EQ(pairs.a, pairs.b);
  }
}

}  // namespace
}  // namespace millrace
