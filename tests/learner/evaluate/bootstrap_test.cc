// Intervals are held against streams whose true difference is known, and against closed forms.
#include "learner/evaluate/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "learner/evaluate/comparison.h"

namespace millrace {
namespace {

// Pairs of means over units that have an effect of their own: what the rows of a user have in
// common. The interval holds the true difference as often as it says.
TEST(Bootstrap, HoldsTheTrueDifferenceAsOftenAsItSays) {
  constexpr int kUnits = 80, kTrials = 400;
  constexpr double kTrue = 0.3;
  int held = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::mt19937_64 random(static_cast<std::uint64_t>(trial));
    std::normal_distribution<double> unit_effect(kTrue, 1), shared(0, 5);
    std::vector<double> a(kUnits), b(kUnits), rows(kUnits);
    for (std::size_t u = 0; u < kUnits; ++u) {
      rows[u] = 1 + static_cast<double>(random() % 5);
      a[u] = rows[u] * shared(random);
      b[u] = a[u] + rows[u] * unit_effect(random);
    }
    const auto mean_difference = [&](std::span<const int> copies) -> std::optional<double> {
      double sum = 0, weight = 0;
      for (std::size_t u = 0; u < kUnits; ++u) {
        sum += copies[u] * (b[u] - a[u]);
        weight += copies[u] * rows[u];
      }
      return weight > 0 ? std::optional(sum / weight) : std::nullopt;
    };
    const auto interval = bootstrap(kUnits, mean_difference,
                                    {.replicates = 400, .seed = static_cast<std::uint64_t>(trial)});
    ASSERT_TRUE(interval);
    held += interval->low <= kTrue && kTrue <= interval->high ? 1 : 0;
  }
  // 95 % of 400 are 380, give or take 4.4; percentile intervals of 80 units hold a little less.
  EXPECT_GE(held, 362);
  EXPECT_LE(held, 396);
}

TEST(Bootstrap, ItsWidthIsTheStandardErrorsOfAMean) {
  constexpr int kUnits = 200;
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(0, 2);
  std::vector<double> values(kUnits);
  double mean = 0, square = 0;
  for (double& value : values) mean += (value = normal(random)) / kUnits;
  for (const double value : values) square += (value - mean) * (value - mean) / kUnits;
  const auto interval = bootstrap(kUnits,
                                  [&](std::span<const int> copies) -> std::optional<double> {
                                    double sum = 0;
                                    for (std::size_t u = 0; u < kUnits; ++u)
                                      sum += copies[u] * values[u];
                                    return sum / kUnits;
                                  },
                                  {.replicates = 4'000});
  ASSERT_TRUE(interval);
  EXPECT_NEAR(interval->difference, mean, 1e-12);
  const double error = std::sqrt(square / kUnits);
  EXPECT_NEAR(interval->high - mean, 1.96 * error, 0.12 * error);
  EXPECT_NEAR(mean - interval->low, 1.96 * error, 0.12 * error);
}

TEST(Bootstrap, IsAFunctionOfItsSeedAndSaysNothingOfLittle) {
  const auto first = [](std::span<const int> copies) { return std::optional<double>(copies[0]); };
  EXPECT_FALSE(bootstrap(9, first, {}));
  const auto one = bootstrap(12, first, {.seed = 3}), same = bootstrap(12, first, {.seed = 3});
  ASSERT_TRUE(one && same);
  EXPECT_EQ(one->low, same->low);
  EXPECT_EQ(one->high, same->high);
  const auto never = [](std::span<const int>) { return std::optional<double>(); };
  EXPECT_FALSE(bootstrap(12, never, {}));
  // Undefined in nearly every replicate.
  const auto rarely = [](std::span<const int> copies) {
    return copies[0] == 1 && copies[1] == 1 && copies[2] == 1 && copies[3] == 1
               ? std::optional<double>(1)
               : std::nullopt;
  };
  EXPECT_FALSE(bootstrap(12, rarely, {}));
}

Measurement row_of(double label, double logit) {
  const double p = 1 / (1 + std::exp(-logit));
  return {1, label, p, logit, label > 0.5 ? -std::log(p) : -std::log1p(-p)};
}

// Rows of users with a taste; the second model sees the truth, the first a blurred one.
struct TwoModels {
  explicit TwoModels(int rows, bool users, std::uint64_t seed = 5) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (int i = 0; i < rows; ++i) {
      const std::uint64_t user = users ? 1 + random() % 300 : 0;
      const double taste = std::sin(static_cast<double>(user)), truth = taste + normal(random);
      const double label = static_cast<double>(random() % 10'000) < 1e4 / (1 + std::exp(-truth));
      const auto position = static_cast<std::uint64_t>(i) / 64 * 64;
      const Measurement of_a = row_of(label, truth + 1.5 * normal(random));
      const Measurement of_b = row_of(label, truth);
      a.add(of_a, user, position), b.add(of_b, user, position);
      all_a.add(of_a), all_b.add(of_b);
    }
    a.finish(), b.finish();
  }
  ComparedOutput a{true}, b{true};
  Tally all_a{true}, all_b{true};
};

TEST(ComparedOutput, BlocksAndGroupsAddUpToEverything) {
  for (const bool users : {true, false}) {
    const TwoModels models(100'000, users);
    EXPECT_LE(models.a.blocks().size(), ComparedOutput::kMostBlocks);
    EXPECT_GE(models.a.blocks().size(), ComparedOutput::kMostBlocks / 2);
    Tally blocks(true), groups(true);
    for (const SparseTally& part : models.a.blocks()) blocks.add(part);
    for (const SparseTally& part : models.a.groups()) groups.add(part);
    EXPECT_EQ(blocks.rows(), 100'000U);
    EXPECT_EQ(blocks.figures().auc, models.all_a.figures().auc);
    EXPECT_NEAR(*blocks.figures().log_loss, *models.all_a.figures().log_loss, 1e-12);
    EXPECT_EQ(groups.rows(), users ? 100'000U : 0U);
    if (users) {
      EXPECT_EQ(groups.figures().auc, models.all_a.figures().auc);
    }
  }
}

TEST(ComparedOutput, ADifferenceThatIsThereIsSeenAndNoneThatIsNot) {
  for (const bool users : {true, false}) {
    const TwoModels models(30'000, users);
    const auto auc = [](const Figures& figures) { return figures.auc; };
    const auto log_loss = [](const Figures& figures) { return figures.log_loss; };
    const PairedUnits units = paired_units(models.a, models.b);
    EXPECT_EQ(units.by_user, users);
    const BootstrapOptions options{.replicates = 200};
    const auto better = bootstrap_difference(units.a, units.b, true, auc, options);
    ASSERT_TRUE(better);
    EXPECT_DOUBLE_EQ(better->difference, *models.all_b.figures().auc - *models.all_a.figures().auc);
    EXPECT_GT(better->low, 0.02);
    EXPECT_LT(better->high - better->low, 0.03);
    const auto lower = bootstrap_difference(units.a, units.b, true, log_loss, options);
    ASSERT_TRUE(lower);
    EXPECT_LT(lower->high, 0);
    const auto same = bootstrap_difference(units.a, units.a, true, auc, options);
    ASSERT_TRUE(same);
    EXPECT_EQ(same->low, 0);
    EXPECT_EQ(same->high, 0);
  }
}

// A model that passed over a part of the stream, and one whose blocks are coarser.
TEST(ComparedOutput, BlocksOfTheSameRowsArePaired) {
  ComparedOutput whole(false), part(false);
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    const Measurement row{1, static_cast<double>(i % 7), 1, 0, 0};
    whole.add(row, 0, i);
    if (i < 20'000 && (i < 5'000 || i > 6'000)) part.add(row, 0, i);
  }
  whole.finish(), part.finish();
  ASSERT_LT(part.block_rows(), whole.block_rows());
  const PairedUnits units = paired_units(part, whole);
  ASSERT_EQ(units.a.size(), units.b.size());
  const std::uint64_t rows = whole.block_rows();
  for (std::size_t u = 0; u * rows < 100'000; ++u) {
    EXPECT_EQ(units.b[u].sums.rows, std::min(rows, 100'000 - u * rows));
    if ((u + 1) * rows <= 5'000) {
      EXPECT_EQ(units.a[u].sums.rows, rows);
    }
    if (u * rows >= 20'000) {
      EXPECT_EQ(units.a[u].sums.rows, 0U);
    }
  }
}

}  // namespace
}  // namespace millrace
