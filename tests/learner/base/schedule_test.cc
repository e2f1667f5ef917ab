// Learning rates by elapsed steps: each shape's formula at its landmarks, and that parts of a batch
// add up to it.
#include "learner/base/schedule.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

ScheduleOptions of(ScheduleShape shape) {
  return {.shape = shape, .warmup = 100, .length = 400, .factor = 0.25, .floor = 0.1};
}

TEST(Schedule, ConstantIsOneWithoutAWarmUp) {
  EXPECT_EQ(scheduled_share({}, 0.004), 1);
  EXPECT_EQ(scheduled_share({}, 1e9), 1);
}

TEST(Schedule, WarmsUpEvenlyWhateverTheShape) {
  for (const auto& choice : Choices<ScheduleShape>::all) {
    for (const double steps : {0.5, 1.0, 50.0, 99.0}) {
      EXPECT_DOUBLE_EQ(scheduled_share(of(choice.value), steps), steps / 100);
    }
    EXPECT_DOUBLE_EQ(scheduled_share(of(choice.value), 100), 1);
  }
}

TEST(Schedule, ShapesFollowTheirFormulas) {
  EXPECT_DOUBLE_EQ(scheduled_share(of(ScheduleShape::kInverseSqrt), 500), std::sqrt(0.5));
  EXPECT_DOUBLE_EQ(scheduled_share(of(ScheduleShape::kInverseSqrt), 1300), 0.5);
  EXPECT_NEAR(scheduled_share(of(ScheduleShape::kCosine), 300), 0.55, 1e-15);
  EXPECT_NEAR(scheduled_share(of(ScheduleShape::kCosine), 500), 0.1, 1e-15);
  EXPECT_NEAR(scheduled_share(of(ScheduleShape::kCosine), 5000), 0.1, 1e-15);
  EXPECT_DOUBLE_EQ(scheduled_share(of(ScheduleShape::kExponential), 300), 0.5);
  EXPECT_DOUBLE_EQ(scheduled_share(of(ScheduleShape::kStep), 499), 1);
  EXPECT_DOUBLE_EQ(scheduled_share(of(ScheduleShape::kStep), 500), 0.25);
  EXPECT_DOUBLE_EQ(scheduled_share(of(ScheduleShape::kStep), 1e6), 0.1);  // the floor
  // With a length of the warm-up's, the paper's: √(w / s).
  ScheduleOptions paper = of(ScheduleShape::kInverseSqrt);
  paper.length = paper.warmup;
  paper.floor = 0;
  EXPECT_DOUBLE_EQ(scheduled_share(paper, 2500), std::sqrt(100 / 2500.0));
}

TEST(Schedule, PartsOfABatchAddUpToItsStep) {
  for (const auto& choice : Choices<ScheduleShape>::all) {
    double steps = 0;
    for (int part = 0; part < 3 * 500; ++part) steps += 1.0 / 3;
    EXPECT_NEAR(scheduled_share(of(choice.value), steps), scheduled_share(of(choice.value), 500),
                1e-9);
  }
}

}  // namespace
}  // namespace millrace
