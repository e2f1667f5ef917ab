// What the join says of one impression: the truth, wherever it lies, and without changing anything.
#include <gtest/gtest.h>

#include <memory>

#include "ingest/join/joiner.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

using State = JoinExplanation::State;
using Label = JoinExplanation::Label;

struct ExplanationTest : ::testing::Test {
  Schema schema{{},
                {Task{.name = "ctr"}, Task{.name = "cvr", .given = 0, .entire_space = true},
                 Task{.name = "survey"}}};
  EventTypes types;
  std::vector<LabelSource> labels{3};
  JoinOptions options;
  std::unique_ptr<Joiner> joiner;
  StateLog log;
  std::vector<JoinedRow> rows;

  ExplanationTest() {
    types.outcomes = {{"click", "clicks", Duration{100}},
                      {"buy", "buys", Duration{1000}},
                      {"share", "shares", Duration{1000}}};
    labels[0].outcome = 0;
    labels[1].outcome = 1;
    options.allowed_lateness = Duration{50};
    options.memory.value = 0;
    make();
  }
  void make() {
    joiner = std::make_unique<Joiner>(schema, types, labels, options);
    log.use(*joiner);
  }
  void take(Event event) {
    joiner->add(std::move(event), rows);
    while (joiner->advance(1000, rows)) {
    }
  }
  void impression(const std::string& id, std::int64_t time) {
    take(Impression{.id = id, .time = {time}, .features = "x", .sampling_rate = 1});
  }
  void outcome(const std::string& id, int type, std::int64_t time, const std::string& event_id) {
    take(Outcome{
        .impression_id = id, .type = type, .time = {time}, .event_id = event_id, .value = {}});
  }
};

TEST_F(ExplanationTest, OfAWaitingOneInMemoryAndInTheStore) {
  impression("a", 1000);
  outcome("a", 0, 1010, "e1");
  outcome("a", 0, 1010, "e1");
  outcome("a", 1, 900, "e2");
  outcome("a", 2, 1020, "e3");
  impression("a", 1001);
  for (const bool in_store : {false, true}) {
    if (in_store) log.commit(*joiner);
    const auto found = joiner->explain("a");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->state, State::kWaiting);
    EXPECT_EQ(found->in_store, in_store);
    EXPECT_EQ(found->time, EventTime{1000});
    EXPECT_EQ(found->watermark, EventTime{970});
    ASSERT_EQ(found->applied.size(), 1u);
    EXPECT_EQ(found->applied[0].event_id, "e1");
    ASSERT_EQ(found->labels.size(), 3u);
    EXPECT_EQ(found->labels[0].state, Label::State::kAwaited);
    EXPECT_EQ(found->labels[0].until, EventTime{1100});
    EXPECT_EQ(found->labels[1].until, EventTime{2000});
    EXPECT_EQ(found->labels[2].state, Label::State::kNone);
    std::vector<std::string_view> reasons;
    for (const Refusal& refusal : found->refused) reasons.push_back(refusal.reason);
    EXPECT_EQ(reasons,
              (std::vector<std::string_view>{"duplicate", "out_of_window", "unused", "duplicate"}));
    EXPECT_EQ(found->refused[1].event_id, "e2");
    EXPECT_EQ(found->refused[3].type, -1);
    EXPECT_EQ(joiner->sizes().in_store, in_store ? 1u : 0u) << "asking leaves it where it is";
  }
}

TEST_F(ExplanationTest, OfDecidedLabelsAndAFinishedOne) {
  impression("a", 1000);
  outcome("a", 0, 1010, "e1");
  impression("b", 1001);
  impression("later", 1300);
  auto found = joiner->explain("a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->labels[0].state, Label::State::kDecided);
  EXPECT_EQ(found->labels[0].label, 1.0);
  EXPECT_EQ(found->labels[1].state, Label::State::kAwaited);
  found = joiner->explain("b");  // not clicked, so that nothing waits any longer
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state, State::kFinished);
  EXPECT_EQ(found->time, EventTime{1001});
  EXPECT_EQ(found->labels[0].label, 0.0);
  EXPECT_EQ(found->labels[1].label, 0.0);

  log.commit(*joiner);
  make();  // what was before a start is not remembered
  log.restore(*joiner);
  EXPECT_FALSE(joiner->explain("b"));
  found = joiner->explain("a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->labels[0].state, Label::State::kDecided);
  EXPECT_EQ(found->labels[0].label, std::nullopt);
}

TEST_F(ExplanationTest, OfOutcomesWithoutAnImpression) {
  EXPECT_FALSE(joiner->explain("a"));
  outcome("a", 0, 1000, "e1");
  auto found = joiner->explain("a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state, State::kUnknown);
  ASSERT_EQ(found->waiting.size(), 1u);
  EXPECT_EQ(found->waiting[0].event_id, "e1");
  EXPECT_EQ(found->waits_until.at(0), EventTime{1050});
  impression("later", 1200);
  found = joiner->explain("a");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->waiting.empty());
  ASSERT_EQ(found->refused.size(), 1u);
  EXPECT_EQ(found->refused[0].reason, "unmatched");
  EXPECT_EQ(found->refused[0].time, EventTime{1000});
}

TEST_F(ExplanationTest, OnlyTheLastAreRemembered) {
  options.history = 3;
  make();
  impression("late", 5000);
  for (int i = 0; i < 10; ++i) impression("i" + std::to_string(i), 100);
  EXPECT_EQ(joiner->history().refusals(), 3u);
  EXPECT_FALSE(joiner->explain("i6"));
  for (const char* id : {"i7", "i8", "i9"}) {
    const auto found = joiner->explain(id);
    ASSERT_TRUE(found) << id;
    EXPECT_EQ(found->refused.at(0).reason, "late");
  }
  options.history = 0;
  make();
  impression("late", 5000);
  impression("i", 100);
  EXPECT_FALSE(joiner->explain("i"));
  EXPECT_TRUE(joiner->explain("late"));
}

}  // namespace
}  // namespace millrace
