// What a comparison says of the linear baseline: where labels depend on pairs of inputs a model
// beats it, where they are linear in few rows none does, and the report says why; the baseline's
// figures are of the rows of the models.
#include "ops/compare/linear_comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <random>

#include "ops/compare/compare.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kConfig = R"(events: {sample: {topic: samples}}
features:
  - {name: a, type: categorical, dimension: 4}
  - {name: b, type: categorical, dimension: 4}
tasks:
  - {name: hit}
  - {name: rare}
  - {name: amount, kind: regression}
store: {path: unused}
)";

class LinearComparisonTest : public ::testing::Test {
 protected:
  // `logit`(a, b) of the task `hit`, a and b below 6.
  template <class Logit>
  void write_events(int rows, const Logit& logit) {
    std::ofstream out(folder_ / "events.jsonl");
    std::mt19937_64 random(3);
    const auto unit = [&] { return static_cast<double>(random() >> 11) / 9007199254740992.0; };
    for (int i = 0; i < rows; ++i) {
      const int a = static_cast<int>(random() % 6), b = static_cast<int>(random() % 6);
      const bool hit = unit() < 1 / (1 + std::exp(-logit(a, b)));
      json::object event{{"type", "sample"}, {"time", 1'764'000'000'000 + 40LL * i}};
      event["features"] = json::object{{"a", "a" + std::to_string(a)}, {"b", std::to_string(b)}};
      event["labels"] =
          json::object{{"hit", hit ? 1 : 0}, {"rare", i == 40 ? 1 : 0}, {"amount", 1.0 * a}};
      out << json::serialize(event) << "\n";
    }
  }
  CompareResult run(const std::string& more, LinearModels linear = LinearModels::kAuto) {
    const auto loaded = load_config_text(std::string(kConfig) + more, "shop.yaml", {});
    EXPECT_TRUE(loaded) << loaded.error().message;
    CompareOptions options;
    options.events = {folder_ / "events.jsonl"};
    options.single_task = SingleTask::kOff;
    options.linear = linear;
    options.bootstrap.replicates = 200;
    options.wants_charts = true;
    options.log = [](std::string_view, const std::string&) {};
    options.stopping = [] { return false; };
    auto result = compare(loaded->config, options);
    EXPECT_TRUE(result) << result.error().message;
    return std::move(result).value();
  }

  const TempFolder folder_;
};

