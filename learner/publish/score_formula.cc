#include "learner/publish/score_formula.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "learner/base/check.h"

namespace millrace {
namespace {

// A level of nesting holds at most a sum, a product, a power's base and a function's first operand.
constexpr int kMostValues = 4 * (ScoreFormula::kMostNesting + 2);

bool is_word(char c) {
  return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// A NaN wins, wherever it stands.
double least(double a, double b) { return std::isnan(a) || a < b ? a : b; }
double most(double a, double b) { return std::isnan(a) || a > b ? a : b; }

}  // namespace

// Recursive descent, one function a line of the grammar:
//   sum     = product (('+' | '-') product)*
//   product = signed (('*' | '/') signed)*
//   signed  = '-' signed | power
//   power   = operand ('^' signed)?
//   operand = number | task | '(' sum ')' | function '(' sum (',' sum)* ')'
// Each returns false once `problem_` says why.
class ScoreFormula::Parser {
 public:
  Parser(std::string_view text, const std::vector<std::string>& tasks)
      : text_(text), tasks_(tasks) {}

  Result<ScoreFormula> run() {
    if (text_.size() > kMostCharacters) {
      return Error{"the formula has " + std::to_string(text_.size()) + " characters; at most " +
                   std::to_string(kMostCharacters) + " are read"};
    }
    if (sum()) {
      skip_space();
      if (at_ < text_.size()) expected("an operator or the end");
    }
    if (!problem_.empty()) return Error{problem_};
    formula_.text_ = text_;
    return std::move(formula_);
  }

 private:
  bool sum() {
    if (!product()) return false;
    while (true) {
      if (take('+')) {
        if (!product()) return false;
        add(Op::kAdd);
      } else if (take('-')) {
        if (!product()) return false;
        add(Op::kSubtract);
      } else {
        return true;
      }
    }
  }

  bool product() {
    if (!signed_power()) return false;
    while (true) {
      if (take('*')) {
        if (!signed_power()) return false;
        add(Op::kMultiply);
      } else if (take('/')) {
        if (!signed_power()) return false;
        add(Op::kDivide);
      } else {
        return true;
      }
    }
  }

  bool signed_power() {
    const Nesting level(nesting_);
    if (nesting_ > kMostNesting) return too_deep();
    if (!take('-')) return power();
    if (!signed_power()) return false;
    add(Op::kNegate);
    return true;
  }

  bool power() {
    if (!operand()) return false;
    if (!take('^')) return true;
    if (!signed_power()) return false;
    add(Op::kPower);
    return true;
  }

  bool operand() {
    if (take('(')) return sum() && close();
    if (const auto value = number()) {
      add(Op::kNumber, -1, *value);
      return true;
    }
    if (!problem_.empty()) return false;
    const std::string_view word = text_.substr(at_, word_length(at_));
    if (!word.empty() && next_after(at_ + word.size()) == '(') return function(word);
    const int task = longest_task();
    if (task < 0) return expected("a number, a function or a task" + task_names());
    at_ += tasks_[static_cast<std::size_t>(task)].size();
    add(Op::kTask, task);
    formula_.tasks_ = std::max(formula_.tasks_, task + 1);
    return true;
  }

  bool function(std::string_view name) {
    const bool many = name == "min" || name == "max";
    if (!many && name != "log" && name != "exp") {
      return expected("a function (min, max, log, exp)");
    }
    at_ += name.size();
    const std::size_t open = at_;
    take('(');
    int operands = 0;
    do {
      if (!sum()) return false;
      if (++operands > 1) {
        if (!many) {
          at_ = open;
          return expected("one operand of " + std::string(name));
        }
        add(name == "min" ? Op::kMin : Op::kMax);
      }
    } while (take(','));
    if (many && operands < 2)
      return expected("\",\" and a further operand of " + std::string(name));
    if (!many) add(name == "log" ? Op::kLog : Op::kExp);
    return close();
  }

  bool close() { return take(')') || expected("\")\" or an operator"); }

  // A number, unless a word begins with these digits.
  std::optional<double> number() {
    skip_space();
    if (at_ == text_.size() || (text_[at_] != '.' && (text_[at_] < '0' || '9' < text_[at_]))) {
      return std::nullopt;
    }
    double value = 0;
    const char* begin = text_.data() + at_;
    const char* end = text_.data() + text_.size();
    const auto [stop, error] = std::from_chars(begin, end, value);
    if (stop == begin || (stop != end && is_word(*stop))) return std::nullopt;
    if (error != std::errc{}) {
      expected("a number that fits 64 bits");
      return std::nullopt;
    }
    at_ += static_cast<std::size_t>(stop - begin);
    return value;
  }

