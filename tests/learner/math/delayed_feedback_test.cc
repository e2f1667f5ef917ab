// The weights of delayed feedback: where the probabilities they use are the true ones, the weighted
// slope of the cross-entropy is 0 in the mean over the stream that the policy trains on.
#include "learner/math/delayed_feedback.h"

#include <gtest/gtest.h>

#include <cmath>

#include "learner/math/loss.h"

namespace millrace {
namespace {

struct Truth {
  double p, p_dp;  // P(convert), P(convert, and after the short wait)
};
const Truth kTruths[] = {{0.3, 0.1}, {0.02, 0.015}, {0.9, 0.9}, {0.5, 0}, {1e-6, 5e-7}};

double logit(double p) { return std::log(p) - std::log1p(-p); }
double slope(double p, double label) { return math::bce(logit(p), label).slope; }

TEST(DelayedFeedback, FnwHasNoSlopeAtTheTruth) {
  for (const Truth& t : kTruths) {
    // Every impression as 0, and the converted ones again as 1.
    const double sum = math::fnw_weight(false, t.p) * slope(t.p, 0) +
                       t.p * math::fnw_weight(true, t.p) * slope(t.p, 1);
    EXPECT_NEAR(sum, 0, 1e-12) << t.p;
  }
}

TEST(DelayedFeedback, EsDfmHasNoSlopeAtTheTruth) {
  for (const Truth& t : kTruths) {
    const double seen = t.p - t.p_dp, never = (1 - t.p) / (1 - t.p + t.p_dp);
    const double sum = (1 - seen) * math::es_dfm_weight(false, t.p_dp, never) * slope(t.p, 0) +
                       (seen + t.p_dp) * math::es_dfm_weight(true, t.p_dp, never) * slope(t.p, 1);
    EXPECT_NEAR(sum, 0, 1e-12) << t.p;
  }
}

TEST(DelayedFeedback, DeferHasNoSlopeAtTheTruth) {
  for (const Truth& t : kTruths) {
    const double seen = t.p - t.p_dp;
    // At the short wait, and every impression once more: with its final label, or the 1 that came.
    const double zeros = (1 - seen) + (1 - t.p), ones = seen + t.p;
    const double sum = zeros * math::defer_weight(false, t.p, t.p_dp) * slope(t.p, 0) +
                       ones * math::defer_weight(true, t.p, t.p_dp) * slope(t.p, 1);
    EXPECT_NEAR(sum, 0, 1e-12) << t.p;
  }
}

TEST(DelayedFeedback, DefuseHasNoSlopeAtTheTruth) {
  for (const Truth& t : kTruths) {
    const double seen = t.p - t.p_dp, never = (1 - t.p) / (1 - t.p + t.p_dp);
    const auto slope_of = [&](bool positive, bool later) {
      const auto shares = math::defuse_shares(positive, later, t.p_dp, never);
      return shares.positive * slope(t.p, 1) + shares.negative * slope(t.p, 0);
    };
    const double sum = (1 - seen) * slope_of(false, false) + seen * slope_of(true, false) +
                       t.p_dp * slope_of(true, true);
    EXPECT_NEAR(sum, 0, 1e-12) << t.p;
  }
}

TEST(DelayedFeedback, DefuseTakesTheShareOfAZeroThatIsAOne) {
  const auto late = math::defuse_shares(true, true, 0.2, 0.7);
  const auto soon = math::defuse_shares(true, false, 0.2, 0.7);
  const auto zero = math::defuse_shares(false, false, 0.2, 0.7);
  EXPECT_DOUBLE_EQ(late.positive, 1);
  EXPECT_DOUBLE_EQ(soon.positive, 1.2);
  EXPECT_DOUBLE_EQ(zero.positive, 0.3 * 0.2);
  EXPECT_DOUBLE_EQ(zero.negative, 0.7 * 1.2);
  EXPECT_EQ(late.negative + soon.negative, 0);
}

TEST(DelayedFeedback, FncTurnsWhatItLearnsIntoTheTruth) {
  for (const Truth& t : kTruths) {
    const double b = t.p / (1 + t.p);
    const double log_p = math::fnc_log_probability(std::log(b), std::log1p(-b));
    EXPECT_NEAR(std::exp(log_p), t.p, 1e-9);
    EXPECT_NEAR(math::logit_of_log(log_p), logit(t.p), 1e-6);
  }
  EXPECT_EQ(math::fnc_log_probability(std::log(0.6), std::log(0.4)), 0);  // b > ½
  EXPECT_EQ(math::logit_of_log(0.0), 16);
  EXPECT_NEAR(math::logit_of_log(-100.0), -100, 1e-9);
}

TEST(DelayedFeedback, WeightsAreBoundedWhateverTheHeadsSay) {
  for (const double p : {0.0, 1e-30, 0.2, 0.999, 1.0}) {
    for (const double late : {0.0, 1e-30, 0.5, 1.0}) {
      for (const bool positive : {false, true}) {
        const double w = math::defer_weight(positive, p, late);
        EXPECT_GE(w, 0);
        EXPECT_LE(w, 2);
        EXPECT_LE(math::es_dfm_weight(positive, late, p), 2);
      }
    }
  }
}

}  // namespace
}  // namespace millrace
