// The delayed feedback model: its slopes are those of its losses, every look has the mean slope 0
// at the truth, and the looks at one impression add up to the whole.
#include "learner/math/delay_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "learner/math/loss.h"

namespace millrace {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

double whole(const math::DelayLoss<double>& loss) { return loss.value + loss.density; }

template <class Loss>
void expect_slopes(const Loss& loss, double x, double w) {
  const double h = 1e-5;
  const auto at = loss(x, w);
  const auto by = [&](double up, double down) { return (up - down) / (2 * h); };
  const double odds = by(whole(loss(x + h, w)), whole(loss(x - h, w)));
  const double rate = by(whole(loss(x, w + h)), whole(loss(x, w - h)));
  EXPECT_NEAR(at.odds, odds, 1e-8 * (1 + std::abs(odds))) << x << ' ' << w;
  EXPECT_NEAR(at.rate, rate, 1e-8 * (1 + std::abs(rate))) << x << ' ' << w;
  EXPECT_NEAR(at.odds, by(loss(x + h, w).value, loss(x - h, w).value), 1e-8 * (1 + std::abs(odds)));
  EXPECT_GE(at.value, 0);
}

TEST(DelayModel, SlopesAreThoseOfTheLosses) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> of_logit(-6, 6), of_rate(-4, 4), of_time(0, 5);
  for (int i = 0; i < 500; ++i) {
    const double x = of_logit(random), w = of_rate(random), s = i % 3 == 0 ? 0 : of_time(random);
    const double more = of_time(random);
    expect_slopes([&](double a, double b) { return math::came(a, b, s, s + more); }, x, w);
    expect_slopes([&](double a, double b) { return math::not_come(a, b, s, s + more); }, x, w);
    expect_slopes([&](double a, double b) { return math::not_come(a, b, s, kNever); }, x, w);
    expect_slopes([&](double a, double b) { return math::came(a, b, s, s / 2); }, x, w);
  }
}

TEST(DelayModel, TheFirstLookIsThePagesFormula) {
  const double x = -0.7, w = 0.4, d = 1.3, e = 2.1, rate = math::softplus(w);
  const auto came = math::came(x, w, 0.0, d), not_come = math::not_come(x, w, 0.0, e);
  EXPECT_DOUBLE_EQ(whole(came), math::softplus(-x) - std::log(rate) + rate * d);
  EXPECT_DOUBLE_EQ(came.odds, math::sigmoid(x) - 1);
  EXPECT_NEAR(came.rate, (d - 1 / rate) * math::sigmoid(w), 1e-15);
  EXPECT_DOUBLE_EQ(whole(not_come), math::softplus(x) - math::softplus(x - rate * e));
  EXPECT_DOUBLE_EQ(not_come.odds, math::sigmoid(x) - math::sigmoid(x - rate * e));
  EXPECT_NEAR(not_come.rate, e * math::sigmoid(x - rate * e) * math::sigmoid(w), 1e-15);
  EXPECT_DOUBLE_EQ(whole(math::not_come(x, w, 0.0, kNever)), math::softplus(x));
}

// Looks at 1, 4 and 16, and the end: what they add is the loss of what the last one saw, in x
// whatever the delay is, so that decided labels are learned as by their cross-entropy.
TEST(DelayModel, LooksAddUpToTheLast) {
  const std::vector<double> looks{1, 4, 16};
  for (const double x : {-4.0, -0.3, 2.0}) {
    for (const double w : {-3.0, 0.0, 1.5}) {
      for (const double d : {0.4, 1.0, 3.9, 11.0, 40.0, kNever}) {
        double value = 0, odds = 0, rate = 0, since = 0;
        const auto add = [&](const math::DelayLoss<double>& loss) {
          value += whole(loss);
          odds += loss.odds;
          rate += loss.rate;
        };
        for (const double look : looks) {
          if (since >= d) break;
          add(d <= look ? math::came(x, w, since, d) : math::not_come(x, w, since, look));
          since = d <= look ? d : look;
        }
        if (since < d) {
          add(std::isinf(d) ? math::not_come(x, w, since, kNever) : math::came(x, w, since, d));
        }
        const auto last =
            std::isinf(d) ? math::not_come(x, w, 0.0, kNever) : math::came(x, w, 0.0, d);
        EXPECT_NEAR(value, whole(last), 1e-9);
        EXPECT_NEAR(odds, last.odds, 1e-12);
        EXPECT_NEAR(rate, last.rate, 1e-9);
        const double bce = math::bce(x, std::isinf(d) ? 0.0 : 1.0).slope;
        EXPECT_NEAR(odds, bce, 1e-12);
      }
    }
  }
}

// Of what had not come at s, over all that a look at e may see: each look by itself.
TEST(DelayModel, EveryLookHasNoMeanSlopeAtTheTruth) {
  for (const double p : {0.02, 0.3, 0.9}) {
    for (const double w : {-2.0, 0.0, 1.0}) {
      for (const auto& [s, e] : {std::pair{0.0, 0.5}, {0.5, 2.0}, {2.0, 8.0}, {3.0, kNever}}) {
        const double x = std::log(p) - std::log1p(-p), rate = math::softplus(w);
        const double left = math::sigmoid(x - rate * s);  // P(it comes | it had not at s)
        const double end = std::isinf(e) ? 60 / rate : e - s;
        double odds = 0, slope = 0, chance = 0;
        const int steps = 20'000;  // Simpson's rule over when it comes
        for (int i = 0; i <= steps; ++i) {
          const double t = end * i / steps, weight = (i == 0 || i == steps ? 1
                                                      : i % 2 == 1         ? 4
                                                                           : 2);
          const double mass = weight * end / steps / 3 * left * rate * std::exp(-rate * t);
          const auto loss = math::came(x, w, s, s + t);
          odds += mass * loss.odds;
          slope += mass * loss.rate;
          chance += mass;
        }
        const auto none = math::not_come(x, w, s, e);
        EXPECT_NEAR(odds + (1 - chance) * none.odds, 0, 1e-9) << p << ' ' << w << ' ' << s;
        EXPECT_NEAR(slope + (1 - chance) * none.rate, 0, 1e-8) << p << ' ' << w << ' ' << s;
      }
    }
  }
}

TEST(DelayModel, IsFiniteWhateverTheNetSays) {
  for (const double x : {-700.0, -40.0, 0.0, 40.0, 700.0}) {
    for (const double w : {-600.0, -31.0, 0.0, 40.0, 600.0}) {
      for (const double s : {0.0, 1e-9, 1e6}) {
        for (const double more : {0.0, 1e-9, 3.0, 1e6, kNever}) {
          for (const auto& loss : {math::not_come(x, w, s, s + more),
                                   math::came(x, w, s, std::isinf(more) ? s : s + more)}) {
            EXPECT_TRUE(std::isfinite(loss.value) && std::isfinite(loss.density));
            EXPECT_TRUE(std::isfinite(loss.odds) && std::isfinite(loss.rate));
            EXPECT_GE(loss.value, 0);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace millrace
