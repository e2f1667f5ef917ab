// The auxiliary heads of es_dfm and defer learn what their targets say, from x alone: known before
// anything is known, deterministic with any number of threads, the same after a restart.
#include "learner/train/feedback_heads.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "tests/support/numeric.h"

namespace millrace {
namespace {

constexpr int kBatch = 300, kInputs = 3, kChunks = 3, kTile = 64;

const Schema& schema() {
  static const Schema schema(
      {}, {Task{.name = "wait"}, Task{.name = "es", .policy = FeedbackPolicy::kEsDfm},
           Task{.name = "de", .policy = FeedbackPolicy::kDefer}});
  return schema;
}

struct Line {
  explicit Line(int threads = 1) : pool(threads) {}

  /// One batch; x's first column says which rate the targets have.
  void train(std::uint64_t seed, bool keep = true) {
    Matrix<float> x(kBatch, kInputs, static_cast<int>(seed));
    Batch batch = empty_batch(schema(), Stream::kMatured);
    batch.rows = kBatch;
    batch.weights.assign(kBatch, 1);
    batch.targets.assign(kBatch * 3, 0);
    for (int i = 0; i < kBatch; ++i) {
      const bool group = i % 2 == 0;
      x(i, 0) = group ? 1 : -1;
      const auto dice = philox(9, seed, static_cast<std::uint64_t>(i));
      std::uint8_t& es = batch.targets[static_cast<std::size_t>(i) * 3 + 1];
      es = target::kDelayedKnown | target::kNeverKnown;
      if (to_unit(dice[0]) < (group ? 0.3 : 0.1)) es |= target::kDelayed;
      if (to_unit(dice[1]) < (group ? 0.6 : 0.9)) es |= target::kNever;
      std::uint8_t& de = batch.targets[static_cast<std::size_t>(i) * 3 + 2];
      if (i % 3 == 0) de = target::kDelayedKnown;
    }
    heads.begin(batch, learns);
    pool.run(kChunks, [&](int c) {
      for (int first = c * 100; first < (c + 1) * 100; first += kTile) {
        const int rows = std::min(kTile, (c + 1) * 100 - first);
        heads.run(c, first == c * 100, first, x.view().rows_from(first, rows));
      }
    });
    ASSERT_TRUE(heads.sum(kChunks, pool));
    if (keep) {
      heads.keep(pool);
    } else {
      heads.undo();
    }
  }
  std::string state() const {
    StateChanges changes;
    heads.save(changes);
    return changes.values.at(0).bytes;
  }

