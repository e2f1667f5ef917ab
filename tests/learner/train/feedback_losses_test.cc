// The slopes of labels that are trained early, on own outputs and on products: each is the weight,
// held constant, times the slope of the loss; against finite differences in double.
#include <gtest/gtest.h>

#include <cmath>

#include "learner/math/delayed_feedback.h"
#include "learner/math/loss.h"
#include "learner/math/product_head.h"
#include "learner/train/task_losses.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

enum { kCtr, kCvr, kLike, kTasks };

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

// Task k's loss as the page has it, from double logits.
double loss_of(const Schema& schema, int k, const double* z, double y) {
  if (!schema.tasks()[static_cast<std::size_t>(k)].entire_space) return math::bce(z[k], y).value;
  math::Product<double> product;
  for (const int j : {kCtr, kCvr}) product = math::times(product, z[j]);
  return math::product_loss(product, y);
}

double probability(const Schema& schema, int k, const double* z) {
  const bool product = schema.tasks()[static_cast<std::size_t>(k)].entire_space;
  return product ? sigmoid(z[kCtr]) * sigmoid(z[kCvr]) : sigmoid(z[k]);
}

struct Known {
  double p, f_dp, f_rn;
};

// What a label weighs as a 1 and as a 0.
std::pair<double, double> weights_of(FeedbackPolicy policy, bool positive, const Known& known,
                                     Origin origin) {
  const auto [p, f_dp, f_rn] = known;
  const auto as_it_is = [&](double weight) {
    return positive ? std::pair{weight, 0.0} : std::pair{0.0, weight};
  };
  if (origin == Origin::kFinal) return as_it_is(1);
  switch (policy) {
    case FeedbackPolicy::kFnw:
      return as_it_is(positive ? 1 + p : (1 - p) * (1 + p));
    case FeedbackPolicy::kEsDfm:
      return as_it_is((1 + f_dp) * (positive ? 1 : f_rn));
    case FeedbackPolicy::kDefer: {
      const double late = std::min(f_dp, p), twice = origin == Origin::kTwice ? 2 : 1;
      return as_it_is(twice * (positive ? p / (p - late / 2) : (1 - p) / (1 - p + late / 2)));
    }
    case FeedbackPolicy::kDefuse:
      if (positive) return {origin == Origin::kLater ? 1 : 1 + f_dp, 0};
      return {(1 - f_rn) * f_dp, f_rn * (1 + f_dp)};
    default:
      return as_it_is(1);
  }
}

TEST(FeedbackLosses, SlopesAreThoseOfTheWeightedLoss) {
  for (const FeedbackPolicy policy :
       {FeedbackPolicy::kFnw, FeedbackPolicy::kFnc, FeedbackPolicy::kEsDfm, FeedbackPolicy::kDefer,
        FeedbackPolicy::kDefuse}) {
    const Schema schema({},
                        {Task{.name = "ctr"},
                         Task{.name = "cvr", .given = kCtr, .entire_space = true, .policy = policy},
                         Task{.name = "like", .given = kCtr, .policy = policy}});
    Batch batch = empty_batch(schema, Stream::kAtOnce);
    batch.rows = 10;
    Matrix<float> z(10, kTasks, 3), dz(10, kTasks);
    for (int i = 0; i < 10; ++i) {
      batch.weights.push_back(1 + static_cast<float>(i % 3));
      batch.keys.push_back(0);
      for (int k = 0; k < kTasks; ++k) {
        batch.labels.push_back((i + k) % 3 == 0 ? 1 : (i + k) % 3 == 1 ? 0 : NAN);
        batch.condition.push_back(1);
        batch.targets.push_back(static_cast<std::uint8_t>(i % 4 == 0 ? 15 : 5));
        batch.origin.push_back(k == kCtr ? Origin::kFinal : static_cast<Origin>(i % 5));
      }
    }
    const std::vector<double> scale{0.5, 2, 3};
    FeedbackHeads heads(schema, FeedbackOptions{}, 2, 10, 1, 10, 1);
    Matrix<float> x(10, 2, 1);
    heads.begin(batch, std::vector<std::uint8_t>(schema.tasks().size(), 1));
    heads.run(0, true, 0, x.view());
    TaskLosses losses(schema, 10);
    losses.begin(batch);
    losses.run<float>(0, z.view(), scale, heads, dz.view());
    for (int i = 0; i < 10; ++i) {
      const double at[] = {z(i, 0), z(i, 1), z(i, 2)};
      for (int j = 0; j < kTasks; ++j) {
        double expected = 0;
        for (int k = 0; k < kTasks; ++k) {
          const auto cell = static_cast<std::size_t>(i * kTasks + k);
          const double y = batch.labels[cell];
          if (std::isnan(y)) continue;
          const auto [one, zero] =
              weights_of(k == kCtr ? FeedbackPolicy::kWait : policy, y > 0.5,
                         {probability(schema, k, at), heads.delayed(i, k), heads.never(i, k)},
                         batch.origin[cell]);
          const auto weighed = [&](const double* logits) {
            return one * loss_of(schema, k, logits, 1) + zero * loss_of(schema, k, logits, 0);
          };
          double up[] = {at[0], at[1], at[2]}, down[] = {at[0], at[1], at[2]};
          up[j] += 1e-5;
          down[j] -= 1e-5;
          expected += scale[static_cast<std::size_t>(k)] *
                      batch.weights[static_cast<std::size_t>(i)] * (weighed(up) - weighed(down)) /
                      2e-5;
        }
        EXPECT_NEAR(dz(i, j), expected, 2e-5 * (1 + std::fabs(expected)))
            << choice_name(policy) << " row " << i << " logit " << j;
      }
    }
  }
}

