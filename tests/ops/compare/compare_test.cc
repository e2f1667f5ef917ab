// What `compare` says of each model is what a replay of it alone says, and the better model is seen
// to be better.
#include "ops/compare/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>

#include "tests/support/funnel_files.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

class CompareTest : public ::testing::Test {
 protected:
  CompareTest() {
    write_funnel(events_, 6'000,
                 {.impressions_per_second = 20, .users = 300, .items = 100, .click_logit = -1});
    write("shop.yaml", funnel_shop(folder_ / "unused",
                                   "train: {batch: 64}\n"
                                   "evaluate: {business: {orders: ctr * cvr, clicks: ctr}, "
                                   "composite: {ctr: 1, cvr: 2, dwell: 1}}\n"));
    write("usual.yaml", "");
    write("blind.yaml", "features: [price]\nmodel: {experts: 2}\n");
  }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  Result<LoadedConfig> load(const std::vector<std::string>& files) {
    std::vector<std::string> paths;
    for (const std::string& file : files) paths.push_back(folder_ / file);
    return load_models(folder_ / "shop.yaml", paths, {});
  }
  CompareResult run(const Config& config, SingleTask single = SingleTask::kAuto) {
    CompareOptions options;
    options.events = {events_};
    options.single_task = single;
    options.bootstrap.replicates = 200;
    options.wants_charts = true;
    options.log = [](std::string_view, const std::string&) {};
    options.stopping = [] { return false; };
    auto result = compare(config, options);
    EXPECT_TRUE(result) << result.error().message;
    return std::move(result).value();
  }

  const TempFolder folder_;
  const std::string events_ = folder_ / "events.jsonl";
};

