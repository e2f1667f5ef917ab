// Losses and activations: slopes are those of the values, and no finite logit overflows.
#include "learner/math/loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/numeric.h"

namespace millrace {
namespace {

TEST(Loss, SlopesMatchFiniteDifferences) {
  for (const double y : {0.0, 0.3, 1.0}) {
    std::vector<double> z(1);
    for (z[0] = -5; z[0] <= 5; z[0] += 0.37) {
      EXPECT_NEAR(math::bce(z[0], y).slope, slopes(z, [&] { return math::bce(z[0], y).value; })[0],
                  1e-8);
      EXPECT_NEAR(math::squared(z[0], y).slope,
                  slopes(z, [&] { return math::squared(z[0], y).value; })[0], 1e-7);
    }
  }
}

TEST(Loss, SlopesOfHuberAndPoissonMatchFiniteDifferences) {
  std::vector<double> z(1);
  for (const double y : {0.0, 0.3, 1.0, 7.0}) {
    for (z[0] = -5; z[0] <= 5; z[0] += 0.37) {
      for (const double delta : {0.5, 2.0}) {
        EXPECT_NEAR(math::huber(z[0], y, delta).slope,
                    slopes(z, [&] { return math::huber(z[0], y, delta).value; })[0], 1e-7);
      }
      EXPECT_NEAR(math::poisson(z[0], y).slope,
                  slopes(z, [&] { return math::poisson(z[0], y).value; })[0], 1e-6);
    }
  }
}

TEST(Loss, HuberIsSquaredWithinDeltaAndGoesOnSmoothly) {
  for (const double r : {-0.9, 0.0, 0.4, 1.0}) {
    EXPECT_EQ(math::huber(2 + r, 2.0, 1.0).value, math::squared(2 + r, 2.0).value);
    EXPECT_EQ(math::huber(2 + r, 2.0, 1.0).slope, math::squared(2 + r, 2.0).slope);
  }
  EXPECT_NEAR(math::huber(3 + 1e-9, 2.0, 1.0).value, 1, 1e-8);
  EXPECT_EQ(math::huber(100.0, 0.0, 1.0).slope, 2);
  EXPECT_EQ(math::huber(-100.0, 0.0, 1.0).value, 199);
}

// Its least is 0, where the rate is the label; half the deviance everywhere else.
TEST(Loss, PoissonIsNeverNegativeAndZeroForTheVeryRate) {
  for (const double y : {0.5, 1.0, 3.0, 40.0}) {
    EXPECT_NEAR(math::poisson(std::log(y), y).value, 0, 1e-13);
    for (double z = -8; z < 8; z += 0.31) {
      const double rate = std::exp(z);
      EXPECT_GE(math::poisson(z, y).value, 0);
      EXPECT_NEAR(math::poisson(z, y).value, y * std::log(y / rate) - y + rate, 1e-9);
    }
  }
  EXPECT_EQ(math::poisson(-1000.0, 0.0).value, 0);
  EXPECT_NEAR(math::poisson(1.0, 0.0).value, std::exp(1.0), 1e-12);
}

TEST(Loss, CrossEntropyIsFiniteAndExactFarOut) {
  EXPECT_EQ(math::bce(1000.f, 1.f).value, 0.f);
  EXPECT_EQ(math::bce(1000.f, 0.f).value, 1000.f);
  EXPECT_EQ(math::bce(-1000.f, 1.f).value, 1000.f);
  EXPECT_NEAR(math::bce(-40.0, 0.0).value, std::exp(-40.0), 1e-30);
  EXPECT_EQ(math::bce(-1000.f, 0.f).slope, 0.f);
  EXPECT_EQ(math::bce(1000.f, 0.f).slope, 1.f);
}

// Its one exponential serves both functions.
TEST(Loss, CrossEntropyIsSoftplusAndSigmoidToTheBit) {
  for (double z = -800; z <= 800; z += 0.37) {
    for (const double y : {0.0, 1.0}) {
      EXPECT_EQ(math::bce(z, y).value, math::softplus(z) - y * z) << z;
      EXPECT_EQ(math::bce(z, y).slope, math::sigmoid(z) - y) << z;
    }
  }
}

TEST(Activation, SigmoidIsSymmetric) {
  for (double z = -30; z < 30; z += 1.7) {
    EXPECT_NEAR(math::sigmoid(z) + math::sigmoid(-z), 1, 1e-15);
    EXPECT_NEAR(-math::softplus(-z), std::log(math::sigmoid(z)), 1e-12);
  }
}

TEST(Activation, ReluHidesNoNan) {
  EXPECT_TRUE(std::isnan(math::relu(std::nanf(""))));
  EXPECT_EQ(math::relu(-1.f), 0.f);
  EXPECT_EQ(math::relu(2.f), 2.f);
  EXPECT_EQ(math::relu_slope(0.f, 3.f), 0.f);
  EXPECT_EQ(math::relu_slope(2.f, 3.f), 3.f);
}

}  // namespace
}  // namespace millrace
