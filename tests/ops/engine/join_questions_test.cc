// Questions to the join's thread: answered there, given up in time, bounded, and never left
// hanging.
#include "ops/engine/join_questions.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "ops/join_text.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

std::optional<JoinExplanation> nothing(const std::string&) { return std::nullopt; }

TEST(JoinQuestions, AreAnsweredOnTheThreadThatEmptiesThem) {
  JoinQuestions questions(100);
  std::atomic<bool> stop{false};
  std::thread ingest([&] {
    const auto own = std::this_thread::get_id();
    while (!stop) {
      questions.answer_all([&](const std::string& id) -> std::optional<JoinExplanation> {
        EXPECT_EQ(std::this_thread::get_id(), own);
        if (id == "throws") throw std::runtime_error("the disk is gone");
        if (id == "unknown") return std::nullopt;
        JoinExplanation found;
        found.time = EventTime{static_cast<std::int64_t>(id.size())};
        return found;
      });
    }
  });
  std::vector<std::thread> askers;
  for (std::size_t t = 0; t < 4; ++t) {
    askers.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const auto found = questions.ask(std::string(t + 1, 'i'), 10s);
        ASSERT_TRUE(found && *found);
        EXPECT_EQ((*found)->time, EventTime{static_cast<std::int64_t>(t + 1)});
      }
    });
  }
  for (std::thread& asker : askers) asker.join();
  EXPECT_FALSE(*questions.ask("unknown", 10s));
  const auto failed = questions.ask("throws", 10s);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "the disk is gone");
  EXPECT_EQ(failed.error().why, JoinSilence::Why::kFailed);
  stop = true;
  ingest.join();
}

TEST(JoinQuestions, AreGivenUpInTimeAndAreFew) {
  JoinQuestions questions(2);
  EXPECT_FALSE(questions.ask("a", 1ms));
  EXPECT_EQ(questions.ask("b", 1ms).error().why, JoinSilence::Why::kTimedOut);
  const auto refused = questions.ask("c", 10s);  // at once
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().why, JoinSilence::Why::kRefused);
  EXPECT_NE(refused.error().message.find("too many"), std::string::npos);
  int asked = 0;
  questions.answer_all([&](const std::string& id) {
    ++asked;
    return nothing(id);
  });
  EXPECT_EQ(asked, 0) << "nobody waits for these any more";
}

TEST(JoinQuestions, AtTheEndNobodyIsLeftWaiting) {
  JoinQuestions questions(10);
  std::thread asker([&] { EXPECT_FALSE(questions.ask("a", 60s)); });
  std::this_thread::sleep_for(20ms);
  questions.close();
  asker.join();
  EXPECT_FALSE(questions.ask("a", 60s));
}

TEST(JoinText, SaysAllThatIsKnown) {
  const Schema schema({}, {Task{.name = "ctr"}, Task{.name = "cvr"}});
  EventTypes types;
  types.outcomes = {{"click", "clicks", Duration{100}}};
  JoinExplanation found;
  found.state = JoinExplanation::State::kWaiting;
  found.in_store = true;
  found.time = EventTime{1'764'000'000'000};
  found.labels.resize(2);
  found.labels[0] = {JoinExplanation::Label::State::kDecided, {1'764'000'060'000}, 1.0};
  found.labels[1] = {JoinExplanation::Label::State::kAwaited, {1'764'000'900'000}, {}};
  found.applied.push_back({0, {1'764'000'004'000}, {}, "e\"3"});
  found.refused.push_back({-1, {1'764'000'000'001}, {}, "duplicate"});
  EXPECT_EQ(join_text("i1", found, schema, types),
            R"({"impression_id":"i1","state":"waiting","place":"store","time":1764000000000,)"
            R"("time_text":"2025-11-24T16:00:00.000Z","watermark":0,)"
            R"("watermark_text":"1970-01-01T00:00:00.000Z","tasks":{"ctr":{"state":"decided",)"
            R"("until":1764000060000,"until_text":"2025-11-24T16:01:00.000Z","label":1},)"
            R"("cvr":{"state":"awaited","until":1764000900000,)"
            R"("until_text":"2025-11-24T16:15:00.000Z"}},"applied":[{"type":"click",)"
            R"("time":1764000004000,"time_text":"2025-11-24T16:00:04.000Z","value":null,)"
            R"("event_id":"e\"3"}],"waiting_outcomes":[],"refused":[{"type":"impression",)"
            R"("time":1764000000001,"time_text":"2025-11-24T16:00:00.001Z","event_id":null,)"
            R"("reason":"duplicate"}]})"
            "\n");
}

}  // namespace
}  // namespace millrace
