// A flush decides what waits without the zeros that would have come beside it, and says so in the
// rows.
#include <gtest/gtest.h>

#include <map>

#include "ingest/join/joiner.h"

namespace millrace {
namespace {

using Certain = std::vector<std::uint8_t>;

struct FlushTest : ::testing::Test {
  Schema schema{{},
                {Task{.name = "ctr"}, Task{.name = "cart", .given = 0, .entire_space = true},
                 Task{.name = "buy", .given = 1, .entire_space = true}}};
  EventTypes types;
  std::vector<LabelSource> labels{3};
  std::map<std::pair<std::string, std::int64_t>, JoinedRow> rows;  // by impression and due

  FlushTest() {
    types.outcomes = {{"click", "clicks", Duration{100}},
                      {"cart", "carts", Duration{1000}},
                      {"buy", "buys", Duration{5000}}};
    for (int k = 0; k < 3; ++k) labels[static_cast<std::size_t>(k)].outcome = k;
  }
  void run(bool flush) {
    JoinOptions options;
    options.allowed_lateness = Duration{0};
    Joiner joiner(schema, types, labels, options);
    std::vector<JoinedRow> out;
    const auto take = [&](Event event) { joiner.add(std::move(event), out); };
    const auto impression = [&](const std::string& id, std::int64_t time) {
      take(Impression{.id = id, .time = {time}, .features = "x", .sampling_rate = 1});
    };
    const auto outcome = [&](const std::string& id, int type, std::int64_t time) {
      take(Outcome{.impression_id = id, .type = type, .time = {time}, .event_id = "", .value = {}});
    };
    impression("bought", 0);
    outcome("bought", 0, 10);
    outcome("bought", 1, 20);
    impression("clicked", 600);
    outcome("clicked", 0, 610);
    impression("early", 700);
    impression("seen", 1300);
    impression("last", 1350);
    outcome("last", 0, 1400);
    outcome("last", 1, 1400);
    if (flush) joiner.flush();
    while (joiner.advance(1, out)) {
    }
    for (JoinedRow& row : out) rows[{row.impression_id, row.due.ms}] = row;
  }
};

TEST_F(FlushTest, OnlyItsRowsHaveCertainConditions) {
  run(false);
  ASSERT_EQ(rows.size(), 4U);  // those of "bought" at 100 and 1000, of "clicked", of "early"
  for (const auto& [key, row] : rows) EXPECT_EQ(row.certain, Certain()) << key.first;
}

// F is 1400: no click can miss after 1500, and no cart after 2400.
TEST_F(FlushTest, AConditionIsCertainOnceTheLastImpressionHasDecidedIt) {
  run(true);
  ASSERT_EQ(rows.size(), 10U);
  EXPECT_EQ(rows.at({"seen", 1400}).certain, Certain());
  EXPECT_EQ(rows.at({"last", 1450}).certain, Certain());
  EXPECT_EQ(rows.at({"clicked", 1600}).certain, (Certain{1, 0, 0}));
  EXPECT_EQ(rows.at({"last", 2350}).certain, (Certain{1, 0, 0}));
  EXPECT_EQ(rows.at({"bought", 5000}).certain, (Certain{1, 1, 0}));
  EXPECT_EQ(rows.at({"last", 6350}).certain, (Certain{1, 1, 0}));
  EXPECT_EQ(rows.at({"last", 6350}).labels[2], 0);
}

}  // namespace
}  // namespace millrace
