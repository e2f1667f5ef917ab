// The product over a chain of conditions must equal the textbook formula where that can be
// computed, and stay finite and right where it cannot: logits of ±40 and beyond, in float too.
#include "learner/math/product_head.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/support/numeric.h"

namespace millrace {
namespace {

template <class T>
math::Product<T> chain(const std::vector<T>& logits) {
  math::Product<T> product;
  for (const T z : logits) product = math::times(product, z);
  return product;
}

/// log q and log(1 − q) in extended precision, by the plain formulas.
std::pair<double, double> plain(const std::vector<double>& logits) {
  long double q = 1, not_q = 0;
  for (const double z : logits) {
    const long double p = 1 / (1 + std::exp(static_cast<long double>(-z)));
    const long double not_p = 1 / (1 + std::exp(static_cast<long double>(z)));
    not_q += q * not_p;
    q *= p;
  }
  return {static_cast<double>(std::log(q)), static_cast<double>(std::log(not_q))};
}

TEST(ProductHead, EqualsThePlainFormulaForChainsOfAnyLength) {
  for (int n = 1; n <= 5; ++n) {
    const auto logits = Matrix<double>(n, 1, 7 + static_cast<std::uint64_t>(n)).values;
    const auto [log_q, log_not_q] = plain(logits);
    EXPECT_NEAR(chain(logits).log_q, log_q, 1e-14);
    EXPECT_NEAR(chain(logits).log_not_q, log_not_q, 1e-14);
  }
}

TEST(ProductHead, OneFactorIsBinaryCrossEntropy) {
  for (const double z : {-40.0, -3.0, 0.0, 0.7, 40.0}) {
    for (const double t : {0.0, 1.0}) {
      const auto one = chain<double>({z});
      EXPECT_NEAR(math::product_loss(one, t), math::softplus(z) - t * z, 1e-13);
      EXPECT_NEAR(math::product_slope(one, z, t), math::sigmoid(z) - t, 1e-15);
      EXPECT_NEAR(one.logit(), z, 1e-12);
    }
  }
}

TEST(ProductHead, SlopesMatchFiniteDifferences) {
  for (int n = 1; n <= 4; ++n) {
    for (const double t : {0.0, 0.25, 1.0}) {
      auto logits = Matrix<double>(n, 1, 31 + static_cast<std::uint64_t>(n)).values;
      const auto product = chain(logits);
      std::vector<double> exact;
      for (const double z : logits) exact.push_back(math::product_slope(product, z, t));
      const auto seen = slopes(logits, [&] { return math::product_loss(chain(logits), t); });
      EXPECT_LT(distance(exact, seen), 1e-8) << n << " factors, label " << t;
    }
  }
}

TEST(ProductHead, SlopesHaveTheClosedForm) {
  const std::vector<double> z{0.3, -1.2, 2.0};
  double q = 1;
  for (const double one : z) q *= math::sigmoid(one);
  for (const double t : {0.0, 1.0}) {
    for (const double one : z) {
      EXPECT_NEAR(math::product_slope(chain(z), one, t),
                  (q - t) * (1 - math::sigmoid(one)) / (1 - q), 1e-15);
    }
  }
}

template <class T>
class ExtremeLogits : public ::testing::Test {};
using Reals = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ExtremeLogits, Reals);

TYPED_TEST(ExtremeLogits, StayFinite) {
  using T = TypeParam;
  const std::vector<T> values{-1000, -40, -1, 0, 1, 40, 1000};
  for (const T a : values) {
    for (const T b : values) {
      const auto product = chain<T>({a, b});
      for (const T t : {T(0), T(1)}) {
        EXPECT_TRUE(std::isfinite(math::product_loss(product, t))) << a << ' ' << b;
        for (const T z : {a, b}) {
          const T slope = math::product_slope(product, z, t);
          EXPECT_TRUE(std::isfinite(slope)) << a << ' ' << b;
          EXPECT_LE(std::fabs(slope), T(1));
        }
      }
      EXPECT_LE(product.log_q, std::min(-math::softplus(-a), -math::softplus(-b)));
    }
  }
}

TYPED_TEST(ExtremeLogits, AreStillRight) {
  using T = TypeParam;
  const auto near_one = chain<T>({40, 40});  // 1 − q ≈ 2 e^−40
  EXPECT_NEAR(near_one.log_not_q, std::log(2.0) - 40, 1e-5);
  EXPECT_NEAR(math::product_slope(near_one, T(40), T(0)), 0.5, 1e-5);
  const auto near_zero = chain<T>({-40, -40});  // q = e^−80
  EXPECT_NEAR(near_zero.log_q, -80, 1e-4);
  EXPECT_NEAR(math::product_slope(near_zero, T(-40), T(1)), -1, 1e-6);
}

}  // namespace
}  // namespace millrace
