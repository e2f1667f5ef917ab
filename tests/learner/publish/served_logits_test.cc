// Scores are served, and measured, as of the world they are for: fnc's and negative sampling's
// corrections, each against the probabilities that it must bring back.
#include "learner/publish/served_logits.h"

#include <gtest/gtest.h>

#include <cmath>

namespace millrace {
namespace {

double logit(double p) { return std::log(p) - std::log1p(-p); }
double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }
float z_of(double p) { return static_cast<float>(logit(p)); }

enum { kCtr, kCvr, kLike, kPrice };

std::vector<Task> tasks() {
  return {Task{.name = "ctr"}, Task{.name = "cvr", .given = kCtr, .entire_space = true},
          Task{.name = "like", .given = kCtr},
          Task{.name = "price", .kind = TaskKind::kRegression}};
}

TEST(ServedLogits, AreTheModelsOwnWhereNothingIsCorrected) {
  const ServedLogits served(Schema({}, tasks()));
  EXPECT_FALSE(served.corrects());
  const float z[] = {-1.25F, 0.5F, 3, 17};
  for (int k = 0; k < 4; ++k) EXPECT_EQ(served.own(z, k), z[k]);
  EXPECT_NEAR(sigmoid(served.product(z, kCvr)), sigmoid(z[0]) * sigmoid(z[1]), 1e-12);
}

TEST(ServedLogits, FncBringsBackTheProbability) {
  std::vector<Task> with = tasks();
  with[kCtr].policy = with[kLike].policy = FeedbackPolicy::kFnc;
  const ServedLogits served(Schema({}, with));
  EXPECT_TRUE(served.corrects(kCtr));
  EXPECT_TRUE(served.corrects(kCvr));  // its chain is
  EXPECT_FALSE(served.corrects(kPrice));
  const double p = 0.2, like = 0.4;
  const float z[] = {z_of(p / (1 + p)), 0.3F, z_of(like / (1 + like)), 0};
  EXPECT_NEAR(sigmoid(served.own(z, kCtr)), p, 1e-6);
  EXPECT_NEAR(sigmoid(served.own(z, kLike)), like, 1e-6);
  // The product was trained with ctr's b as its factor, on labels that wait: q is true.
  const double q = p / (1 + p) * sigmoid(0.3);
  EXPECT_NEAR(sigmoid(served.product(z, kCvr)), q, 1e-7);
  EXPECT_NEAR(sigmoid(served.own(z, kCvr)), q / p, 1e-6);
  const float certain[] = {0.5F, 0, 0, 0};  // b > ½
  EXPECT_EQ(served.own(certain, kCtr), 16);
}

TEST(ServedLogits, FncOnTheProductHead) {
  std::vector<Task> with = tasks();
  with[kCvr].policy = FeedbackPolicy::kFnc;
  const ServedLogits served(Schema({}, with));
  EXPECT_FALSE(served.corrects(kCtr));
  // True p and c; over the stream the product is t/(1 + t) with t = p c, and the head's own factor
  // is that over p.
  const double p = 0.3, c = 0.25, t = p * c, q = t / (1 + t);
  const float z[] = {z_of(p), z_of(q / p), 0, 0};
  EXPECT_NEAR(sigmoid(served.product(z, kCvr)), t, 1e-7);
  EXPECT_NEAR(sigmoid(served.own(z, kCvr)), c, 1e-6);
  EXPECT_NEAR(sigmoid(served.own(z, kCvr)), q / p / (1 - q), 1e-6);
  const float far[] = {40, 40, 0, 0}, low[] = {-40, -40, 0, 0};
  for (const float* extreme : {far, low}) {
    EXPECT_TRUE(std::isfinite(served.own(extreme, kCvr)));
    EXPECT_TRUE(std::isfinite(served.product(extreme, kCvr)));
  }
}

// algorithms 2.15: p' = p/(p + r(1 − p)); with unclicked rows sampled the product is trained with
// p', and the click's logit alone is corrected.
TEST(ServedLogits, SampledNegativesAreCorrectedInTheClickAlone) {
  const double r = 0.1, p = 0.05, c = 0.3, sampled = p / (p + r * (1 - p));
  std::vector<Task> with = tasks();
  with[kCtr].logit_shift = std::log(r);
  const ServedLogits served(Schema({}, with));
  const float z[] = {z_of(sampled), z_of(c), 0, 0};
  EXPECT_NEAR(sigmoid(served.own(z, kCtr)), p, 1e-7);
  EXPECT_EQ(served.own(z, kCvr), z[kCvr]);
  EXPECT_NEAR(sigmoid(served.product(z, kCvr)), p * c, 1e-8);
}

}  // namespace
}  // namespace millrace
