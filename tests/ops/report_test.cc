// The report of `replay` is JSON, whatever the figures are.
#include "ops/report.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <limits>

namespace millrace {
namespace {

TEST(Report, AFigureThatIsNotFiniteIsNull) {
  for (const double figure :
       {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
        std::numeric_limits<double>::quiet_NaN()}) {
    TaskReport task;
    task.name = "spend";
    task.binary = false;
    task.all = {.rows = 7,
                .positives = 0,
                .auc = figure,
                .auc_error = figure,
                .log_loss = figure,
                .normalized_entropy = figure,
                .calibration = figure,
                .rmse = figure};
    task.last_fifth.rmse = 0.5;
    TrainerReport trainer;
    trainer.tasks.push_back(task);
    trainer.guardrails.tasks.resize(1);
    trainer.guardrails.passed_over.resize(1);
    const auto report = boost::json::parse(replay_report(
        {.counts = {}, .trainers = {{trainer}, 0, {}}, .stages = {}, .seconds = 1, .digest = 0}));
    const auto& told = report.at("tasks").at("spend");
    EXPECT_EQ(told.at("all").at("rows").to_number<int>(), 7);
    for (const auto& [name, value] : told.at("all").as_object()) {
      EXPECT_TRUE(name == "rows" || value.is_null()) << std::string_view(name) << " " << value;
    }
    EXPECT_EQ(told.at("last_fifth").at("rmse").to_number<double>(), 0.5);
  }
}

TEST(Report, HasWhatTheApiHas) {
  TrainerReport trainer;
  TaskReport& task = trainer.tasks.emplace_back();
  task.name = "ctr";
  task.gauc = GroupedAucFigure{0.625, 10, 3, 2};
  task.exact_auc = SlidingAucFigure{0.75, 8};
  task.recalibrated.emplace().line = {0.5F, -1};
  task.recalibrated->output.window.rows = 2;
  task.window.rows = 3;
  task.weight = 1.5;
  task.entire.emplace().window.rows = 4;
  task.by_division.emplace().window = {1.25, std::nullopt};
  trainer.composite = {{"all", 0.5}};
  trainer.business = {{"clicks", "ctr", {{"all", {1, 1, 1, 0.25}}}}};
  trainer.guardrails.tasks.resize(1);
  trainer.guardrails.passed_over.resize(1);
  const auto report = boost::json::parse(replay_report(
      {.counts = {}, .trainers = {{trainer}, 0, {}}, .stages = {}, .seconds = 1, .digest = 0}));
  const auto& told = report.at("tasks").at("ctr");
  EXPECT_EQ(told.at("weight").to_number<double>(), 1.5);
  EXPECT_EQ(told.at("gauc").at("value").to_number<double>(), 0.625);
  EXPECT_EQ(told.at("exact_auc").at("value").to_number<double>(), 0.75);
  EXPECT_EQ(told.at("exact_auc").at("rows").to_number<int>(), 8);
  EXPECT_EQ(told.at("recalibrated").at("slope").to_number<double>(), 0.5);
  EXPECT_EQ(told.at("recalibrated").at("shift").to_number<double>(), -1);
  EXPECT_EQ(told.at("recalibrated").at("window").at("rows").to_number<int>(), 2);
  EXPECT_TRUE(told.at("entire").at("exact_auc").is_null());
  EXPECT_EQ(told.at("window").at("rows").to_number<int>(), 3);
  EXPECT_EQ(told.at("window").at("entire").at("rows").to_number<int>(), 4);
  EXPECT_EQ(told.at("by_division").at("window").at("predicted").to_number<double>(), 1.25);
  EXPECT_TRUE(told.at("by_division").at("window").at("observed").is_null());
  EXPECT_EQ(report.at("composite").at("all").to_number<double>(), 0.5);
  EXPECT_EQ(report.at("business")
                .at("clicks")
                .at("windows")
                .at("all")
                .at("predicted")
                .to_number<double>(),
            0.25);
  for (const char* key : {"gates", "history"}) EXPECT_TRUE(report.at(key).is_object());
  EXPECT_FALSE(report.at("importance").as_object().contains("model"));
}

}  // namespace
}  // namespace millrace
