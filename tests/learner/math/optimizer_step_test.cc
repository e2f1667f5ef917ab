// Adam and Adagrad for one weight, against the formulas written out, and the rule for partial
// batches: its limit cases are known.
#include "learner/math/optimizer_step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/numeric.h"

namespace millrace {
namespace {

TEST(Adam, EqualsTheFormulasOfThePaper) {
  const auto g = Matrix<double>(200, 1, 5).values;
  double m = 0, v = 0, w = 0.5, m_plain = 0, v_plain = 0, w_plain = 0.5;
  for (std::size_t t = 1; t <= g.size(); ++t) {
    math::adam(math::adam_coefficients<double>(0.01, 1, static_cast<double>(t)), g[t - 1], m, v, w);
    m_plain = 0.9 * m_plain + 0.1 * g[t - 1];
    v_plain = 0.999 * v_plain + 0.001 * g[t - 1] * g[t - 1];
    const double steps = static_cast<double>(t);
    w_plain -= 0.01 * (m_plain / (1 - std::pow(0.9, steps))) /
               (std::sqrt(v_plain / (1 - std::pow(0.999, steps))) + 1e-8);
    ASSERT_NEAR(w, w_plain, 1e-12) << t;
  }
}

TEST(Adam, AFullBatchHasThePlainCoefficientsBitForBit) {
  for (const double steps : {1.0, 2.0, 77.0, 1e5}) {
    const auto full = math::adam_coefficients<float>(0.003, 1, steps);
    EXPECT_EQ(full.keep_m, static_cast<float>(0.9));
    EXPECT_EQ(full.take_m, static_cast<float>(1 - 0.9));
    EXPECT_EQ(full.keep_v, static_cast<float>(0.999));
    EXPECT_EQ(full.take_v, static_cast<float>(1 - 0.999));
    EXPECT_EQ(full.rate, static_cast<float>(0.003 / (1 - std::pow(0.9, steps))));
    EXPECT_EQ(full.unbias_root, static_cast<float>(1 / std::sqrt(1 - std::pow(0.999, steps))));
  }
}

// With a constant share φ the rule is Adam with decays β^φ and rate √φ·rate.
TEST(Adam, AConstantShareIsAdamWithTheScaledRate) {
  const double share = 0.125, rate = 0.01, b1 = std::pow(0.9, share), b2 = std::pow(0.999, share);
  const auto g = Matrix<double>(300, 1, 9).values;
  double m = 0, v = 0, w = 0, m_plain = 0, v_plain = 0, w_plain = 0;
  for (std::size_t t = 1; t <= g.size(); ++t) {
    const double steps = static_cast<double>(t);
    math::adam(math::adam_coefficients<double>(rate, share, share * steps), g[t - 1], m, v, w);
    m_plain = b1 * m_plain + (1 - b1) * g[t - 1];
    v_plain = b2 * v_plain + (1 - b2) * g[t - 1] * g[t - 1];
    w_plain -= std::sqrt(share) * rate * m_plain / (1 - std::pow(b1, steps)) /
               std::sqrt(v_plain / (1 - std::pow(b2, steps)));
    ASSERT_NEAR(w, w_plain, 1e-6 * steps) << t;
  }
}

// Eight steps of an eighth decay the moments as one full step does.
TEST(Adam, SharesOfAStepAddUp) {
  double m_whole = 1, v_whole = 1, w = 0, m = 1, v = 1;
  math::adam(math::adam_coefficients<double>(0.01, 1, 10), 0.0, m_whole, v_whole, w);
  for (int i = 1; i <= 8; ++i) {
    math::adam(math::adam_coefficients<double>(0.01, 0.125, 9 + i * 0.125), 0.0, m, v, w);
  }
  EXPECT_NEAR(m, m_whole, 1e-14);
  EXPECT_NEAR(v, v_whole, 1e-14);
}

TEST(Adagrad, FirstStepMovesByTheRate) {
  double n = 0, w = 1;
  math::adagrad(0.1, 1e-10, -3.0, n, w);
  EXPECT_DOUBLE_EQ(n, 9);
  EXPECT_NEAR(w, 1.1, 1e-10);
  math::adagrad(0.1, 1e-10, 4.0, n, w);
  EXPECT_DOUBLE_EQ(n, 25);
  EXPECT_NEAR(w, 1.1 - 0.1 * 4 / 5, 1e-10);
}

// The paper's recursion on z, started where the weight stands, against the form without z.
TEST(Ftrl, WithoutL1ItsZIsAFunctionOfTheWeight) {
  const auto g = Matrix<double>(300, 1, 11).values;
  const double alpha = 0.1, beta = 0.7, l2 = 0.3, first = -0.04;
  double n = 0, w = first, n_plain = 0, w_plain = first;
  double z = -first * (beta / alpha + l2);
  for (const double slope : g) {
    math::ftrl(alpha, beta + alpha * l2, slope, n, w);
    const double sigma = (std::sqrt(n_plain + slope * slope) - std::sqrt(n_plain)) / alpha;
    z += slope - sigma * w_plain;
    n_plain += slope * slope;
    w_plain = -z / ((beta + std::sqrt(n_plain)) / alpha + l2);
    ASSERT_NEAR(w, w_plain, 1e-12);
  }
}

// λ1 = λ2 = 0: online gradient descent with the rate α / (β + √Σg²).
TEST(Ftrl, IsGradientDescentWithoutRegularisation) {
  const auto g = Matrix<double>(300, 1, 12).values;
  math::FtrlStep<double> step{0.1, 1, 0, 0};
  double z = 0, n = 0, w = 0, n_short = 0, w_short = 0, squares = 0, w_plain = 0;
  for (const double slope : g) {
    math::ftrl_sparse(step, slope, z, n, w);
    math::ftrl(0.1, 1.0, slope, n_short, w_short);
    squares += slope * slope;
    w_plain -= 0.1 / (1 + std::sqrt(squares)) * slope;
    ASSERT_NEAR(w, w_plain, 1e-12);
    ASSERT_NEAR(w_short, w_plain, 1e-12);
  }
}

TEST(Ftrl, AWeightIsZeroUntilItsGradientsAddUpToL1) {
  const math::FtrlStep<double> step{0.1, 1, 2, 0.5};
  double z = 0, n = 0, w = 0;
  for (const double slope : {0.9, 1.0}) {
    math::ftrl_sparse(step, slope, z, n, w);
    EXPECT_EQ(w, 0);
  }
  math::ftrl_sparse(step, 0.5, z, n, w);
  EXPECT_DOUBLE_EQ(z, 2.4);
  EXPECT_DOUBLE_EQ(w, -0.4 / ((1 + std::sqrt(0.81 + 1 + 0.25)) / 0.1 + 0.5));
  math::ftrl_sparse(step, -8.0, z, n, w);
  EXPECT_GT(w, 0);
}

TEST(RowwiseAdagrad, HasOneAccumulatorOfMeanSquares) {
  const double g[] = {3, -4, 0, 1};
  double n = 0.5, w[] = {1, 1, 1, 1};
  math::rowwise_adagrad(0.1, 1e-10, g, 4, n, w);
  EXPECT_DOUBLE_EQ(n, 0.5 + 26.0 / 4);
  for (int d = 0; d < 4; ++d) EXPECT_NEAR(w[d], 1 - 0.1 * g[d] / std::sqrt(7.0), 1e-9);
}

TEST(LazyAdam, IsAdamWithTheRowsOwnCount) {
  const auto g = Matrix<double>(400, 1, 13).values;
  const math::LazyAdamStep<double> step{0.01, 0.9, 0.999, 1e-8};
  double c1 = 0, c2 = 0, m = 0, v = 0, w = 0.5, m_plain = 0, v_plain = 0, w_plain = 0.5;
  for (std::size_t t = 1; t <= g.size(); ++t) {
    math::lazy_adam(step, &g[t - 1], 1, c1, c2, &m, &v, &w);
    math::adam(math::adam_coefficients<double>(0.01, 1, static_cast<double>(t)), g[t - 1], m_plain,
               v_plain, w_plain);
    ASSERT_NEAR(w, w_plain, 1e-12) << t;
  }
}

// However late a row comes: a global count would make its first step 3.2 times the rate.
TEST(LazyAdam, ARowsFirstStepIsTheRate) {
  const math::LazyAdamStep<float> step{0.01F, 0.9F, 0.999F, 1e-8F};
  for (const float slope : {1e-3F, -1.0F, 500.0F}) {
    float c1 = 0, c2 = 0, m = 0, v = 0, w = 0;
    math::lazy_adam(step, &slope, 1, c1, c2, &m, &v, &w);
    EXPECT_NEAR(std::abs(w), 0.01, 1e-6);
  }
}

}  // namespace
}  // namespace millrace
