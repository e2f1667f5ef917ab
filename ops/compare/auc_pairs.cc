#include "ops/compare/auc_pairs.h"

#include <fmt/format.h>

#include "ops/compare/numbers.h"
#include "ops/compare/text_table.h"
#include "ops/json_inner.h"

namespace millrace {
namespace {

namespace json = boost::json;

AucPair pair_of(const std::string& task, const NamedOutput& model, const NamedOutput& against,
                double confidence) {
  const PairedScores scores = paired_scores(against.output->scored(), model.output->scored());
  return {task, model.name, against.name, delong_test(scores, confidence), scores.share};
}

std::string print_p(const std::optional<double>& p) {
  return p && *p < 0.0001 ? "< 0.0001" : print_optional(p, 4);
}

json::object test_object(const AucPair& pair) {
  const AucTest& test = *pair.test;
  json::object out{{"difference", test.difference},
                   {"low", test.low},
                   {"high", test.high},
                   {"standard_error", test.standard_error},
                   {"z", nullptr},
                   {"p_value", nullptr},
                   {"auc", test.auc_b},
                   {"auc_against", test.auc_a},
                   {"rows", test.rows},
                   {"positives", test.positives},
                   {"one_row_in", pair.share}};
  if (test.standard_error > 0) out["z"] = test.difference / test.standard_error;
  if (test.p_value) out["p_value"] = *test.p_value;
  return out;
}

}  // namespace

std::vector<AucPair> pairs_of(const std::string& task, const std::vector<NamedOutput>& outputs,
                              double confidence) {
  std::vector<AucPair> pairs;
  for (std::size_t m = 0; m < outputs.size(); ++m) {
    if (outputs[m].is_beside) continue;
    for (std::size_t other = 0; other < outputs.size(); ++other) {
      if (other < m || outputs[other].is_beside) {
        pairs.push_back(pair_of(task, outputs[m], outputs[other], confidence));
      }
    }
  }
  return pairs;
}

const AucPair* find_pair(const std::vector<AucPair>& pairs, std::string_view task,
                         std::string_view model, std::string_view against) {
  for (const AucPair& pair : pairs) {
    if (pair.task == task && pair.model == model && pair.against == against) return &pair;
  }
  return nullptr;
}

std::string print_pairs(const std::vector<AucPair>& pairs, double confidence) {
  if (pairs.empty()) return "";
  TextTable table(
      {"task", "model", "against", "AUC difference (DeLong)", "p", "(paired bootstrap)"});
  std::uint64_t share = 1;
  for (const AucPair& pair : pairs) {
    std::optional<Interval> interval;
    if (pair.test) interval = Interval{pair.test->difference, pair.test->low, pair.test->high};
    table.add({pair.task, pair.model, pair.against, print_interval(interval, 4),
               pair.test ? print_p(pair.test->p_value) : "-", print_interval(pair.bootstrap, 4)});
    share = std::max(share, pair.share);
  }
  std::string text = fmt::format(
      "\nPairs of AUC, {:.0f} % intervals; DeLong's test takes rows as independent, p is "
      "two-sided.{}\n",
      100 * confidence,
      share > 1 ? fmt::format(" It is of one row in {} where they were too many.", share) : "");
  return text + table.print(3);
}

json::object pairs_object(const std::vector<AucPair>& pairs) {
  json::object out;
  for (const AucPair& pair : pairs) {
    json::value& of_task = out[pair.task];
    if (of_task.is_null()) of_task = json::array();
    json::object one{{"model", pair.model}, {"against", pair.against}, {"delong", nullptr}};
    if (pair.test) one["delong"] = test_object(pair);
    one["bootstrap"] = nullptr;
    if (pair.bootstrap) {
      one["bootstrap"] = json::object{{"difference", pair.bootstrap->difference},
                                      {"low", pair.bootstrap->low},
                                      {"high", pair.bootstrap->high}};
    }
    of_task.as_array().push_back(std::move(one));
  }
  return out;
}

json::value test_value(const AucPair* pair) {
  if (pair == nullptr || !pair->test) return nullptr;
  return test_object(*pair);
}

}  // namespace millrace
