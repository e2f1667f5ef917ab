// The alarm is held against streams whose true difference is known: it rises where a task is worse
// than its twin, not on noise, and a restart changes nothing of it.
#include "learner/relation/transfer_alarm.h"

#include <gtest/gtest.h>

#include <random>

namespace millrace {
namespace {

constexpr TransferAlarmOptions kOptions{.block = 200, .blocks = 40, .deviations = 4};

// Batches of paired losses: what a row has in common for both, and a difference of mean `excess`.
class Pairs {
 public:
  explicit Pairs(std::uint64_t seed) : random_(seed) {}
  void feed(TransferAlarm& alarm, int batches, double excess) {
    std::normal_distribution<double> common(0.5, 0.4), own(0, 0.1);
    std::uniform_int_distribution<int> rows(1, 40);
    for (int b = 0; b < batches; ++b) {
      TransferAlarm::Losses model, twin;
      model.rows = twin.rows = static_cast<std::uint64_t>(rows(random_));
      for (std::uint64_t r = 0; r < model.rows; ++r) {
        const double shared = common(random_), weight = r % 3 == 0 ? 2 : 1;
        model.weight += weight, twin.weight += weight;
        model.loss += weight * (shared + own(random_) + excess);
        twin.loss += weight * (shared + own(random_));
      }
      alarm.add(model, twin, {now_ += 1000});
    }
  }

 private:
  std::mt19937_64 random_;
  std::int64_t now_ = 1'764'000'000'000;
};

TEST(TransferAlarm, DoesNotRiseOnNoise) {
  int risen = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    TransferAlarm alarm(kOptions);
    Pairs(seed).feed(alarm, 2'000, 0);  // 200 blocks
    risen += alarm.report().alarms > 0 ? 1 : 0;
    EXPECT_EQ(alarm.report().blocks, 40);
  }
  EXPECT_LE(risen, 2);
}

TEST(TransferAlarm, RisesOnceWhereTheTaskIsWorseAndGoesOutAfterwards) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    TransferAlarm alarm(kOptions);
    Pairs pairs(seed);
    pairs.feed(alarm, 600, 0.02);
    const TransferReport report = alarm.report();
    EXPECT_TRUE(report.alarm);
    EXPECT_EQ(report.alarms, 1U);
    EXPECT_TRUE(alarm.take_change());
    EXPECT_FALSE(alarm.take_change());
    EXPECT_TRUE(report.since.is_finite());
    EXPECT_NEAR(report.difference, 0.02, report.margin);
    pairs.feed(alarm, 600, -0.02);
    EXPECT_FALSE(alarm.report().alarm);
    EXPECT_TRUE(alarm.take_change());
  }
}

TEST(TransferAlarm, ATaskThatIsBetterRaisesNone) {
  TransferAlarm alarm(kOptions);
  Pairs(3).feed(alarm, 2'000, -0.05);
  EXPECT_EQ(alarm.report().alarms, 0U);
  EXPECT_LT(alarm.report().difference, 0);
}

TEST(TransferAlarm, AFewBlocksSayNothing) {
  TransferAlarm alarm(kOptions);
  while (alarm.report().blocks < 19) Pairs(1).feed(alarm, 1, 1);
  EXPECT_FALSE(alarm.report().alarm);
  while (alarm.report().blocks < 20) Pairs(1).feed(alarm, 1, 1);
  EXPECT_TRUE(alarm.report().alarm);
}

TEST(TransferAlarm, BatchesThatOneOfTheTwoPassedOverAreLeftOut) {
  TransferAlarm alarm(kOptions);
  for (int i = 0; i < 1000; ++i) alarm.add({40, 40, 90}, {}, {i});
  EXPECT_EQ(alarm.report().blocks, 0);
}

TEST(TransferAlarm, ARestartAnywhereChangesNothing) {
  TransferAlarm whole(kOptions);
  auto part = std::make_unique<TransferAlarm>(kOptions);
  Pairs a(7), b(7);
  for (int i = 0; i < 300; ++i) {
    const double excess = i < 150 ? 0.03 : -0.03;
    a.feed(whole, 5, excess);
    b.feed(*part, 5, excess);
    ByteWriter writer;
    part->save(writer);
    const std::string bytes = writer.take();
    part = std::make_unique<TransferAlarm>(kOptions);
    ByteReader reader(bytes);
    part->restore(reader);
    EXPECT_TRUE(reader.at_end());
    ASSERT_EQ(part->report().difference, whole.report().difference);
    ASSERT_EQ(part->report().alarm, whole.report().alarm);
    ASSERT_EQ(part->report().since, whole.report().since);
  }
  EXPECT_EQ(whole.report().alarms, 1U);
}

TEST(TransferAlarm, AnotherModelBeginsAnew) {
  TransferAlarm alarm(kOptions);
  Pairs(5).feed(alarm, 600, 0.05);
  ASSERT_TRUE(alarm.report().alarm);
  alarm.restart();
  EXPECT_FALSE(alarm.report().alarm);
  EXPECT_EQ(alarm.report().blocks, 0);
  EXPECT_EQ(alarm.report().alarms, 1U);
}

}  // namespace
}  // namespace millrace
