// The window, the last fifth, and what comes back from the saved state, each against a tally of the
// very rows that it should hold.
#include "learner/evaluate/window.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "learner/evaluate/output_metrics.h"

namespace millrace {
namespace {

std::vector<Measurement> draw(std::size_t count, bool whole_weights, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<Measurement> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const double logit = 2 * normal(random) - 1, p = 1 / (1 + std::exp(-logit));
    const double y = random() % 4 == 0 ? 1 : 0;
    rows.push_back(
        {whole_weights ? 1.0 : 1 / 0.3, y, p, logit, y > 0 ? -std::log(p) : -std::log(1 - p)});
  }
  return rows;
}

Figures of_last(const std::vector<Measurement>& rows, std::size_t count) {
  Tally tally(true);
  for (std::size_t i = rows.size() - count; i < rows.size(); ++i) tally.add(rows[i]);
  return tally.figures();
}

void expect_near(const Figures& a, const Figures& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.positives, b.positives);
  EXPECT_NEAR(*a.auc, *b.auc, 1e-9);
  EXPECT_NEAR(*a.auc_error, *b.auc_error, 1e-9);
  EXPECT_NEAR(*a.log_loss, *b.log_loss, 1e-9);
  EXPECT_NEAR(*a.calibration, *b.calibration, 1e-9);
}

TEST(Window, HoldsTheLastRowsByPieces) {
  const auto rows = draw(223'456, true, 1);
  Window window{Tally(true)};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    window.add(rows[i]);
    // All, while they are few.
    if (i + 1 == 60'000) {
      EXPECT_EQ(window.tally().rows(), 60'000U);
    }
  }
  const Figures figures = window.tally().figures();
  EXPECT_EQ(figures.rows, 98'456U);
  expect_near(figures, of_last(rows, figures.rows));
}

TEST(LastFifth, IsAFifthToWithinOnePercentOfTheRows) {
  const auto rows = draw(60'001, true, 2);
  LastFifth fifth(true);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    fifth.add(rows[i]);
    if (i % 997 != 0 && i > 300) continue;
    const auto n = static_cast<double>(i + 1), held = static_cast<double>(fifth.tally().rows());
    ASSERT_LE(std::fabs(held - n / 5), std::max(0.5, 0.01 * n)) << n;
  }
  const Figures figures = fifth.tally().figures();
  expect_near(figures, of_last(rows, figures.rows));
}

using Values = std::map<std::string, std::string>;

void save(OutputMetrics& metrics, Values& values) {
  StateChanges changes;
  metrics.save(changes);
  for (const auto& value : changes.values) {
    // What repeats the rest in another form is not.
    EXPECT_EQ(value.in_digest, value.name.find("/history/") == std::string::npos);
    values[value.name] = value.bytes;
  }
}

TEST(OutputMetrics, ComeBackBitForBitAndGoOn) {
  for (const bool whole : {true, false}) {
    const auto rows = draw(150'000, whole, 3);
    OutputMetrics one("metrics/ctr", true);
    OutputMetrics two("metrics/ctr", true);
    Values saved_one, saved_two;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      one.add(rows[i]);
      two.add(rows[i]);
      if (i % 1'700 == 0) save(one, saved_one);  // the other saves rarely
    }
    save(one, saved_one);
    save(two, saved_two);
    EXPECT_EQ(saved_one, saved_two);
    OutputMetrics again("metrics/ctr", true);
    for (const auto& [name, bytes] : saved_one) ASSERT_TRUE(again.restore(name, bytes));
    for (std::size_t i = 0; i < 7'000; ++i) {
      one.add(rows[i]);
      again.add(rows[i]);
    }
    Values saved_again = saved_one;
    save(one, saved_one);
    save(again, saved_again);
    EXPECT_EQ(saved_one, saved_again);
    EXPECT_EQ(*one.window().log_loss, *again.window().log_loss);
    EXPECT_EQ(*one.all().auc, *again.all().auc);
    // Of what this object saw.
    EXPECT_NEAR(static_cast<double>(again.last_fifth().rows), 1'400, 70);
  }
}

TEST(OutputMetrics, ACommitCarriesOnlyWhatChanged) {
  OutputMetrics metrics("metrics/ctr", true);
  for (const Measurement& m : draw(100'000, true, 4)) metrics.add(m);
  StateChanges first, nothing, little;
  metrics.save(first);
  metrics.save(nothing);
  EXPECT_TRUE(nothing.values.empty());
  for (const Measurement& m : draw(500, true, 5)) metrics.add(m);
  metrics.save(little);
  std::size_t bytes = 0;
  for (const auto& value : little.values) bytes += value.bytes.size();
  EXPECT_LE(little.values.size(), 4U);
  EXPECT_LT(bytes, 30'000U);
}

TEST(OutputMetrics, DamageIsRefused) {
  OutputMetrics metrics("metrics/ctr", true);
  for (const Measurement& m : draw(5'500, true, 6)) metrics.add(m);
  Values values;
  save(metrics, values);
  ASSERT_EQ(values.size(), 5U);
  for (const auto& [name, bytes] : values) {
    OutputMetrics other("metrics/ctr", true);
    EXPECT_THROW(other.restore(name, std::string_view(bytes).substr(0, bytes.size() - 1)),
                 StateError);
    EXPECT_THROW(other.restore(name, bytes + "x"), StateError);
  }
  OutputMetrics other("metrics/ctr", true);
  EXPECT_THROW(other.restore("metrics/ctr/window/19", values["metrics/ctr/window/0"]), StateError);
  EXPECT_FALSE(other.restore("metrics/ctr2/all", values["metrics/ctr/all"]));
}

}  // namespace
}  // namespace millrace
