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

TEST(Loss, CrossEntropyIsFiniteAndExactFarOut) {
  EXPECT_EQ(math::bce(1000.f, 1.f).value, 0.f);
  EXPECT_EQ(math::bce(1000.f, 0.f).value, 1000.f);
  EXPECT_EQ(math::bce(-1000.f, 1.f).value, 1000.f);
  EXPECT_NEAR(math::bce(-40.0, 0.0).value, std::exp(-40.0), 1e-30);
  EXPECT_EQ(math::bce(-1000.f, 0.f).slope, 0.f);
  EXPECT_EQ(math::bce(1000.f, 0.f).slope, 1.f);
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
