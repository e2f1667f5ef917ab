// Gates give an alarm once, over whole windows, not before they had the time to learn.
#include "learner/evaluate/gate_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// `rows` rows of a gate with these weights; the second expert has a unit that never fires.
GateTally tally(std::uint64_t rows, double first) {
  GateTally tally;
  tally.experts = {"0", "1"};
  tally.rows = rows;
  const auto n = static_cast<double>(rows);
  tally.sum = {n * first, n * (1 - first)};
  tally.squares = {n * first * first, n * (1 - first) * (1 - first)};
  const auto part = [](double p) { return p > 0 ? -p * std::log2(p) : 0; };
  tally.entropy = n * (part(first) + part(1 - first));
  tally.zeros = {0, n};
  tally.fired = {1, 1, 0, 1};
  return tally;
}

GateWatchOptions options() {
  GateWatchOptions options;
  options.warmup_rows = 5'000;
  return options;
}

GateWatch watch() { return GateWatch({{"click", 0, false, {"0", "1"}}, {"dwell"}}, options()); }

TEST(GateWatch, GivesAnAlarmOnce) {
  GateWatch gates = watch();
  EXPECT_TRUE(gates.is_due(64));
  EXPECT_FALSE(gates.is_due(65));
  const auto add = [&](double first, std::uint64_t learned) {
    gates.add(std::vector{tally(512, first), GateTally()}, learned);
    gates.add(std::vector{tally(512, first), GateTally()}, learned);
    return gates.take_notices();
  };
  EXPECT_THAT(add(0.5, 4'999), IsEmpty()) << "gates start even";
  EXPECT_THAT(add(0.5, 5'000), ElementsAre(HasSubstr("click does not tell its experts apart")));
  EXPECT_THAT(add(0.5, 6'000), IsEmpty());
  EXPECT_EQ(gates.report().at(0).alarm, GateReport::Alarm::kEven);
  EXPECT_THAT(add(0.3, 7'000), ElementsAre(HasSubstr("again")));
  EXPECT_THAT(add(1.0, 8'000), ElementsAre(HasSubstr("one expert alone")));
  // Half a window says nothing yet.
  gates.add(std::vector{tally(512, 0.3), GateTally()}, 9'000);
  EXPECT_THAT(gates.take_notices(), IsEmpty());
}

TEST(GateWatch, TellsTheLastWindow) {
  GateWatch gates = watch();
  EXPECT_THAT(gates.report(), IsEmpty());
  gates.add(std::vector{tally(500, 0.2), GateTally()}, 0);
  gates.add(std::vector{tally(600, 0.4), GateTally()}, 0);
  gates.add(std::vector{tally(600, 0.9), GateTally()}, 0);
  const auto report = gates.report();
  ASSERT_EQ(report.size(), 1U) << "a task without a gate is not told of";
  EXPECT_EQ(report[0].task, "click");
  EXPECT_EQ(report[0].rows, 1'100U);
  EXPECT_NEAR(report[0].means[0], (500 * 0.2 + 600 * 0.4) / 1'100, 1e-12);
  const double mean = report[0].means[0];
  EXPECT_NEAR(report[0].deviations[0], std::sqrt((500 * 0.04 + 600 * 0.16) / 1'100 - mean * mean),
              1e-9);
  EXPECT_EQ(report[0].dead, (std::vector{0.0, 0.5}));
  EXPECT_EQ(report[0].zeros, (std::vector{0.0, 0.5}));
}

TEST(GateWatch, ARestartChangesNothing) {
  GateWatch gates = watch();
  gates.add(std::vector{tally(1'500, 1.0), GateTally()}, 6'000);
  gates.add(std::vector{tally(500, 0.4), GateTally()}, 6'000);
  EXPECT_EQ(gates.take_notices().size(), 1U);
  StateChanges changes;
  gates.save(changes);
  ASSERT_EQ(changes.values.size(), 1U);
  GateWatch again = watch();
  ASSERT_TRUE(again.restore(changes.values[0].name, changes.values[0].bytes));
  EXPECT_FALSE(again.restore("evaluate/other", ""));
  for (GateWatch* of : {&gates, &again}) {
    of->add(std::vector{tally(600, 1.0), GateTally()}, 7'000);
    EXPECT_THAT(of->take_notices(), ElementsAre(HasSubstr("again")));
    StateChanges after;
    of->save(after);
    changes.values.push_back(after.values.at(0));
  }
  EXPECT_EQ(changes.values[1].bytes, changes.values[2].bytes);
  GateWatch three({{"click", 0, false, {"0", "1", "2"}}, {"dwell"}}, options());
  EXPECT_THROW(three.restore(changes.values[0].name, changes.values[0].bytes), StateError);
}

}  // namespace
}  // namespace millrace
