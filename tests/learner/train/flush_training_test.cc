// The rows of a flush: of a condition that is decided long before, only those where it held are
// left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"

namespace millrace {
namespace {

constexpr double kClicks = 0.12, kBuys = 0.3;
constexpr int kClickSteps = 400, kBuySteps = 400;

Schema schema() {
  Feature x;
  x.name = "x";
  x.kind = FeatureKind::kNumeric;
  std::vector<Task> tasks(2);
  tasks[0].name = "click";
  tasks[1].name = "buy";
  tasks[1].given = 0;
  tasks[1].entire_space = true;
  return {{x}, tasks};
}

// Clicks of all rows, then purchases of clicked rows; what the model says of these over what they
// are, in the second half of them.
double calibration(bool certain) {
  const Schema of = schema();
  Trainer trainer("m", of, stream::options(32));
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> unit;
  const auto draw = [&](double p) { return unit(random) < p ? 1.0F : 0.0F; };
  double predicted = 0, bought = 0;
  int steps = 0;
  trainer.observe([&](int task, const Measurement& row, std::uint64_t) {
    if (task != 1 || steps < kClickSteps + kBuySteps / 2) return;
    predicted += row.prediction;
    bought += row.label;
  });
  for (; steps < kClickSteps + kBuySteps; ++steps) {
    const bool flush = steps >= kClickSteps;
    Batch batch = empty_batch(of, Stream::kMatured);
    batch.rows = flush ? 8 : 32;
    for (int i = 0; i < batch.rows; ++i) {
      const float click = flush ? 1.0F : draw(kClicks);
      batch.numeric.push_back(draw(0.5) + draw(0.5));
      batch.labels.push_back(flush ? stream::kMissing : click);
      batch.labels.push_back(flush ? draw(kBuys) : stream::kMissing);
      batch.condition.push_back(1);
      batch.condition.push_back(click == 1 ? 1 : 0);
      batch.weights.push_back(1);
      if (!flush || !certain) continue;
      batch.certain.push_back(1);
      batch.certain.push_back(0);
    }
    batch.due = {1'764'000'000'000 + 250 * steps};
    batch.seen = batch.due;
    trainer.train(batch);
  }
  return predicted / bought;
}

// Purchases that were learned from all rows, and then from those of a flush alone: the product says
// what it said, of rows in which they are many times as frequent.
TEST(FlushTraining, NothingIsFrozenByAFlush) {
  const Schema of = schema();
  Trainer trainer("m", of, stream::options(32));
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> unit;
  const auto draw = [&](double p) { return unit(random) < p ? 1.0F : 0.0F; };
  for (int step = 0; step < 1'200; ++step) {
    const bool flush = step >= 600;
    Batch batch = empty_batch(of, Stream::kMatured);
    batch.rows = 32;
    for (int i = 0; i < batch.rows; ++i) {
      const float click = flush ? 1.0F : draw(kClicks);
      batch.numeric.push_back(draw(0.5) + draw(0.5));
      batch.labels.push_back(flush ? stream::kMissing : click);
      batch.labels.push_back(click == 1 ? draw(kBuys) : 0);
      batch.condition.push_back(1);
      batch.condition.push_back(click == 1 ? 1 : 0);
      batch.weights.push_back(1);
      if (!flush) continue;
      batch.certain.push_back(1);
      batch.certain.push_back(0);
    }
    batch.due = {1'764'000'000'000 + 250 * step};
    batch.seen = batch.due;
    trainer.train(batch);
    ASSERT_THAT(trainer.take_notices(), ::testing::IsEmpty()) << step;
    ASSERT_FALSE(trainer.holds_versions()) << step;
  }
}

TEST(FlushTraining, ProbabilitiesGivenAConditionStayTrueWhereItAlwaysHolds) {
  EXPECT_NEAR(calibration(true), 1, 0.15);
  EXPECT_GT(calibration(false), 1.3) << "what the product learns without its zeros";
}

}  // namespace
}  // namespace millrace