// A task whose labels come late has no rows in the first blocks of the stream.
TEST(CutByRows, PartsHaveLikeNumbersOfRowsWhereverTheyStand) {
  const auto blocks = [](const std::vector<std::uint64_t>& rows) {
    std::vector<SparseTally> blocks(rows.size());
    for (std::size_t b = 0; b < rows.size(); ++b) blocks[b].sums.rows = rows[b];
    return blocks;
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(cut_by_rows(blocks({7, 7, 7, 7, 7, 7, 7, 7, 7, 7}), 5),
              ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(cut_by_rows(blocks({0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9}), 5),
              ElementsAre(0, 7, 8, 9, 10, 11));
  EXPECT_THAT(cut_by_rows(blocks({0, 0, 0, 100}), 5), ElementsAre(0, 3, 3, 4, 4, 4));
  EXPECT_THAT(cut_by_rows({}, 5), ElementsAre(0, 0, 0, 0, 0, 0));
}

TEST_F(LinearComparisonTest, AModelBeatsItWhereInputsActInPairs) {
  write_events(16'000, [](int a, int b) { return (a + b) % 2 == 0 ? 2.0 : -2.0; });
  const CompareResult result = run("train: {batch: 32, batch_span: off}\n");
  ASSERT_TRUE(result.comparison.linear);
  const LinearReport& linear = *result.comparison.linear;
  ASSERT_EQ(linear.tasks.size(), 2U) << "of the binary tasks";
  EXPECT_NEAR(*linear.tasks[0].all.auc, 0.5, 0.03);
  EXPECT_EQ(linear.tasks[0].all.rows, 16'000U);
  EXPECT_EQ(linear.keys, 12U);
  EXPECT_EQ(linear.steps, 16'000U);
  const AgainstLinear& hit = *result.comparison.models[0].tasks.at("hit").linear;
  EXPECT_EQ(verdict_of(hit), LinearVerdict::kAhead);
  EXPECT_GT(hit.auc.interval->low, 0.1);
  EXPECT_GT(hit.late.interval->low, 0.1);
  EXPECT_LT(hit.log_loss.interval->high, -0.05);
  EXPECT_EQ(hit.fifths.size(), 5U);
  EXPECT_FALSE(result.comparison.models[0].tasks.at("amount").linear);
  // Who orders one label of 1 better was lucky.
  const AgainstLinear& rare = *result.comparison.models[0].tasks.at("rare").linear;
  EXPECT_EQ(rare.positives, 1U);
  EXPECT_FALSE(rare.auc.interval);
  EXPECT_EQ(verdict_of(rare), LinearVerdict::kUncertain);

  const std::string text = print_comparison(result.comparison);
  EXPECT_THAT(text, HasSubstr("linear baseline"));
  EXPECT_THAT(text, HasSubstr("ahead"));
  EXPECT_THAT(text, Not(HasSubstr("does not beat the linear baseline on hit")));
  EXPECT_THAT(text, HasSubstr("does not beat the linear baseline on rare"));
  const json::object told = json::parse(comparison_json(result.comparison)).as_object();
  const json::object& task = told.at("linear_baseline").at("tasks").at("hit").as_object();
  EXPECT_DOUBLE_EQ(task.at("auc").as_double(), *linear.tasks[0].all.auc);
  ASSERT_EQ(task.at("rates").as_array().size(), 6U);
  EXPECT_EQ(task.at("rates").as_array()[2].at("rate").as_double(), 0.1);
  const std::string model = result.comparison.models[0].report.model;
  const json::object& of_model =
      told.at("models").at(model).at("tasks").at("hit").at("linear").as_object();
  EXPECT_TRUE(of_model.at("beats").as_bool());
  EXPECT_TRUE(of_model.at("explanation").is_null());
  EXPECT_DOUBLE_EQ(of_model.at("auc_difference").at("low").as_double(), hit.auc.interval->low);
  ASSERT_EQ(result.charts[0].series.size(), 2U);
  EXPECT_EQ(result.charts[0].series[1].name, "linear baseline");
}

TEST_F(LinearComparisonTest, WhereLabelsAreLinearInFewRowsNoneBeatsItAndTheReportSaysWhy) {
  write_events(3'000, [](int a, int b) { return 1.2 * (a - 2.5) - 0.8 * (b - 2.5); });
  const CompareResult result = run("train: {batch: 256, batch_span: off}\n");
  const AgainstLinear& hit = *result.comparison.models[0].tasks.at("hit").linear;
  EXPECT_EQ(verdict_of(hit), LinearVerdict::kBehind);
  EXPECT_EQ(hit.steps, 12U);
  EXPECT_EQ(hit.linear_steps, 3'000U);
  const std::string text = print_comparison(result.comparison);
  EXPECT_THAT(text, HasSubstr("does not beat the linear baseline on hit"));
  EXPECT_THAT(text, HasSubstr("it took 12 steps of 250 rows and the baseline 3,000 of one"));
  const json::object told = json::parse(comparison_json(result.comparison)).as_object();
  const json::value& of = told.at("models").at(result.comparison.models[0].report.model);
  EXPECT_THAT(std::string(of.at("tasks").at("hit").at("linear").at("explanation").as_string()),
              HasSubstr("12 steps"));
  // The regression in the model's steps has had as few of them.
  EXPECT_LT(*hit.same_steps_auc, *hit.linear_auc);
}

TEST_F(LinearComparisonTest, NoneIsLearnedWhereNobodyAsksAndItIsToldWhereNoneCanBe) {
  write_events(400, [](int, int) { return 0.0; });
  const CompareResult off = run("", LinearModels::kOff);
  EXPECT_FALSE(off.comparison.linear);
  EXPECT_THAT(print_comparison(off.comparison), Not(HasSubstr("linear")));
  EXPECT_TRUE(json::parse(comparison_json(off.comparison)).at("linear_baseline").is_null());
  std::string many;
  for (int k = 0; k < 17; ++k) many += "  - {name: t" + std::to_string(k) + "}\n";
  std::string text(kConfig);
  text.insert(text.find("store:"), many);
  const auto loaded = load_config_text(text, "shop.yaml", {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  CompareOptions options;
  options.events = {folder_ / "events.jsonl"};
  options.single_task = SingleTask::kOff;
  options.bootstrap.replicates = 100;
  options.log = [](std::string_view, const std::string&) {};
  options.stopping = [] { return false; };
  auto result = compare(loaded->config, options);
  ASSERT_TRUE(result);
  EXPECT_THAT(print_comparison(result->comparison),
              HasSubstr("No linear baseline: 19 binary tasks are more than 16; --linear asks"));
}

}  // namespace
}  // namespace millrace