  int longest_task() const {
    int best = -1;
    std::size_t length = 0;
    for (std::size_t t = 0; t < tasks_.size(); ++t) {
      const std::string& name = tasks_[t];
      if (name.size() <= length || !text_.substr(at_).starts_with(name)) continue;
      const std::size_t end = at_ + name.size();
      if (end < text_.size() && is_word(text_[end]) && is_word(name.back())) continue;
      best = static_cast<int>(t);
      length = name.size();
    }
    return best;
  }

  std::size_t word_length(std::size_t from) const {
    std::size_t end = from;
    while (end < text_.size() && is_word(text_[end])) ++end;
    return end - from;
  }
  char next_after(std::size_t at) const {
    while (at < text_.size() && (text_[at] == ' ' || text_[at] == '\t')) ++at;
    return at < text_.size() ? text_[at] : '\0';
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool take(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void add(Op op, int task = -1, double number = 0) {
    switch (op) {
      case Op::kNumber:
      case Op::kTask:
        ++values_;
        break;
      case Op::kNegate:
      case Op::kLog:
      case Op::kExp:
        break;
      default:
        --values_;
    }
    MILLRACE_CHECK(0 < values_ && values_ <= kMostValues);
    formula_.steps_.push_back({op, task, number});
  }

  std::string task_names() const {
    std::string names;
    for (const std::string& task : tasks_) names += (names.empty() ? " (" : ", ") + task;
    return names.empty() ? names : names + ")";
  }

  bool too_deep() {
    return expected("less nesting (at most " + std::to_string(kMostNesting) + " levels)");
  }
  bool expected(std::string_view what) {
    if (!problem_.empty()) return false;
    skip_space();
    const std::string_view rest = text_.substr(at_);
    const std::string_view here = rest.substr(0, std::max<std::size_t>(1, word_length(at_)));
    problem_ = "position " + std::to_string(at_ + 1) + ": ";
    if (rest.empty()) {
      problem_ += "the formula ends";
    } else {
      problem_.append("\"").append(here.substr(0, 64)).append("\"");
    }
    problem_.append("; expected ").append(what);
    return false;
  }

  struct Nesting {
    explicit Nesting(int& depth) : depth_(++depth) {}
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    ~Nesting() { --depth_; }
    int& depth_;
  };

  const std::string_view text_;
  const std::vector<std::string>& tasks_;
  std::size_t at_ = 0;
  int nesting_ = 0;
  int values_ = 0;  // On the stack after the steps so far.
  std::string problem_;
  ScoreFormula formula_;
};

Result<ScoreFormula> ScoreFormula::parse(std::string_view text,
                                         const std::vector<std::string>& tasks) {
  return Parser(text, tasks).run();
}

double ScoreFormula::combine(Op op, double left, double right) {
  switch (op) {
    case Op::kAdd:
      return left + right;
    case Op::kSubtract:
      return left - right;
    case Op::kMultiply:
      return left * right;
    case Op::kDivide:
      return left / right;
    case Op::kPower:
      return std::pow(left, right);
    case Op::kMin:
      return least(left, right);
    default:
      return most(left, right);
  }
}

bool ScoreFormula::reads(int task) const {
  return std::any_of(steps_.begin(), steps_.end(), [task](const Step& step) {
    return step.op == Op::kTask && step.task == task;
  });
}

double ScoreFormula::evaluate(std::span<const float> values) const {
  MILLRACE_CHECK(static_cast<std::size_t>(tasks_) <= values.size());
  std::array<double, kMostValues> stack;
  std::size_t count = 0;
  for (const Step& step : steps_) {
    switch (step.op) {
      case Op::kNumber:
        stack[count++] = step.number;
        break;
      case Op::kTask:
        stack[count++] = double{values[static_cast<std::size_t>(step.task)]};
        break;
      case Op::kNegate:
        stack[count - 1] = -stack[count - 1];
        break;
      case Op::kLog:
        stack[count - 1] = std::log(stack[count - 1]);
        break;
      case Op::kExp:
        stack[count - 1] = std::exp(stack[count - 1]);
        break;
      default:
        --count;
        stack[count - 1] = combine(step.op, stack[count - 1], stack[count]);
    }
  }
  return stack[0];
}

}  // namespace millrace
