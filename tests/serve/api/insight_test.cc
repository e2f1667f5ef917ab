// What the live page and operators ask: of the champion or of the model they name, with null where
// a figure is undefined.
#include "serve/api/insight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <limits>

#include "tests/serve/expect_error.h"
#include "tests/serve/serving_fixture.h"

namespace millrace {
namespace {

namespace json = boost::json;

TrainerReport told() {
  TrainerReport report;
  report.model = "shop";
  for (const char* name : {"ctr", "dwell"}) {
    TaskReport& task = report.tasks.emplace_back();
    task.name = name;
    task.binary = task.name == "ctr";
    task.all.rows = 5;
    task.all.label_sum = 3;
    task.spans.push_back({"1h", {}});
  }
  TaskReport& ctr = report.tasks[0];
  ctr.exact_auc = SlidingAucFigure{0.75, 50};
  ctr.recalibrated.emplace().line = {2, -1};
  ctr.recalibrated->output.all.calibration = 1.125;
  ctr.gauc = GroupedAucFigure{0.625, 100, 9, 4};
  ctr.slices.push_back({"Germany", ctr.all});
  auto points = std::make_shared<std::vector<HistoryPoint>>(2);
  (*points)[0].first = EventTime{1'764'000'000'000};
  (*points)[0].figures.auc = 0.75;
  ctr.history = points;
  report.composite = {{"all", 0.25}, {"window", std::nullopt}, {"last_fifth", 0.5}};
  report.business = {{"revenue", "ctr * dwell", {{"all", {4, 8, 16, 12}}, {"window", {}}}}};
  report.gates = {{"ctr",
                   1,
                   false,
                   1'024,
                   0.5,
                   {"0", "1"},
                   {0.25, 0.75},
                   {0.1, 0.2},
                   {0, 0.5},
                   {0, 1},
                   GateReport::Alarm::kCollapsed},
                  {"ctr", 0, true, 1'024, 0.25, {"0", "1"}, {0.5, 0.5}, {0, 0}, {0, 0}, {0, 0}},
                  {"", 0, true, 1'024, 0.75, {"2"}, {1}, {0}, {0}, {0}}};
  report.importance.rows = 32;
  report.importance.features = {
      {"item_id", {0.5, std::numeric_limits<double>::quiet_NaN()}, {{255, 2, {1.5, 0}}}}};
  return report;
}

struct InsightTest : ServingTest {
  void SetUp() override {
    ServingTest::SetUp();
    ServeParts given = parts();
    given.tasks = told;
    given.models = [] {
      TrainerReports reports{{told(), told()}, 0, {}};
      reports.models[1].model = "other";
      return reports;
    };
    start(std::move(given));
  }
  json::value answer(const std::string& path) {
    const HttpReply reply = get(path);
    EXPECT_EQ(reply.status, 200) << path;
    return json::parse(reply.body);
  }
};

TEST_F(InsightTest, TasksTellWindowsUsersSlicesAndBusiness) {
  const json::value all = answer("/v1/tasks");
  const json::value& ctr = all.at("tasks").at("ctr");
  EXPECT_EQ(ctr.at("all").at("label_sum").to_number<double>(), 3);
  EXPECT_EQ(ctr.at("gauc").at("value").to_number<double>(), 0.625);
  EXPECT_EQ(ctr.at("gauc").at("users_counted").to_number<int>(), 4);
  EXPECT_EQ(ctr.at("exact_auc").at("value").to_number<double>(), 0.75);
  EXPECT_EQ(ctr.at("exact_auc").at("rows").to_number<int>(), 50);
  EXPECT_EQ(ctr.at("recalibrated").at("slope").to_number<double>(), 2);
  EXPECT_EQ(ctr.at("recalibrated").at("all").at("calibration").to_number<double>(), 1.125);
  EXPECT_FALSE(all.at("tasks").at("dwell").as_object().contains("recalibrated"));
  EXPECT_TRUE(ctr.at("spans").at("1h").at("auc").is_null());
  EXPECT_TRUE(ctr.at("spans").at("1h").at("label_mean").is_null());
  EXPECT_EQ(ctr.at("slices").at("Germany").at("rows").to_number<int>(), 5);
  EXPECT_TRUE(all.at("tasks").at("dwell").at("gauc").is_null());
  EXPECT_EQ(all.at("composite").at("all").to_number<double>(), 0.25);
  EXPECT_TRUE(all.at("composite").at("window").is_null());
  EXPECT_FALSE(all.at("composite").as_object().contains("last_fifth"));
  const json::value& revenue = all.at("business").at("revenue");
  EXPECT_EQ(revenue.at("formula").as_string(), "ctr * dwell");
  EXPECT_EQ(revenue.at("windows").at("all").at("observed").to_number<double>(), 16);
  EXPECT_EQ(revenue.at("windows").at("all").at("predicted_mean").to_number<double>(), 1.5);
  EXPECT_TRUE(revenue.at("windows").at("window").at("observed_mean").is_null());
}

TEST_F(InsightTest, GatesImportanceAndHistory) {
  const json::value gate = answer("/v1/gates").at("gates").at("ctr");
  EXPECT_EQ(gate.at("alarm").as_string(), "collapsed");
  EXPECT_EQ(gate.at("experts").at("1").at("mean").to_number<double>(), 0.75);
  EXPECT_EQ(gate.at("experts").at("1").at("dead_units").to_number<double>(), 1);
  EXPECT_EQ(gate.at("level").to_number<int>(), 1);
  const json::value lower = answer("/v1/gates").at("lower_gates");
  ASSERT_EQ(lower.as_array().size(), 2U);
  EXPECT_EQ(lower.at(0).at("task").as_string(), "ctr");
  EXPECT_EQ(lower.at(0).at("level").to_number<int>(), 0);
  EXPECT_TRUE(lower.at(1).at("task").is_null()) << "the shared stream's";
  EXPECT_EQ(lower.at(1).at("entropy").to_number<double>(), 0.75);

  const json::value importance = answer("/v1/importance");
  const json::value& item = importance.at("features").at("item_id");
  EXPECT_EQ(item.at("tasks").at("ctr").to_number<double>(), 0.5);
  EXPECT_TRUE(item.at("tasks").at("dwell").is_null());
  EXPECT_EQ(item.at("ids").at(0).at("key").as_string(), "00000000000000ff");
  const auto seed =
      schema.tables()[static_cast<std::size_t>(schema.table_of(schema.find_feature("item_id")))]
          .seed;
  EXPECT_EQ(answer("/v1/importance?feature=item_id&value=m%33").at("key").as_string(),
            print_key(feature_key("m3", seed)));
  expect_error(get("/v1/importance?feature=price&value=3"), 404, "price is a number");
  const auto genres =
      schema.tables()[static_cast<std::size_t>(schema.table_of(schema.find_feature("genres")))]
          .seed;
  EXPECT_EQ(answer("/v1/importance?feature=genres&value=drama").at("key").as_string(),
            print_key(feature_key("drama", genres)));

  // A key says nothing of whether the value was ever seen.
  EXPECT_FALSE(answer("/v1/importance?feature=item_id&value=m3").at("known").as_bool());
  Publication publication = first_publication(schema, model_options);
  put_row(schema, "item_id", "m3", publication);
  serving.apply(publication, {1290, 0});
  EXPECT_TRUE(answer("/v1/importance?feature=item_id&value=m3").at("known").as_bool());
  EXPECT_FALSE(answer("/v1/importance?feature=item_id&value=m4").at("known").as_bool());
  EXPECT_FALSE(answer("/v1/importance").as_object().contains("known"));

  const json::value history = answer("/v1/metrics-history").at("tasks");
  ASSERT_EQ(history.at("ctr").at("points").as_array().size(), 2U);
  EXPECT_EQ(history.at("ctr").at("points").at(0).at("auc").to_number<double>(), 0.75);
  EXPECT_TRUE(history.at("ctr").at("points").at(1).at("auc").is_null());
  EXPECT_TRUE(history.at("dwell").at("points").as_array().empty());
}

TEST_F(InsightTest, AModelIsAskedForByItsName) {
  for (const char* path :
       {"/v1/tasks", "/v1/relations", "/v1/gates", "/v1/importance", "/v1/metrics-history"}) {
    EXPECT_EQ(answer(path).at("model").as_string(), "shop");
    EXPECT_EQ(answer(path + std::string("?model=shop")).at("model").as_string(), "shop");
    EXPECT_EQ(answer(path + std::string("?model=other")).at("model").as_string(), "other");
    const HttpReply nobody = get(path + std::string("?x=1&model=nobody"));
    expect_error(nobody, 404, path);
    EXPECT_THAT(nobody.body, ::testing::HasSubstr("expected one of shop, other"));
  }
}

}  // namespace
}  // namespace millrace
