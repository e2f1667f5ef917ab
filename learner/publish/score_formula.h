#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/result.h"

namespace millrace {

/// `ctr * cvr^0.5 * (1 + like)`: numbers, task names, + - * /, ^ (right-associative, above unary
/// minus), parentheses, min, max, log, exp. Parsed once. Immutable; any thread.
class ScoreFormula {
 public:
  /// Error: names the position, what stands there and what was expected (an unknown name is one).
  static Result<ScoreFormula> parse(std::string_view text, const std::vector<std::string>& tasks);

  /// The score of one row's served task values. May be NaN or infinite; the caller says what then.
  double evaluate(std::span<const float> values) const;

  const std::string& text() const { return text_; }

 private:
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
  std::string text_;
  std::vector<Step> steps_;  ///< In postfix order.
  int depth_ = 0;            ///< The most values on the stack at once.
};

}  // namespace millrace
