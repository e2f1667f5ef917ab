#include <fmt/format.h>

#include <string>
#include <vector>

#include "ops/compare/linear_comparison.h"
#include "ops/compare/numbers.h"

namespace millrace {
namespace {

constexpr int kDigits = 4;

// Fewer rows than this in a step make as many steps as the baseline does, nearly.
constexpr double kLeastRowsOfAStep = 2;

std::string shown(const LinearDifference& difference) {
  if (difference.interval) return print_interval(difference.interval, kDigits);
  return fmt::format("{:+.{}f}", difference.value.value_or(0), kDigits);
}

bool is_above(const LinearDifference& difference) {
  return difference.interval && difference.interval->low > 0;
}
bool is_below(const LinearDifference& difference) {
  return difference.interval && difference.interval->high < 0;
}

// What the number of the model's steps has to do with it; empty where nothing can be said.
std::string about_steps(const AgainstLinear& of, bool& explains) {
  explains = false;
  if (of.steps == 0 || !of.same_steps_auc || !of.model_auc || !of.linear_auc) return "";
  const double rows = static_cast<double>(of.learned) / static_cast<double>(of.steps),
               behind = *of.linear_auc - *of.model_auc, cost = *of.linear_auc - *of.same_steps_auc;
  if (rows < kLeastRowsOfAStep || behind <= 0) return "";
  std::string text = fmt::format(
      "it took {} steps of {:.0f} rows and the baseline {} of one, and a regression in "
      "the model's steps reaches {:.4f}",
      print_count(of.steps), rows, print_count(of.linear_steps), *of.same_steps_auc);
  const double share = cost / behind;
  explains = share >= 0.5;
  if (share >= 1) return text + ", less than the model: the few steps account for it";
  if (share > 0.05) {
    return text + fmt::format(": the few steps account for {:.0f} % of it", 100 * share);
  }
  return text + ": it is not the few steps";
}

// How it was at the end of the stream; empty where nothing can be said.
std::string about_the_end(const AgainstLinear& of, bool& explains) {
  explains = false;
  if (!of.late.value) return "";
  const std::string text = "on the last fifth of the rows";
  if (is_above(of.late)) {
    explains = true;
    return text + fmt::format(" it is ahead ({})", shown(of.late));
  }
  if (is_below(of.late)) return text + fmt::format(" it is still behind ({})", shown(of.late));
  if (of.late.interval) {
    explains = is_below(of.auc);
    return text + fmt::format(" the difference ({}) could be none", shown(of.late));
  }
  return text +
         fmt::format(" the difference is {}, of too few rows for an interval", shown(of.late));
}

std::string why_not(const AgainstLinear& of, LinearVerdict verdict) {
  bool steps_explain = false, end_explains = false;
  std::vector<std::string> clauses;
  for (std::string clause : {about_steps(of, steps_explain), about_the_end(of, end_explains)}) {
    if (!clause.empty()) clauses.push_back(std::move(clause));
  }
  if (verdict == LinearVerdict::kBehind && !steps_explain && !end_explains) {
    clauses.push_back(clauses.empty() ? "nothing that was measured says why"
                                      : "more than that these numbers do not say");
  }
  std::string text;
  for (const std::string& clause : clauses) text += "; " + clause;
  return text;
}

}  // namespace

std::string_view to_string(LinearVerdict verdict) {
  switch (verdict) {
    case LinearVerdict::kAhead:
      return "ahead";
    case LinearVerdict::kLevel:
      return "level";
    case LinearVerdict::kBehind:
      return "behind";
    case LinearVerdict::kUncertain:
      return "uncertain";
    case LinearVerdict::kUndefined:
      break;
  }
  return "undefined";
}

LinearVerdict verdict_of(const AgainstLinear& of) {
  if (!of.auc.value) return LinearVerdict::kUndefined;
  if (!of.auc.interval) return LinearVerdict::kUncertain;
  if (is_above(of.auc)) return LinearVerdict::kAhead;
  return is_below(of.auc) ? LinearVerdict::kBehind : LinearVerdict::kLevel;
}

std::string linear_sentence(const std::string& model, const std::string& task,
                            const AgainstLinear& of) {
  const LinearVerdict verdict = verdict_of(of);
  const std::string what = model + " does not beat the linear baseline on " + task + ": ";
  const std::string rows =
      fmt::format("{} rows, {} of them positive", print_count(of.rows), print_count(of.positives));
  const std::string difference = fmt::format("its AUC differs by {}", shown(of.auc));
  switch (verdict) {
    case LinearVerdict::kUndefined:
      return what + "no AUC can be taken over " + rows + ".";
    case LinearVerdict::kUncertain:
      return what + difference + ", and " + rows + ", are too few for an interval.";
    case LinearVerdict::kLevel:
      return what + difference + ", which over " + rows + ", could be none" + why_not(of, verdict) +
             ".";
    case LinearVerdict::kBehind:
      return what + difference + why_not(of, verdict) + ".";
    case LinearVerdict::kAhead:
      break;
  }
  if (!is_above(of.log_loss)) return "";
  return fmt::format(
      "{} beats the linear baseline on {} by its AUC ({}), but its log loss is "
      "higher by {}; Σ predictions / Σ labels is {} of the model and {} of the "
      "baseline.",
      model, task, shown(of.auc), shown(of.log_loss), print_optional(of.model_calibration, 3),
      print_optional(of.linear_calibration, 3));
}

}  // namespace millrace
