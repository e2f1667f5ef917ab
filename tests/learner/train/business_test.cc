// Figures of the business: each impression counts once, however its labels come, and both sums are
// those of its true labels and of its predictions.
#include "learner/train/business.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <random>

namespace millrace {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

const Schema& schema() {
  static const Schema schema = [] {
    std::vector<Task> tasks(4);
    tasks[0].name = "click";
    tasks[1].name = "buy";
    tasks[1].given = 0;
    tasks[1].entire_space = true;
    tasks[2].name = "spend";
    tasks[2].kind = TaskKind::kRegression;
    tasks[2].given = 1;
    tasks[3].name = "like";
    tasks[3].given = 0;
    Feature price;
    price.name = "price";
    price.kind = FeatureKind::kNumeric;
    return Schema({price}, tasks);
  }();
  return schema;
}

EvaluateOptions options() {
  EvaluateOptions options;
  options.business = {{"revenue", "click * buy * spend"},
                      {"clicks", "click"},
                      {"liked", "click * like"},
                      {"odd", "1 / click"}};
  options.window = Duration{24'000};
  return options;
}

struct Row {
  std::vector<float> labels;
  std::vector<std::uint8_t> condition;
};

// The rows of one impression, as the join makes them: clicks are decided first, likes next, then
// what follows a click for longer.
std::vector<Row> rows_of(bool click, bool buy, bool like, float spend) {
  if (!click) return {{{0, 0, kNaN, kNaN}, {1, 0, 0, 0}}};
  return {{{1, kNaN, kNaN, kNaN}, {1, 1, 0, 1}},
          {{kNaN, kNaN, kNaN, like ? 1.0F : 0.0F}, {1, 1, 0, 1}},
          {{kNaN, buy ? 1.0F : 0.0F, buy ? spend : kNaN, kNaN},
           {1, 1, static_cast<std::uint8_t>(buy), 1}}};
}

BusinessSums of(const BusinessFigures& figures, const std::string& name,
                const std::string& window = "all") {
  for (const BusinessReport& report : figures.report()) {
    for (const BusinessWindow& of : report.windows) {
      if (report.name == name && of.name == window) return of.sums;
    }
  }
  ADD_FAILURE() << name;
  return {};
}

TEST(Business, EveryImpressionCountsOnce) {
  BusinessFigures figures(schema(), options());
  std::mt19937_64 random(1);
  const auto chance = [&](int of) { return random() % static_cast<std::uint64_t>(of) == 0; };
  std::map<std::string, BusinessSums> expected;
  const auto count = [&](const std::string& name, double weight, double label, double value) {
    expected[name].rows += 1;
    expected[name].weight += weight;
    expected[name].observed += weight * label;
    expected[name].predicted += weight * value;
  };
  for (int i = 0; i < 3'000; ++i) {
    const bool click = chance(2), buy = click && chance(2), like = click && chance(3);
    const float spend = chance(9) ? kNaN : static_cast<float>(random() % 50);
    const double weight = chance(3) ? 2.5 : 1;
    const std::vector<float> p{0.25F, 0.5F, static_cast<float>(random() % 40), 0.125F};
    for (const Row& row : rows_of(click, buy, like, spend)) {
      EXPECT_TRUE(figures.wants(row.labels));
      figures.add(row.labels, row.condition, p, weight);
    }
    count("clicks", weight, click, p[0]);
    count("liked", weight, like, double{p[0]} * p[3]);
    if (click) count("odd", weight, 1, 4);   // 1 / 0 is no figure
    if (buy && std::isnan(spend)) continue;  // never known
    count("revenue", weight, buy ? spend : 0, double{p[0]} * p[1] * p[2]);
  }
  for (const auto& [name, sums] : expected) {
    const BusinessSums told = of(figures, name);
    EXPECT_EQ(told.rows, sums.rows) << name;
    EXPECT_DOUBLE_EQ(told.weight, sums.weight) << name;
    EXPECT_NEAR(told.observed, sums.observed, 1e-6) << name;
    EXPECT_NEAR(told.predicted, sums.predicted, 1e-6) << name;
  }
  EXPECT_FALSE(figures.wants(std::vector<float>(4, kNaN)));
}

TEST(Business, ARestartChangesNothingAndAnotherFormulaBeginsAnew) {
  BusinessFigures whole(schema(), options());
  auto cut = std::make_unique<BusinessFigures>(schema(), options());
  std::map<std::string, std::string> values;
  std::mt19937_64 random(2);
  const std::vector<float> p{0.25F, 0.5F, 7, 0.125F};
  for (int i = 0; i < 12'000; ++i) {
    const EventTime now{1'000'000 + 7 * i};
    const auto rows = rows_of(i % 2 == 0, i % 4 == 0, i % 3 == 0, static_cast<float>(i % 11));
    for (BusinessFigures* figures : {&whole, cut.get()}) {
      figures->advance(now);
      for (const Row& row : rows) figures->add(row.labels, row.condition, p, 1);
    }
    if (random() % 400 != 0) continue;
    StateChanges changes;
    cut->save(changes);
    for (const auto& value : changes.values) values[value.name] = value.bytes;
    if (random() % 2 == 0) continue;
    cut = std::make_unique<BusinessFigures>(schema(), options());
    for (const auto& [name, bytes] : values) ASSERT_TRUE(cut->restore(name, bytes)) << name;
  }
  for (const char* window : {"all", "window", "24s"}) {
    for (const char* name : {"revenue", "clicks"}) {
      EXPECT_EQ(of(*cut, name, window).rows, of(whole, name, window).rows) << window;
      EXPECT_EQ(of(*cut, name, window).observed, of(whole, name, window).observed) << window;
    }
  }
  EXPECT_EQ(of(whole, "clicks", "all").rows, 12'000U);
  EXPECT_LE(of(whole, "clicks", "window").rows, 100'000U);
  EXPECT_NEAR(static_cast<double>(of(whole, "clicks", "24s").rows), 24'000 / 7.0, 150);

  EvaluateOptions others = options();
  others.business["revenue"] = "click * buy";
  BusinessFigures other(schema(), others);
  for (const auto& [name, bytes] : values) EXPECT_TRUE(other.restore(name, bytes));
  EXPECT_EQ(of(other, "revenue").rows, 0U);
  EXPECT_FALSE(other.restore("metrics/click/all", ""));
}

}  // namespace
}  // namespace millrace
