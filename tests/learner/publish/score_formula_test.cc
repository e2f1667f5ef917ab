// The score formula says what the contract's grammar says: precedence and associativity against
// formulas that are fully bracketed, every mistake with its place, and no input that crashes it.
#include "learner/publish/score_formula.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "learner/base/random.h"

namespace millrace {
namespace {

const std::vector<std::string> kTasks{"ctr", "cvr", "dwell", "like", "add-to-cart", "7day"};
const std::vector<float> kValues{0.25F, 0.04F, 18.5F, 0.5F, 0.125F, 3.0F};

double value_of(const std::string& text) {
  const auto formula = ScoreFormula::parse(text, kTasks);
  EXPECT_TRUE(formula) << text << ": " << (formula ? "" : formula.error().message);
  return formula ? formula->evaluate(kValues) : -1e300;
}

std::string problem_of(const std::string& text) {
  const auto formula = ScoreFormula::parse(text, kTasks);
  return formula ? "none" : formula.error().message;
}

TEST(ScoreFormula, TheContractsFormula) {
  EXPECT_DOUBLE_EQ(value_of("ctr * cvr^0.5 * (1 + like)"),
                   0.25 * std::pow(double{0.04F}, 0.5) * 1.5);
}

TEST(ScoreFormula, ReadsAsItsBracketedForm) {
  const std::vector<std::pair<std::string, std::string>> same{
      {"1 - 2 - 3", "(1 - 2) - 3"},
      {"8 / 4 / 2", "(8 / 4) / 2"},
      {"1 + 2 * 3", "1 + (2 * 3)"},
      {"2 * 3 ^ 2", "2 * (3 ^ 2)"},
      {"2 ^ 3 ^ 2", "2 ^ (3 ^ 2)"},
      {"-2 ^ 2", "-(2 ^ 2)"},
      {"2 ^ -1", "2 ^ (-1)"},
      {"2 ^ -3 ^ 2", "2 ^ (-(3 ^ 2))"},
      {"--3", "3"},
      {"1 - -2", "1 - (-2)"},
      {"2 * -3", "2 * (-3)"},
      {"min(3, 1, 2) + max(1, 4)", "5"},
      {"min(1 + 1, 2 * 3)", "2"},
      {"log(exp(2))", "2"},
      {"1e-3 * 1E3", "1"},
      {".5 + 5.", "5.5"},
      {"ctr*cvr", "(ctr) * (cvr)"},
      {"\tctr ", "ctr"},
      {"add-to-cart + 1", "1.125"},
      {"7day * 7", "21"},
      {"max(ctr,like)-min(ctr,like)", "like - ctr"},
  };
  for (const auto& [left, right] : same) {
    EXPECT_DOUBLE_EQ(value_of(left), value_of(right)) << left << " against " << right;
  }
  EXPECT_DOUBLE_EQ(value_of("-2^2"), -4);
  EXPECT_DOUBLE_EQ(value_of("2^3^2"), 512);
}

TEST(ScoreFormula, MistakesNamePositionAndExpectation) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "position 1: the formula ends; expected a number"},
      {"ctr +", "position 6: the formula ends; expected a number"},
      {"ctr cvr", "position 5: \"cvr\"; expected an operator or the end"},
      {"ctr * clik", "position 7: \"clik\"; expected a number, a function or a task (ctr, cvr"},
      {"(ctr", "position 5: the formula ends; expected \")\""},
      {"ctr)", "position 4: \")\"; expected an operator or the end"},
      {"min(ctr)", "position 8: \")\"; expected \",\" and a further operand of min"},
      {"log(ctr, cvr)", "position 4: \"(\"; expected one operand of log"},
      {"sqrt(ctr)", "position 1: \"sqrt\"; expected a function (min, max, log, exp)"},
      {"ctr ** 2", "position 6: \"*\"; expected a number"},
      {"+ctr", "position 1: \"+\"; expected a number"},
      {"1e999", "position 1: \"1e999\"; expected a number that fits"},
      {"ctr & cvr", "position 5: \"&\"; expected an operator"},
      {"inf", "position 1: \"inf\"; expected"},
      {"nan", "position 1: \"nan\"; expected"},
      {"1.2.3", "position 4: \".\"; expected an operator"},
      {"min()", "position 5: \")\"; expected a number"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(problem_of(text).substr(0, message.size()), message) << text;
  }
}

TEST(ScoreFormula, NestingAndLengthAreBounded) {
  const int deep = 100'000;
  EXPECT_NE(problem_of(std::string(4000, '(')).find("less nesting"), std::string::npos);
  EXPECT_NE(problem_of(std::string(4000, '-') + "1").find("less nesting"), std::string::npos);
  std::string powers = "1";
  for (int i = 0; i < 1000; ++i) powers += "^1";
  EXPECT_NE(problem_of(powers).find("less nesting"), std::string::npos);
  EXPECT_NE(problem_of(std::string(deep, '1')).find("characters"), std::string::npos);
  // The most that is allowed holds its operands on the stack: sums of products of powers.
  std::string nested = "1";
  for (int i = 0; i < ScoreFormula::kMostNesting / 3 - 1; ++i)
    nested = "min(1,1+1*1^(" + nested + "))";
  EXPECT_DOUBLE_EQ(value_of(nested), 1);
  std::string sum = "0";
  for (int i = 0; i < 1000; ++i) sum += "+1";
  EXPECT_DOUBLE_EQ(value_of(sum), 1000);
}

TEST(ScoreFormula, NotFiniteComesThrough) {
  EXPECT_TRUE(std::isinf(value_of("1 / (ctr - ctr)")));
  EXPECT_TRUE(std::isnan(value_of("log(-1)")));
  EXPECT_TRUE(std::isnan(value_of("min(log(-1), 1)")));
  EXPECT_TRUE(std::isnan(value_of("max(1, log(-1))")));
  EXPECT_TRUE(std::isnan(value_of("(-8) ^ 0.5")));
}

// Whatever the characters: an answer or an error, never a crash (asan and ubsan run this too).
TEST(ScoreFormula, AnyTextIsAnswered) {
  const std::string alphabet = "ctr()+-*/^,. 019eminmaxlogexp\"\t\x80";
  for (std::uint64_t n = 0; n < 20'000; ++n) {
    std::string text;
    for (std::uint64_t i = 0;; ++i) {
      const auto numbers = philox(11, n, i);
      if (numbers[0] % 24 == 0) break;
      text += alphabet[numbers[1] % alphabet.size()];
    }
    const auto formula = ScoreFormula::parse(text, kTasks);
    if (formula) {
      (void)formula->evaluate(kValues);
    } else {
      EXPECT_NE(formula.error().message.find("expected"), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace millrace
