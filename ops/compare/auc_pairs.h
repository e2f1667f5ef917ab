#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/evaluate/bootstrap.h"
#include "learner/evaluate/comparison.h"
#include "learner/evaluate/delong.h"

namespace boost::json {
class object;
class value;
}  // namespace boost::json

namespace millrace {

/// The AUCs that two models reach on one task; one of them may be the linear baseline. Differences
/// are `model`'s minus `against`'s.
struct AucPair {
  std::string task, model, against;
  std::optional<AucTest> test;             ///< DeLong's; nothing where it is undefined.
  std::uint64_t share = 1;                 ///< The test is of one row in so many.
  std::optional<Interval> bootstrap = {};  ///< Of the same difference, where it was made.
};

/// What one model, or the baseline, said of a task.
struct NamedOutput {
  std::string name;
  const ComparedOutput* output;
  bool is_beside = false;  ///< A task alone or the baseline: others are held against it.
};

/// Every pair of `outputs`, except what is beside with one another: each against those before it,
/// and what is not beside against what is. Cost: two sorts of the rows for each.
std::vector<AucPair> pairs_of(const std::string& task, const std::vector<NamedOutput>& outputs,
                              double confidence);

/// Null: there is none.
const AucPair* find_pair(const std::vector<AucPair>& pairs, std::string_view task,
                         std::string_view model, std::string_view against);

/// A table with a line for each; empty without a pair.
std::string print_pairs(const std::vector<AucPair>& pairs, double confidence);
/// By tasks, a list of pairs.
boost::json::object pairs_object(const std::vector<AucPair>& pairs);
/// The test of a pair as find_pair has it; null where there is none.
boost::json::value test_value(const AucPair* pair);

}  // namespace millrace