  std::vector<std::uint8_t> learns{1, 1, 1};
  Threads pool;
  FeedbackHeads heads{schema(), FeedbackOptions{}, kInputs, kBatch, kChunks, kTile, 1};
};

TEST(FeedbackHeads, LearnTheirTargets) {
  Line line;
  EXPECT_TRUE(line.heads.any());
  EXPECT_EQ(line.heads.report(schema()).size(), 0U);
  for (std::uint64_t s = 0; s < 400; ++s) line.train(s);
  double delayed[2] = {}, never[2] = {};
  for (int i = 0; i < kBatch; ++i) {
    delayed[i % 2] += line.heads.delayed(i, 1) / (kBatch / 2);
    never[i % 2] += line.heads.never(i, 1) / (kBatch / 2);
    EXPECT_EQ(line.heads.delayed(i, 0), 0);  // a task without such heads
    EXPECT_EQ(line.heads.never(i, 2), 1);    // defer has no such head
    EXPECT_LT(line.heads.delayed(i, 2), 0.1);
  }
  EXPECT_NEAR(delayed[0], 0.3, 0.05);
  EXPECT_NEAR(delayed[1], 0.1, 0.05);
  EXPECT_NEAR(never[0], 0.6, 0.05);
  EXPECT_NEAR(never[1], 0.9, 0.05);
  EXPECT_EQ(line.heads.report(schema()).size(), 3U);
}

TEST(FeedbackHeads, NothingIsKnownToChangeBeforeTheFirstTargets) {
  Line line;
  Batch batch = empty_batch(schema(), Stream::kAtOnce);
  batch.rows = 2;
  batch.weights.assign(2, 1);
  batch.targets.assign(6, 0);
  Matrix<float> x(2, kInputs, 1);
  line.heads.begin(batch, line.learns);
  line.heads.run(0, true, 0, x.view());
  EXPECT_EQ(line.heads.delayed(0, 1), 0);
  EXPECT_EQ(line.heads.never(1, 1), 1);
  const std::string before = Line().state();
  ASSERT_TRUE(line.heads.sum(1, line.pool));
  line.heads.keep(line.pool);
  // No target, no step; only the shares have seen the rows.
  EXPECT_EQ(line.state().substr(0, 1000), before.substr(0, 1000));
}

TEST(FeedbackHeads, ABatchTakenBackLeavesNoTrace) {
  Line line, other;
  line.train(1, false);
  EXPECT_EQ(line.state(), other.state());
  line.train(2);
  other.train(2);
  EXPECT_EQ(line.state(), other.state());
}

// Those of a task that does not learn stay bit for bit, while the other task's learn on.
TEST(FeedbackHeads, StayWhileTheirTaskIsFrozen) {
  Line line, frozen_from_the_start;
  for (std::uint64_t s = 0; s < 20; ++s) line.train(s);
  const auto said = [&](int task) {
    line.train(1000, false);  // looked at, and taken back
    std::vector<double> values;
    for (int i = 0; i < kBatch; ++i) {
      values.push_back(line.heads.delayed(i, task));
      values.push_back(line.heads.never(i, task));
    }
    return values;
  };
  const auto es = said(1), de = said(2);
  const auto loss = line.heads.report(schema()).at(0).loss;
  line.learns = {1, 0, 1};
  for (std::uint64_t s = 20; s < 40; ++s) line.train(s);
  EXPECT_EQ(said(1), es);
  EXPECT_NE(said(2), de);
  EXPECT_EQ(line.heads.report(schema()).at(0).loss, loss);
  line.learns = {1, 1, 1};
  line.train(40);
  EXPECT_NE(said(1), es);

  frozen_from_the_start.learns = {1, 0, 0};
  for (std::uint64_t s = 0; s < 20; ++s) frozen_from_the_start.train(s);
  EXPECT_TRUE(frozen_from_the_start.heads.report(schema()).empty());
  EXPECT_EQ(frozen_from_the_start.heads.delayed(0, 1), 0);
}

TEST(FeedbackHeads, ThreadsAndRestartsChangeNoBit) {
  Line one(1), two(2);
  auto third = std::make_unique<Line>(2);
  for (std::uint64_t s = 0; s < 20; ++s) {
    one.train(s);
    two.train(s);
    third->train(s);
    if (s != 9) continue;
    const std::string saved = third->state();
    third = std::make_unique<Line>(1);
    ASSERT_TRUE(third->heads.restore("feedback", saved));
  }
  EXPECT_EQ(one.state(), two.state());
  EXPECT_EQ(one.state(), third->state());
}

TEST(FeedbackHeads, RefuseDamage) {
  Line line;
  EXPECT_FALSE(line.heads.restore("dense", ""));
  EXPECT_THROW(line.heads.restore("feedback", "abc"), StateError);
  EXPECT_THROW(line.heads.restore("feedback", line.state() + "x"), StateError);
  FeedbackHeads none(Schema({}, {Task{.name = "wait"}}), FeedbackOptions{}, 1, 1, 1, 1, 1);
  EXPECT_FALSE(none.any());
  EXPECT_FALSE(none.restore("feedback", line.state()));
}

// Impressions of two groups, whose 1s come with a mean delay of an hour and of four, looked at
// after half an hour, after two, and when the label is decided. The net tells the groups' rates, in
// the unit that it measures time by, though the task's odds say nothing of them.
TEST(FeedbackHeads, LearnTheRateOfDelays) {
  const Schema dfm(
      {}, {Task{.name = "wait"},
           Task{.name = "buy", .policy = FeedbackPolicy::kDfm, .short_wait = Duration{1'800'000}}});
  FeedbackHeads heads(dfm, FeedbackOptions{}, kInputs, kBatch, kChunks, kBatch, 1);
  Threads pool(1);
  constexpr float kHour = 3.6e6F;
  const std::vector<float> looks{0, kHour / 2, 2 * kHour, INFINITY};
  Matrix<float> x(kBatch, kInputs, 3), z(kBatch, 2);
  double rates[2] = {};
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    Batch batch = empty_batch(dfm, Stream::kAtOnce);
    batch.rows = kBatch;
    batch.weights.assign(kBatch, 1);
    batch.targets.assign(kBatch * 2, 0);
    batch.labels.assign(kBatch * 2, NAN);
    batch.origin.assign(kBatch * 2, Origin::kFirst);
    batch.since.assign(kBatch * 2, 0);
    batch.until.assign(kBatch * 2, NAN);
    for (int i = 0; i < kBatch; ++i) {
      x(i, 0) = i % 2 == 0 ? 1 : -1;
      z(i, 1) = -0.5F;
      const std::size_t cell = static_cast<std::size_t>(i) * 2 + 1;
      const auto dice = philox(9, seed, static_cast<std::uint64_t>(i));
      const double mean = i % 2 == 0 ? kHour : 4 * kHour;
      const double delay = to_unit(dice[0]) < 1 / (1 + std::exp(0.5))
                               ? -mean * std::log(1 - to_unit(dice[1]))
                               : INFINITY;
      const std::size_t look = 1 + dice[2] % 3;
      if (delay <= looks[look - 1]) continue;  // an earlier one saw it
      const bool came = !std::isinf(delay) && delay <= looks[look];
      batch.labels[cell] = came ? 1 : 0;
      batch.since[cell] = looks[look - 1];
      batch.until[cell] = came ? static_cast<float>(delay) : looks[look];
    }
    heads.begin(batch, std::vector<std::uint8_t>{1, 1});
    heads.run(0, true, 0, x.view(), z.view());
    for (int i = 0; i < kBatch && seed >= 1400; ++i) {
      const double w = heads.rate(i, 1);
      rates[i % 2] += std::log1p(std::exp(w)) / heads.unit_ms(1) * kHour / (100 * kBatch / 2.0);
    }
    ASSERT_TRUE(heads.sum(1, pool));
    heads.keep(pool);
  }
  EXPECT_NEAR(rates[0], 1, 0.12);
  EXPECT_NEAR(rates[1], 0.25, 0.03);
  ASSERT_EQ(heads.report(dfm).size(), 1U);
  EXPECT_EQ(heads.report(dfm)[0].head, "rate");
}

}  // namespace
}  // namespace millrace
