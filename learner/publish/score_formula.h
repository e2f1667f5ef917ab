#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/result.h"

namespace millrace {

/// `ctr * cvr^0.5 * (1 + like)`: numbers, task names, + - * /, ^ (right-associative, above unary
/// minus: -2^2 is -4, 2^-1 is 0.5), parentheses, min and max of two or more, log, exp. Parsed once.
/// A name is a function's where a parenthesis follows it, otherwise a task's; of several tasks'
/// names that fit, the longest counts, so names with a "-" can be written too.
/// Immutable; any thread.
class ScoreFormula {
 public:
  /// The longest formula, and how deep parentheses, functions, powers and signs may nest.
  static constexpr std::size_t kMostCharacters = 4096;
  static constexpr int kMostNesting = 64;

  /// Error: names the position (from 1), what stands there and what was expected (an unknown name
  /// is one).
  static Result<ScoreFormula> parse(std::string_view text, const std::vector<std::string>& tasks);

  /// The score of one row's served task values, in double. May be NaN or infinite; the caller says
  /// what then. A NaN among the values that the formula reads is one in the result, except as
  /// x^0 = 1. Requires: as many values as there were tasks. Cost: no allocation.
  double evaluate(std::span<const float> values) const;

  const std::string& text() const { return text_; }
  /// How many tasks `evaluate` reads from: one more than the last of those that the formula names.
  int tasks() const { return tasks_; }
  /// Whether it names this task.
  bool reads(int task) const;

 private:
  class Parser;
  enum class Op : unsigned char {
    kNumber,
    kTask,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kPower,
    kNegate,
    kMin,
    kMax,
    kLog,
    kExp
  };
  struct Step {
    Op op;
    int task;
    double number;
  };
  static double combine(Op op, double left, double right);

  std::string text_;
  std::vector<Step> steps_;  // In postfix order.
  int tasks_ = 0;
};

}  // namespace millrace