// Of labels with delays: the model's loss in the odds of z or of the product, λ held as the net has
// it, and without the density of the delay in the sums.
TEST(FeedbackLosses, SlopesOfDelaysAreThoseOfTheModel) {
  const Schema schema({}, {Task{.name = "ctr"},
                           Task{.name = "cvr",
                                .given = kCtr,
                                .entire_space = true,
                                .policy = FeedbackPolicy::kDfm,
                                .short_wait = Duration{5000}},
                           Task{.name = "like", .given = kCtr, .policy = FeedbackPolicy::kDfm}});
  constexpr int kRows = 24;
  Batch batch = empty_batch(schema, Stream::kAtOnce);
  batch.rows = kRows;
  Matrix<double> z(kRows, kTasks, 3), dz(kRows, kTasks), scratch(kRows, kTasks);
  for (int i = 0; i < kRows; ++i) {
    batch.weights.push_back(1 + static_cast<float>(i % 3));
    batch.keys.push_back(0);
    for (int k = 0; k < kTasks; ++k) {
      batch.labels.push_back((i + k) % 3 == 0 ? 1 : (i + k) % 3 == 1 ? 0 : NAN);
      batch.condition.push_back(1);
      batch.targets.push_back(0);
      batch.origin.push_back(k == kCtr || i % 8 == 7 ? Origin::kFinal
                                                     : static_cast<Origin>(1 + i % 3));
      batch.since.push_back(i % 2 == 0 ? 0 : 4000);
      batch.until.push_back(i % 8 == 6   ? NAN
                            : i % 5 == 4 ? INFINITY
                                         : batch.since.back() + 900 * static_cast<float>(i));
      if (batch.labels.back() == 1 && std::isinf(batch.until.back())) batch.until.back() = 9000;
    }
  }
  const std::vector<double> scale{0.5, 2, 3};
  FeedbackHeads heads(schema, FeedbackOptions{}, 2, kRows, 1, kRows, 1);
  Matrix<float> x(kRows, 2, 1), z_float(kRows, kTasks, 3);
  heads.begin(batch, std::vector<std::uint8_t>(schema.tasks().size(), 1));
  heads.run(0, true, 0, x.view(), z_float.view());
  EXPECT_EQ(heads.unit_ms(kCvr), 5000);
  EXPECT_EQ(heads.unit_ms(kLike), 1);
  TaskLosses losses(schema, kRows);
  losses.begin(batch);
  const auto total = [&] {
    losses.run<double>(0, z.view(), scale, heads, scratch.view());
    double sum = 0;
    const auto sums = losses.sums();
    for (int k = 0; k < kTasks; ++k) {
      EXPECT_GE(sums[static_cast<std::size_t>(k)].sum, 0);
      sum += scale[static_cast<std::size_t>(k)] * sums[static_cast<std::size_t>(k)].sum;
    }
    return sum;
  };
  losses.run<double>(0, z.view(), scale, heads, dz.view());
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kTasks; ++j) {
      const double before = z(i, j), h = 1e-5;
      z(i, j) = before + h;
      const double up = total();
      z(i, j) = before - h;
      const double down = total();
      z(i, j) = before;
      EXPECT_NEAR(dz(i, j), (up - down) / (2 * h), 1e-6 * (1 + std::abs(dz(i, j))))
          << i << ' ' << j;
    }
  }
  // One by hand: the product's 1 of row 8, which came after 7.2 s.
  const double p = sigmoid(z(8, kCvr)), q = sigmoid(z(8, kCtr)) * p;
  ASSERT_EQ(batch.labels[8 * kTasks + kCvr], 1);
  ASSERT_EQ(batch.until[8 * kTasks + kCvr], 7200);
  EXPECT_NEAR(dz(8, kCvr), scale[kCvr] * batch.weights[8] * (q - 1) * (1 - p) / (1 - q), 1e-9);
}

}  // namespace
}  // namespace millrace
