// The ledger of probabilities: what is kept weighs 1 / P(kept), so sums over what is kept stay true
// in the mean; who is kept follows from the data alone; positives are never left out.
#include "ingest/encode/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

const Schema& schema() {
  static const Schema schema({}, {Task{.name = "ctr"}, Task{.name = "other"}});
  return schema;
}

TrainOptions options(double rate, double shed, SamplingCorrection correct = {}) {
  TrainOptions options;
  options.negative_sampling = {rate, "ctr", correct};
  options.shed = shed;
  return options;
}

JoinedRow row(int i, double label, double rate = 1) {
  return {.impression_id = "i" + std::to_string(i),
          .time = {i},
          .due = {i},
          .watermark = {i},
          .features = {},
          .weight = 1 / rate,
          .labels = {label, 1}};
}

TEST(Sampling, KeepsEverythingByDefault) {
  Sampling sampling(schema(), {});
  JoinedRow r = row(1, 0, 0.5);
  EXPECT_TRUE(sampling.keep(r));
  EXPECT_EQ(r.weight, 2);
}

TEST(Sampling, WeightsMakeUpForWhatIsMissing) {
  Sampling sampling(schema(), options(0.1, 0.5));
  double rows = 0, positives = 0, kept_positives = 0, kept = 0;
  constexpr int kRows = 200'000;
  for (int i = 0; i < kRows; ++i) {
    const bool positive = i % 20 == 0;
    JoinedRow r = row(i, positive ? 1 : 0, 0.25);
    if (!sampling.keep(r)) continue;
    ++kept;
    kept_positives += positive ? 1 : 0;
    EXPECT_DOUBLE_EQ(r.weight, positive ? 4 * 2 : 4 * 2 * 10);
    EXPECT_FALSE(r.measure_weight);
    rows += r.weight;
    positives += positive ? r.weight : 0;
  }
  EXPECT_NEAR(rows / (4.0 * kRows), 1, 0.03);
  EXPECT_NEAR(positives / (4.0 * kRows / 20), 1, 0.03);
  EXPECT_NEAR(kept_positives / (kRows / 20.0), 0.5, 0.02);  // shed alone
  EXPECT_EQ(kept + static_cast<double>(sampling.dropped()[0] + sampling.dropped()[1]), kRows);
  EXPECT_GT(sampling.dropped()[0], 50'000U);
  EXPECT_NEAR(static_cast<double>(sampling.dropped()[1]), kRows / 2.0, 1000);
}

TEST(Sampling, ServingCorrectsTheLogitAndWeighsMetricsAlone) {
  Sampling sampling(schema(), options(0.1, 1, SamplingCorrection::kServing));
  int kept = 0;
  for (int i = 0; i < 1000; ++i) {
    JoinedRow r = row(i, 0, 0.5);
    if (!sampling.keep(r)) continue;
    ++kept;
    EXPECT_EQ(r.weight, 2);
    EXPECT_DOUBLE_EQ(r.measure_weight.value(), 20);
  }
  EXPECT_NEAR(kept, 100, 40);
}

TEST(Sampling, OnlyNegativesOfItsTaskAreLeftOut) {
  Sampling sampling(schema(), options(1e-6, 1));
  for (int i = 0; i < 1000; ++i) {
    JoinedRow positive = row(i, 1), unknown = row(i, kMissing);
    EXPECT_TRUE(sampling.keep(positive));
    EXPECT_TRUE(sampling.keep(unknown));
    EXPECT_EQ(positive.weight, 1);
  }
}

TEST(Sampling, AllRowsOfAnImpressionAreShedOrNone) {
  Sampling sampling(schema(), options(1, 0.5));
  int kept = 0;
  for (int i = 0; i < 1000; ++i) {
    JoinedRow first = row(i, 0), second = row(i, 1);
    second.due = {i + 5000};
    const bool is_kept = sampling.keep(first);
    EXPECT_EQ(sampling.keep(second), is_kept);
    kept += is_kept ? 1 : 0;
  }
  EXPECT_NEAR(kept, 500, 80);
  // Samples may have no id: they are told apart by what they are.
  int samples = 0;
  for (int i = 0; i < 1000; ++i) {
    JoinedRow sample = row(i, 0);
    sample.impression_id.clear();
    samples += sampling.keep(sample) ? 1 : 0;
  }
  EXPECT_NEAR(samples, 500, 80);
}

// The rate follows the base rate, which falls to a fifth half-way; sums stay true all the same.
TEST(Sampling, ARatioKeepsSoManyNegativesForEachPositive) {
  TrainOptions ratio = options(1, 1);
  ratio.negative_sampling.ratio = 3;
  Sampling sampling(schema(), ratio);
  constexpr int kRows = 1'000'000;
  double negatives = 0, weight = 0, kept[2] = {0, 0}, positives[2] = {0, 0};
  for (int i = 0; i < kRows; ++i) {
    const bool late = i >= kRows / 2, positive = i % (late ? 50 : 10) == 0;
    JoinedRow r = row(i, positive ? 1 : 0);
    negatives += positive ? 0 : 1;
    const bool is_kept = sampling.keep(r);
    if (positive) {
      EXPECT_TRUE(is_kept);
      EXPECT_EQ(r.weight, 1);
    }
    if (!positive && is_kept) weight += r.weight;
    if (i % (kRows / 2) < kRows / 4) continue;  // until the share has followed
    positives[late] += positive ? 1 : 0;
    kept[late] += !positive && is_kept ? 1 : 0;
  }
  EXPECT_NEAR(kept[0] / positives[0], 3, 0.1);
  EXPECT_NEAR(kept[1] / positives[1], 3, 0.4);
  EXPECT_NEAR(weight / negatives, 1, 0.01);
}

TEST(Sampling, ARatioGoesOnWhereItStood) {
  TrainOptions ratio = options(1, 1);
  ratio.negative_sampling.ratio = 2;
  Sampling whole(schema(), ratio), before(schema(), ratio), after(schema(), ratio);
  const auto keep = [&](Sampling& sampling, int i) {
    JoinedRow r = row(i, i % 7 == 0 ? 1 : i % 11 == 0 ? kMissing : 0);
    return sampling.keep(r) ? r.weight : 0;
  };
  std::vector<double> undisturbed, resumed;
  for (int i = 0; i < 4000; ++i) undisturbed.push_back(keep(whole, i));
  for (int i = 0; i < 2000; ++i) resumed.push_back(keep(before, i));
  StateLog log;
  log.commit(before);
  log.restore(after);
  for (int i = 2000; i < 4000; ++i) resumed.push_back(keep(after, i));
  EXPECT_EQ(resumed, undisturbed);
  EXPECT_EQ(after.dropped(), whole.dropped());
  EXPECT_THROW(after.restore_value("shares", "x"), StateError);
}

TEST(Sampling, CountsComeBack) {
  Sampling before(schema(), options(0.1, 0.5));
  for (int i = 0; i < 100; ++i) {
    JoinedRow r = row(i, 0);
    before.keep(r);
  }
  StateLog log;
  log.commit(before);
  Sampling after(schema(), options(1, 1));
  log.restore(after);
  EXPECT_EQ(after.dropped(), before.dropped());
  EXPECT_TRUE(log.digested().empty());
  EXPECT_THROW(after.restore_value("dropped", "x"), StateError);
  EXPECT_THROW(after.restore_value("other", "x"), StateError);
}

}  // namespace
}  // namespace millrace