TEST_F(CompareTest, SaysWhatReplaysSayAndSeesTheBetterModel) {
  const auto loaded = load({"usual.yaml", "blind.yaml"});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const CompareResult result = run(loaded->config);
  ASSERT_TRUE(result.ended);
  const Comparison& comparison = result.comparison;
  std::vector<std::string> names;
  for (const ComparedModel& model : comparison.models) names.push_back(model.report.model);
  EXPECT_THAT(names,
              ::testing::ElementsAre("usual", "blind", "single.ctr", "single.cvr", "single.dwell"));
  // A replay of the first alone.
  EngineOptions options;
  const auto alone =
      load_config_text(funnel_shop(folder_ / "alone", "train: {batch: 64}\n"), "f", {});
  ASSERT_TRUE(alone) << alone.error().message;
  options.config = alone->config;
  options.files = {events_};
  options.flush = true;
  options.clock = [] { return EventTime{1'765'000'000'000}; };
  options.log = [](std::string_view, const std::string&) {};
  auto engine = Engine::make(std::move(options));
  ASSERT_TRUE(engine);
  (*engine)->open();
  (*engine)->connect();
  (*engine)->run([] { return false; }, {});
  (*engine)->finish();
  const auto report = (*engine)->report();
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(comparison.models[0].report.tasks[k].all.auc, report->tasks[k].all.auc);
    EXPECT_EQ(comparison.models[0].report.tasks[k].all.rmse, report->tasks[k].all.rmse);
    EXPECT_EQ(comparison.models[0].report.tasks[k].all.rows, report->tasks[k].all.rows);
  }
  // Without users and items there is little to know.
  const ComparedTask& ctr = comparison.models[1].tasks.at("ctr");
  ASSERT_TRUE(ctr.auc && ctr.log_loss && ctr.gain);
  EXPECT_LT(ctr.auc->high, 0);
  EXPECT_NEAR(
      ctr.auc->difference,
      *comparison.models[1].report.tasks[0].all.auc - *comparison.models[0].report.tasks[0].all.auc,
      1e-9);
  EXPECT_NEAR(
      ctr.gain->difference,
      *comparison.models[1].report.tasks[0].all.auc - *comparison.models[2].report.tasks[0].all.auc,
      1e-9);
  EXPECT_TRUE(comparison.models[0].tasks.at("dwell").gain);
  EXPECT_FALSE(comparison.models[0].tasks.at("ctr").auc);  // against itself
  EXPECT_LT(comparison.models[1].parameters, comparison.models[0].parameters);
  EXPECT_GT(comparison.models[0].seconds, 0);

  // The composite is the weighted mean of the tasks' scores: 2 AUC − 1, and what is explained.
  for (std::size_t m = 0; m < 2; ++m) {
    const std::vector<TaskReport>& tasks = comparison.models[m].report.tasks;
    ASSERT_TRUE(comparison.models[m].composite);
    EXPECT_NEAR(
        *comparison.models[m].composite,
        ((2 * *tasks[0].all.auc - 1) + 2 * (2 * *tasks[1].all.auc - 1) + *tasks[2].all.explained) /
            4,
        1e-12);
  }
  EXPECT_GT(*comparison.models[0].composite, *comparison.models[1].composite);
  ASSERT_TRUE(comparison.models[2].composite) << "of the one task alone";
  EXPECT_NEAR(*comparison.models[2].composite,
              2 * *comparison.models[2].report.tasks[0].all.auc - 1, 1e-12);
  // What was observed is the same for all, what was predicted is each model's own.
  const std::vector<BusinessReport>&usual = comparison.models[0].report.business,
        &other = comparison.models[1].report.business;
  ASSERT_EQ(usual.size(), 2U);
  ASSERT_EQ(other.size(), 2U);
  for (std::size_t f = 0; f < 2; ++f) {
    const BusinessSums &a = usual[f].windows[0].sums, &b = other[f].windows[0].sums;
    EXPECT_GT(a.observed, 0);
    EXPECT_EQ(a.observed, b.observed) << usual[f].name;
    EXPECT_NE(a.predicted, b.predicted);
  }
  // Clicks are what ctr says of the same rows. (Of orders the stream is too short to tell.)
  const BusinessSums& clicks = usual[0].windows[0].sums;
  EXPECT_NEAR(clicks.predicted / clicks.observed,
              *comparison.models[0].report.tasks[0].all.calibration, 1e-3);
  EXPECT_TRUE(comparison.models[2].report.business.empty()) << "a formula over other tasks";

  const std::string table = print_comparison(comparison);
  for (const char* part : {"predicted / observed", "orders", "clicks"}) {
    EXPECT_THAT(table, HasSubstr(part));
  }
  for (const char* part : {"gain over alone", "single.cvr", "samples/s", "bootstrap"}) {
    EXPECT_THAT(table, HasSubstr(part));
  }
  const json::object told = json::parse(comparison_json(comparison)).as_object();
  EXPECT_EQ(told.at("reference").as_string(), "usual");
  const json::object& blind = told.at("models").at("blind").as_object();
  EXPECT_DOUBLE_EQ(blind.at("tasks").at("ctr").at("auc_difference").at("difference").as_double(),
                   ctr.auc->difference);
  const json::object& orders =
      blind.at("business").at("orders").at("windows").at("all").as_object();
  EXPECT_EQ(orders.at("observed").to_number<double>(), other[1].windows[0].sums.observed);
  EXPECT_EQ(blind.at("composites").at("all").to_number<double>(), *comparison.models[1].composite);
  ASSERT_EQ(result.charts.size(), 3U);
  EXPECT_EQ(result.charts[0].series.size(), 4U);  // ctr: usual, blind, single.ctr, the baseline
  // The baseline is of the same rows, those with a click where a conversion is given one.
  ASSERT_TRUE(comparison.linear);
  ASSERT_EQ(comparison.linear->tasks.size(), 2U);
  for (std::size_t k = 0; k < 2; ++k) {
    const Figures& model = comparison.models[0].report.tasks[k].all;
    const Figures& linear = comparison.linear->tasks[k].all;
    EXPECT_EQ(linear.rows, model.rows);
    EXPECT_EQ(linear.positives, model.positives);
    EXPECT_NEAR(*linear.label_mean, *model.label_mean, 1e-9);
    const AgainstLinear& against =
        *comparison.models[0].tasks.at(comparison.linear->tasks[k].name).linear;
    EXPECT_NEAR(*against.auc.value, *model.auc - *linear.auc, 1e-9);
    EXPECT_NEAR(*against.log_loss.value, *model.log_loss - *linear.log_loss, 1e-9);
  }
  // DeLong's test is of the same rows, so its AUCs are those of the histogram within its error, and
  // of every pair but those of what is only held against.
  std::vector<std::string> pairs;
  for (const AucPair& pair : comparison.auc_pairs) {
    pairs.push_back(pair.task + ": " + pair.model + " - " + pair.against);
    ASSERT_TRUE(pair.test);
    const ComparedModel& model = comparison.models[pair.model == "usual" ? 0 : 1];
    const Figures& all = model.report.tasks[pair.task == "ctr" ? 0 : 1].all;
    EXPECT_EQ(pair.test->rows, all.rows);
    EXPECT_EQ(pair.test->positives, all.positives);
    EXPECT_EQ(pair.share, 1U);
    EXPECT_NEAR(pair.test->auc_b, *all.auc, *all.auc_error + 1e-9);
    ASSERT_TRUE(pair.bootstrap);
    EXPECT_NEAR(pair.test->difference, pair.bootstrap->difference, 2 * *all.auc_error + 1e-9);
    EXPECT_LT(pair.test->low, pair.test->difference);
  }
  EXPECT_THAT(pairs,
              ::testing::ElementsAre("ctr: usual - single.ctr", "ctr: usual - linear baseline",
                                     "ctr: blind - usual", "ctr: blind - single.ctr",
                                     "ctr: blind - linear baseline", "cvr: usual - single.cvr",
                                     "cvr: usual - linear baseline", "cvr: blind - usual",
                                     "cvr: blind - single.cvr", "cvr: blind - linear baseline"));
  const AucTest& blinder = *find_pair(comparison.auc_pairs, "ctr", "blind", "usual")->test;
  EXPECT_LT(blinder.high, 0);
  EXPECT_LT(*blinder.p_value, 1e-4);
  EXPECT_THAT(table, HasSubstr("AUC difference (DeLong)"));
  EXPECT_THAT(table, HasSubstr("< 0.0001"));
  const json::object& of_blind = blind.at("tasks").at("ctr").as_object();
  EXPECT_DOUBLE_EQ(of_blind.at("auc_difference_delong").at("p_value").to_number<double>(),
                   *blinder.p_value);
  EXPECT_TRUE(of_blind.at("mtl_gain_delong").is_object());
  EXPECT_TRUE(of_blind.at("linear").at("auc_difference_delong").is_object());
  ASSERT_EQ(told.at("auc_pairs").at("ctr").as_array().size(), 5U);
  const json::object& first = told.at("auc_pairs").at("ctr").as_array()[0].as_object();
  EXPECT_EQ(first.at("against").as_string(), "single.ctr");
  EXPECT_EQ(first.at("delong").at("one_row_in").to_number<int>(), 1);
  EXPECT_TRUE(first.at("bootstrap").is_object());
  EXPECT_GT(result.charts[0].series[0].points.size(), 20U);
  EXPECT_EQ(result.charts[2].y_label, "RMSE");
}

TEST_F(CompareTest, NothingIsLearnedAloneWhereNobodyAsks) {
  const auto loaded = load({"usual.yaml"});
  ASSERT_TRUE(loaded);
  EXPECT_EQ(run(loaded->config, SingleTask::kOff).comparison.models.size(), 1U);
}

TEST_F(CompareTest, WhatIsWrongWithAFileIsToldWithItsPlace) {
  write("batch.yaml", "model: {experts: 2}\ntrain:\n  batch: 9\n");
  write("typo.yaml", "modle: {experts: 2}\n");
  const auto batch = load({"usual.yaml", "batch.yaml"});
  ASSERT_FALSE(batch);
  EXPECT_THAT(batch.error().message,
              HasSubstr("batch.yaml:3: models.batch.train.batch: is one for all models"));
  const auto typo = load({"typo.yaml"});
  ASSERT_FALSE(typo);
  EXPECT_THAT(typo.error().message, HasSubstr("typo.yaml:1: models.typo.modle: unknown key"));
  EXPECT_FALSE(load({"missing.yaml"}));
  EXPECT_FALSE(load({"usual.yaml", "usual.yaml"}));
}

}  // namespace
}  // namespace millrace
