// What a watch must never do, freeze a healthy task, and must always do, find a fault within a
// stated number of rows. Streams are drawn from a model that is right about its rows, or nearly so.
#include "learner/train/task_watch.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace millrace {
namespace {

constexpr int kSeeds = 20;

struct Row {
  double label, prediction;
};

double loss_of(const Row& row) {
  const double p = std::clamp(row.prediction, 1e-12, 1 - 1e-12);
  return row.label > 0 ? -std::log(p) : -std::log1p(-p);
}

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

using Random = std::mt19937_64;
double unit(Random& random) { return std::uniform_real_distribution<double>()(random); }
double normal(Random& random) { return std::normal_distribution<double>()(random); }

/// A row of a model that is right: the label follows the prediction.
Row honest(Random& random, double center, double width) {
  const double p = sigmoid(center + width * normal(random));
  return {unit(random) < p ? 1.0 : 0.0, p};
}

/// Feeds `rows` rows; the first finding and the row at which it was made.
struct Result {
  FreezeReason reason = FreezeReason::kNone;
  int row = -1;
  std::string text;
};
Result feed(TaskWatch& watch, int rows, const std::function<Row(int)>& next) {
  for (int i = 0; i < rows; ++i) {
    const Row row = next(i);
    if (const auto finding = watch.add(row.label, row.prediction, loss_of(row))) {
      return {finding->reason, i, finding->text};
    }
  }
  return {};
}

const GuardrailOptions kUsual;

TEST(TaskWatch, NeverFindsAnythingInAnHonestStream) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    for (const double center : {-7.0, -5.0, -2.6, 0.0, 1.5}) {
      for (const double width : {0.3, 1.2}) {
        Random random(static_cast<std::uint64_t>(seed));
        TaskWatch watch(kUsual, true);
        const Result result =
            feed(watch, 100'000, [&](int) { return honest(random, center, width); });
        ASSERT_EQ(result.row, -1) << seed << " " << center << " " << width << ": " << result.text;
      }
    }
  }
}

// Whole visits of one user after another, each with a mood of its own: rows are not independent.
TEST(TaskWatch, VisitsThatHangTogetherAreNoFault) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    TaskWatch watch(kUsual, true);
    double mood = 0;
    const Result result = feed(watch, 200'000, [&](int i) {
      if (i % 100 == 0) mood = 0.8 * normal(random);
      const double z = 0.2 + 0.8 * normal(random);
      return Row{unit(random) < sigmoid(z + mood) ? 1.0 : 0.0, sigmoid(z)};
    });
    EXPECT_EQ(result.row, -1) << seed << ": " << result.text;
  }
}

// A model that starts from a first row's guess: far off for thousands of rows, and coming closer.
TEST(TaskWatch, AStreamThatOnlyStartsIsNoFault) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    for (const double first : {-1.1, 1.1}) {
      Random random(static_cast<std::uint64_t>(seed));
      TaskWatch watch(kUsual, true);
      const Result result = feed(watch, 100'000, [&](int i) {
        const double z = -4 + 0.7 * normal(random);
        const double off = (first + 4) * std::exp(-i / 5'000.0);
        return Row{unit(random) < sigmoid(z) ? 1.0 : 0.0, sigmoid(z + off)};
      });
      EXPECT_EQ(result.row, -1) << seed << " " << first << ": " << result.text;
    }
  }
}

// The label becomes ten times rarer within 20,000 rows; the model follows 1,000 rows behind.
TEST(TaskWatch, ALabelThatBecomesRareIsNoFault) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    TaskWatch watch(kUsual, true);
    const auto center = [](int i) {
      return -2.6 - 2.4 * std::clamp((i - 40'000) / 20'000.0, 0.0, 1.0);
    };
    const Result result = feed(watch, 150'000, [&](int i) {
      const double spread = normal(random);
      return Row{unit(random) < sigmoid(center(i) + spread) ? 1.0 : 0.0,
                 sigmoid(center(i - 1'000) + spread)};
    });
    EXPECT_EQ(result.row, -1) << seed << ": " << result.text;
  }
}

// Half as many again from one moment on, and the model needs 5,000 rows to see it.
TEST(TaskWatch, AGoodDayIsNoFault) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    TaskWatch watch(kUsual, true);
    const Result result = feed(watch, 100'000, [&](int i) {
      const double spread = normal(random);
      const double jump = i < 50'000 ? 0 : std::log(1.5);
      const double behind = i < 50'000 ? 0 : jump * std::exp(-(i - 50'000) / 2'000.0);
      return Row{unit(random) < sigmoid(-2.6 + jump + spread) ? 1.0 : 0.0,
                 sigmoid(-2.6 + jump - behind + spread)};
    });
    EXPECT_EQ(result.row, -1) << seed << ": " << result.text;
  }
}

