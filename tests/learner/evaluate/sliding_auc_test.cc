// The exact AUC over the last rows is that of all pairs among them, whatever came before, with ties
// and weights; it takes a restart at any moment without a changed bit.
#include "learner/evaluate/sliding_auc.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <random>

namespace millrace {
namespace {

struct Row {
  double logit;
  bool positive;
  double weight;
};

std::optional<double> by_pairs(const std::deque<Row>& rows) {
  double won = 0, pairs = 0;
  for (const Row& p : rows) {
    for (const Row& n : rows) {
      if (!p.positive || n.positive) continue;
      const double weight = p.weight * n.weight;
      pairs += weight;
      won += weight * (p.logit > n.logit ? 1 : p.logit == n.logit ? 0.5 : 0);
    }
  }
  return pairs > 0 ? std::optional(won / pairs) : std::nullopt;
}

// `grid` > 0: few logits, most of them tied. Long runs of one class in between.
Row draw(std::mt19937_64& random, double grid, bool weighed, int i) {
  std::normal_distribution<double> normal;
  const bool run = i / 100 % 5 == 4;
  const bool positive = !run && random() % 3 == 0;
  double logit = normal(random) + (positive ? 0.7 : 0);
  if (grid > 0) logit = std::round(logit * grid) / grid;
  return {logit, positive, weighed ? 1 / (0.05 + static_cast<double>(random() % 10) / 10) : 1};
}

TEST(SlidingAuc, IsThatOfAllPairsOfTheLastRows) {
  for (const int most : {1, 2, 7, 60}) {
    for (const double grid : {0.0, 1.0, 3.0}) {
      for (const bool weighed : {false, true}) {
        std::mt19937_64 random(static_cast<std::uint64_t>(most));
        SlidingAuc auc(most);
        std::deque<Row> held;
        EXPECT_FALSE(auc.figure().value);
        for (int i = 0; i < 700; ++i) {
          const Row row = draw(random, grid, weighed, i);
          auc.add(row.logit, row.positive, row.weight);
          held.push_back(row);
          if (static_cast<int>(held.size()) > most) held.pop_front();
          const SlidingAucFigure figure = auc.figure();
          const auto expected = by_pairs(held);
          EXPECT_EQ(figure.rows, held.size());
          ASSERT_EQ(figure.value.has_value(), expected.has_value());
          if (expected) {
            ASSERT_NEAR(*figure.value, *expected, weighed ? 1e-6 : 1e-12);
          }
        }
      }
    }
  }
}

// Nothing is left of what went: after any past the same rows give the same bits.
TEST(SlidingAuc, IsAFunctionOfTheRowsHeldAlone) {
  std::mt19937_64 random(1);
  SlidingAuc old(500), fresh(500);
  for (int i = 0; i < 5'000; ++i) {
    const Row row = draw(random, 0, true, i);
    old.add(row.logit * 3, row.positive, row.weight);
  }
  for (int i = 0; i < 500; ++i) {
    const Row row = draw(random, 40, true, i);
    for (SlidingAuc* auc : {&old, &fresh}) auc->add(row.logit, row.positive, row.weight);
  }
  EXPECT_EQ(*old.figure().value, *fresh.figure().value);
  EXPECT_EQ(old.figure().rows, 500U);
}

TEST(SlidingAuc, ZeroHasOneSignAndWeightsMayBeNothing) {
  SlidingAuc auc(10);
  auc.add(0.0, true, 1);
  auc.add(-0.0, false, 1);
  EXPECT_EQ(*auc.figure().value, 0.5);
  auc.add(5, false, 0);
  EXPECT_EQ(*auc.figure().value, 0.5);
  EXPECT_EQ(auc.figure().rows, 3U);
}

TEST(SlidingAuc, ARestartAnywhereChangesNoBit) {
  for (const int most : {1, 5, 16, 333}) {
    std::mt19937_64 random(static_cast<std::uint64_t>(most));
    SlidingAuc whole(most);
    auto cut = std::make_unique<SlidingAuc>(most);
    std::map<std::string, std::string> values;
    for (int i = 0; i < 4'000; ++i) {
      const Row row = draw(random, i % 2 == 0 ? 0.0 : 5.0, true, i);
      whole.add(row.logit, row.positive, row.weight);
      cut->add(row.logit, row.positive, row.weight);
      // Sometimes more rows than are held come between two commits.
      if (random() % (i < 2'000 ? 20U : 400U) != 0) continue;
      StateChanges changes;
      cut->save("x", changes);
      for (const auto& value : changes.values) values[value.name] = value.bytes;
      if (random() % 3 != 0) continue;
      cut = std::make_unique<SlidingAuc>(most);
      for (const auto& [name, bytes] : values) {
        cut->restore(name == "x" ? "" : std::string_view(name).substr(2), bytes);
      }
      ASSERT_EQ(cut->figure().rows, whole.figure().rows) << most << " " << i;
      ASSERT_EQ(cut->figure().value, whole.figure().value) << most << " " << i;
    }
    // Another size takes what it holds of them, and goes on.
    StateChanges changes;
    cut->save("x", changes);
    for (const auto& value : changes.values) values[value.name] = value.bytes;
    for (const int other : {3, 40, 1'000}) {
      SlidingAuc changed(other), expected(other);
      for (const auto& [name, bytes] : values) {
        changed.restore(name == "x" ? "" : std::string_view(name).substr(2), bytes);
      }
      const auto rows = static_cast<int>(changed.figure().rows);
      EXPECT_EQ(rows, std::min(other, most));
      for (int i = 0; i < 2 * other; ++i) {
        const Row row = draw(random, 0, true, i);
        changed.add(row.logit, row.positive, row.weight);
        expected.add(row.logit, row.positive, row.weight);
      }
      EXPECT_EQ(changed.figure().value, expected.figure().value);
    }
  }
}

// A larger size may even find rows again that a smaller one had let go.
TEST(SlidingAuc, WhatIsHeldOutlastsAnyChangesOfItsSize) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    std::mt19937_64 random(seed);
    std::map<std::string, std::string> values;
    std::deque<Row> rows;
    std::size_t held = 0;
    for (int restart = 0; restart < 40; ++restart) {
      const std::size_t most = restart % 2 == 0 ? 32 : 48;
      SlidingAuc auc(static_cast<int>(most));
      for (const auto& [name, bytes] : values) {
        auc.restore(name == "x" ? "" : std::string_view(name).substr(2), bytes);
      }
      const SlidingAucFigure figure = auc.figure();
      ASSERT_GE(figure.rows, std::min(held, most)) << seed << ' ' << restart;
      ASSERT_LE(figure.rows, std::min(rows.size(), most));
      const auto last = static_cast<std::ptrdiff_t>(figure.rows);
      const auto expected = by_pairs(std::deque<Row>(rows.end() - last, rows.end()));
      ASSERT_EQ(figure.value.has_value(), expected.has_value());
      ASSERT_NEAR(figure.value.value_or(0), expected.value_or(0), 1e-12);
      held = figure.rows;
      for (auto i = random() % 60; i > 0; --i) {
        rows.push_back(draw(random, 3, false, 0));
        auc.add(rows.back().logit, rows.back().positive, rows.back().weight);
        held = std::min(held + 1, most);
      }
      StateChanges changes;
      auc.save("x", changes);
      for (const auto& value : changes.values) values[value.name] = value.bytes;
    }
  }
}

TEST(SlidingAuc, ALogitThatIsNoNumberIsNotCounted) {
  SlidingAuc auc(2);
  auc.add(std::nan(""), true, 1);
  for (const double logit : {0.0, 1.0, 2.0}) auc.add(logit, logit > 0, 1);
  EXPECT_EQ(auc.figure().rows, 2U);
}

}  // namespace
}  // namespace millrace
