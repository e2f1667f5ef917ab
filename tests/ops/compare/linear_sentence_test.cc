// What is said of a model that does not beat the linear baseline follows from what was measured:
// each case of numbers has its own words, and none is said without its numbers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/compare/linear_comparison.h"

namespace millrace {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

LinearDifference with(double low, double middle, double high) {
  return {middle, Interval{middle, low, high}};
}

// 48,842 rows in steps of 256, and behind by 0.003 all the way.
AgainstLinear behind() {
  AgainstLinear of;
  of.auc = with(-0.004, -0.003, -0.002);
  of.log_loss = with(0.001, 0.002, 0.003);
  of.late = with(-0.005, -0.003, -0.001);
  of.model_auc = 0.881;
  of.linear_auc = 0.884;
  of.same_steps_auc = 0.884;
  of.model_calibration = 1.1;
  of.linear_calibration = 1.01;
  of.steps = 191;
  of.learned = 48'842;
  of.linear_steps = 48'842;
  of.rows = 48'842;
  of.positives = 11'687;
  return of;
}

TEST(LinearSentence, OfAModelThatIsAheadNothingIsToBeExplained) {
  AgainstLinear of = behind();
  of.auc = with(0.001, 0.002, 0.003);
  of.log_loss = with(-0.003, -0.002, -0.001);
  EXPECT_EQ(verdict_of(of), LinearVerdict::kAhead);
  EXPECT_EQ(linear_sentence("mmoe", "income", of), "");
  of.log_loss = with(0.001, 0.002, 0.003);
  EXPECT_EQ(linear_sentence("mmoe", "income", of),
            "mmoe beats the linear baseline on income by its AUC (+0.0020 [+0.0010, +0.0030]), but "
            "its log loss is higher by +0.0020 [+0.0010, +0.0030]; Σ predictions / Σ labels is "
            "1.100 of the model and 1.010 of the baseline.");
}

TEST(LinearSentence, WhatNoNumberExplainsIsNotExplained) {
  const std::string text = linear_sentence("mmoe", "income", behind());
  EXPECT_EQ(verdict_of(behind()), LinearVerdict::kBehind);
  EXPECT_EQ(text,
            "mmoe does not beat the linear baseline on income: its AUC differs by -0.0030 "
            "[-0.0040, -0.0020]; it took 191 steps of 256 rows and the baseline 48,842 of one, and "
            "a regression in the model's steps reaches 0.8840: it is not the few steps; on the "
            "last fifth of the rows it is still behind (-0.0030 [-0.0050, -0.0010]); more than "
            "that these numbers do not say.");
  AgainstLinear bare = behind();
  bare.late = {};
  bare.steps = bare.learned;  // of one row
  EXPECT_THAT(linear_sentence("mmoe", "income", bare),
              EndsWith("-0.0020]; nothing that was measured says why."));
}

TEST(LinearSentence, FewStepsAreBlamedAsFarAsTheSameStepsCostTheRegression) {
  AgainstLinear of = behind();
  of.same_steps_auc = 0.8805;
  EXPECT_THAT(linear_sentence("mmoe", "income", of),
              HasSubstr("reaches 0.8805, less than the model: the few steps account for it"));
  EXPECT_THAT(linear_sentence("mmoe", "income", of), Not(HasSubstr("do not say")));
  of.same_steps_auc = 0.8828;
  EXPECT_THAT(linear_sentence("mmoe", "income", of),
              HasSubstr("reaches 0.8828: the few steps account for 40 % of it"));
  EXPECT_THAT(linear_sentence("mmoe", "income", of), HasSubstr("do not say"));
  of.same_steps_auc = 0.886;
  EXPECT_THAT(linear_sentence("mmoe", "income", of), HasSubstr("it is not the few steps"));
  of.steps = 40'000;  // as many as rows, nearly
  EXPECT_THAT(linear_sentence("mmoe", "income", of), Not(HasSubstr("steps")));
}

TEST(LinearSentence, TheEndOfTheStreamIsToldAsItWas) {
  AgainstLinear of = behind();
  of.late = with(0.001, 0.002, 0.003);
  EXPECT_THAT(linear_sentence("mmoe", "income", of),
              EndsWith("on the last fifth of the rows it is ahead (+0.0020 [+0.0010, "
                       "+0.0030])."));
  of.late = with(-0.001, 0.001, 0.003);
  EXPECT_THAT(linear_sentence("mmoe", "income", of),
              EndsWith("on the last fifth of the rows the difference (+0.0010 [-0.0010, "
                       "+0.0030]) could be none."));
  of.late = {0.001, std::nullopt};
  EXPECT_THAT(linear_sentence("mmoe", "income", of),
              HasSubstr("the difference is +0.0010, of too few rows for an interval"));
}

TEST(LinearSentence, AnIntervalThatIncludesNoneSaysSo) {
  AgainstLinear of = behind();
  of.auc = with(-0.002, 0.001, 0.004);
  of.model_auc = 0.885;
  of.rows = 3'000;
  of.positives = 41;
  EXPECT_EQ(verdict_of(of), LinearVerdict::kLevel);
  const std::string text = linear_sentence("mmoe", "income", of);
  EXPECT_THAT(text, HasSubstr("its AUC differs by +0.0010 [-0.0020, +0.0040], which over 3,000 "
                              "rows, 41 of them positive, could be none"));
  EXPECT_THAT(text, Not(HasSubstr("steps"))) << "it is not behind";
}

TEST(LinearSentence, WhereThereIsNoIntervalOrNoAucItSaysThat) {
  AgainstLinear of = behind();
  of.auc.interval = std::nullopt;
  EXPECT_EQ(verdict_of(of), LinearVerdict::kUncertain);
  EXPECT_EQ(linear_sentence("mmoe", "income", of),
            "mmoe does not beat the linear baseline on income: its AUC differs by -0.0030, and "
            "48,842 rows, 11,687 of them positive, are too few for an interval.");
  of.auc = {};
  of.positives = 0;
  EXPECT_EQ(verdict_of(of), LinearVerdict::kUndefined);
  EXPECT_EQ(linear_sentence("mmoe", "income", of),
            "mmoe does not beat the linear baseline on income: no AUC can be taken over 48,842 "
            "rows, 0 of them positive.");
}

}  // namespace
}  // namespace millrace