TEST(TaskWatch, ThirtyPercentOfTheLabelsFlipped) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    // Base rates of 0.3 %, 7 % and a half; the last with an AUC of .85.
    for (const auto& [center, width, within] :
         {std::tuple{-6.0, 1.0, 1'000}, {-2.6, 1.0, 1'000}, {0.0, 1.6, 5'000}}) {
      Random random(static_cast<std::uint64_t>(seed));
      TaskWatch watch(kUsual, true);
      const auto row = [&, c = center, w = width](int) { return honest(random, c, w); };
      ASSERT_EQ(feed(watch, 100'000, row).row, -1);
      const Result result = feed(watch, 20'000, [&](int i) {
        Row flipped = row(i);
        if (unit(random) < 0.3) flipped.label = 1 - flipped.label;
        return flipped;
      });
      EXPECT_TRUE(result.reason == FreezeReason::kSpike ||
                  result.reason == FreezeReason::kCalibration)
          << seed << " " << center;
      EXPECT_TRUE(0 <= result.row && result.row <= within)
          << seed << " " << center << ": " << result.row << " " << result.text;
    }
  }
}

TEST(TaskWatch, APredictionThatIsGarbageIsFoundEvenAtTheStart) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    for (const int before : {0, 50'000}) {
      Random random(static_cast<std::uint64_t>(seed));
      TaskWatch watch(kUsual, true);
      ASSERT_EQ(feed(watch, before, [&](int) { return honest(random, -2, 1); }).row, -1);
      const Result result = feed(watch, 10'000, [&](int) {
        return Row{unit(random) < 0.12 ? 1.0 : 0.0, sigmoid(40 * normal(random))};
      });
      EXPECT_TRUE(0 <= result.row && result.row < 1'200)
          << seed << " " << before << " " << result.row;
    }
  }
}

TEST(TaskWatch, ALabelThatStopsIsSilentAndComesBack) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    for (const double center : {-4.6, -2.0, 0.0}) {
      Random random(static_cast<std::uint64_t>(seed));
      TaskWatch watch(kUsual, true);
      ASSERT_EQ(feed(watch, 40'000, [&](int) { return honest(random, center, 0.7); }).row, -1);
      double expected = 0;
      const Result result = feed(watch, 40'000, [&](int) {
        Row row = honest(random, center, 0.7);
        row.label = 0;
        expected += row.prediction;
        return row;
      });
      EXPECT_EQ(result.reason, FreezeReason::kSilent) << seed << " " << center;
      EXPECT_TRUE(expected <= kUsual.silent.expected + 1 || result.row <= kUsual.silent.rows)
          << seed << " " << center << " " << expected << " " << result.row;
      EXPECT_FALSE(watch.heard(0));
      EXPECT_FALSE(watch.heard(1));
      EXPECT_FALSE(watch.heard(1));
      EXPECT_FALSE(watch.heard(0));
      EXPECT_TRUE(watch.heard(1));
    }
  }
}

TEST(TaskWatch, ARegressionsLossMaySpikeToo) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    TaskWatch watch(kUsual, false);
    const auto add = [&](double scale) {
      // Squared errors with a heavy tail: of log-normal labels.
      const double away = scale * std::exp(0.5 * normal(random)) - 1.1;
      return watch.add(0, 0, away * away);
    };
    for (int i = 0; i < 100'000; ++i) ASSERT_FALSE(add(1)) << seed << " " << i;
    bool found = false;
    for (int i = 0; i < 2'000 && !found; ++i) {
      const auto finding = add(3);
      found = finding && finding->reason == FreezeReason::kSpike;
    }
    EXPECT_TRUE(found) << seed;
  }
}

TEST(TaskWatch, AHandfulOfWildRowsIsNoSpike) {
  Random random(1);
  TaskWatch watch(kUsual, false);
  for (int i = 0; i < 100'000; ++i) {
    const double loss = i % 20'000 == 19'999 ? 1e12 : normal(random) * normal(random) + 2;
    ASSERT_FALSE(watch.add(0, 0, std::abs(loss))) << i;
  }
}

TEST(TaskWatch, WhatIsTurnedOffFindsNothing) {
  GuardrailOptions off;
  off.spike.enabled = off.calibration.enabled = off.silent.enabled = false;
  Random random(1);
  TaskWatch watch(off, true);
  EXPECT_EQ(feed(watch, 50'000, [&](int) { return honest(random, -2, 1); }).row, -1);
  EXPECT_EQ(feed(watch, 50'000, [&](int) { return Row{0, sigmoid(30 * normal(random))}; }).row, -1);
}

TEST(TaskWatch, ARestartAnywhereChangesNothing) {
  Random random(7);
  std::vector<Row> rows;
  for (int i = 0; i < 60'000; ++i) {
    Row row = honest(random, -2, 1);
    if (i > 50'000 && unit(random) < 0.3) row.label = 1 - row.label;
    rows.push_back(row);
  }
  TaskWatch whole(kUsual, true);
  const Result expected =
      feed(whole, 60'000, [&](int i) { return rows[static_cast<std::size_t>(i)]; });
  ASSERT_GT(expected.row, 50'000);

  auto watch = std::make_unique<TaskWatch>(kUsual, true);
  Result found;
  for (int i = 0; i < 60'000 && found.row < 0; ++i) {
    const Row& row = rows[static_cast<std::size_t>(i)];
    if (const auto finding = watch->add(row.label, row.prediction, loss_of(row))) {
      found = {finding->reason, i, finding->text};
    }
    if (random() % 500 != 0) continue;
    ByteWriter writer;
    watch->save(writer);
    watch = std::make_unique<TaskWatch>(kUsual, true);
    ByteReader reader(writer.bytes());
    watch->restore(reader);
    ASSERT_TRUE(reader.at_end());
  }
  EXPECT_EQ(found.row, expected.row);
  EXPECT_EQ(found.text, expected.text);
}

}  // namespace
}  // namespace millrace
