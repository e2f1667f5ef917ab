// The merge makes the one order that everything rests on (contract/join.md, Taking): whatever the
// speed at which partitions deliver, the same contents are taken in the same order.

#include "ingest/source/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>

namespace millrace {
namespace {

struct Scripted {
  std::string payload;
  std::optional<EventTime> timestamp;
  std::int64_t offset;
};

// Inputs whose records come when the test says so.
struct FakeSource final : Source {
  struct Lane {
    std::vector<Scripted> records;
    std::size_t delivered = 0;  // how many have come
    std::size_t known = 0;      // where the end is thought to be
    std::size_t next = 0;
  };
  std::vector<Input> all;
  std::vector<Lane> lanes;
  std::function<void()> on_wait = [] {};

  std::size_t add_input(const std::string& topic, int partition) {
    all.push_back({topic, partition, ""});
    lanes.emplace_back();
    return lanes.size() - 1;
  }
  void put(std::size_t input, const std::string& payload,
           std::optional<EventTime> timestamp = std::nullopt, bool delivered = true) {
    Lane& lane = lanes[input];
    const auto offset = static_cast<std::int64_t>(3 * lane.records.size());
    lane.records.push_back({payload, timestamp, offset});
    lane.known = lane.records.size();
    if (delivered) lane.delivered = lane.records.size();
  }

  const std::vector<Input>& inputs() const override { return all; }
  Head peek(std::size_t input, Record& record) override {
    const Lane& lane = lanes[input];
    if (lane.next == lane.delivered) {
      return lane.next == lane.known ? Head::kAtEnd : Head::kBehind;
    }
    const Scripted& at = lane.records[lane.next];
    key_ = "key of " + std::to_string(at.offset);
    record = {at.payload, key_, at.offset, at.timestamp};
    return Head::kRecord;
  }
  void take(std::size_t input) override {
    ASSERT_LT(lanes[input].next, lanes[input].delivered);
    ++lanes[input].next;
  }
  std::int64_t position(std::size_t input) const override {
    return static_cast<std::int64_t>(3 * lanes[input].next);
  }
  std::vector<Header> headers(std::size_t input) override {
    return {{"input", std::to_string(input)}};
  }
  void wait(Duration) override { on_wait(); }
  bool confirm_ends() override { return true; }

 private:
  std::string key_;
};

EventTypes event_types() {
  EventTypes types;
  types.impression_topic = "impressions";
  types.has_impressions = true;
  types.outcomes = {{"click", "clicks", Duration{60'000}, false},
                    {"like", "likes", Duration{60'000}, false}};
  return types;
}

std::string event_at(std::int64_t time) {
  return R"({"impression_id": "i", "time": )" + std::to_string(time) + "}";
}

constexpr std::int64_t kNow = 1'764'000'000'000;

struct MergeTest : ::testing::Test {
  const Schema schema{{}, {}};
  const EventTypes types = event_types();
  Decoder decoder{schema, types};
  FakeSource source;
  EventTime now{kNow};
  int clock_calls = 0;
  MergeOptions options{.idle_after = std::nullopt,
                       .max_skew = Duration{10'000},
                       .max_record = 1 << 20,
                       .clock =
                           [this] {
                             ++clock_calls;
                             return now;
                           },
                       .lines = false};

  // (input, offset, whether it is an event) of everything up to the first pause.
  using Took = std::tuple<std::size_t, std::int64_t, bool>;
  std::vector<Took> drain(Merge& merge) {
    std::vector<Took> order;
    while (auto taken = merge.next()) {
      order.emplace_back(taken->input, taken->offset, static_cast<bool>(taken->event));
    }
    return order;
  }
};

// Contents of several inputs, drawn at random: times that run backwards too, ties, and garbage.
void fill_at_random(FakeSource& source, std::mt19937& random) {
  for (const char* topic : {"likes", "impressions", "clicks"}) {
    for (int partition = 0; partition < 3; ++partition) {
      const std::size_t input = source.add_input(topic, partition);
      const std::size_t count = random() % 4 == 0 ? 0 : random() % 60;
      for (std::size_t i = 0; i < count; ++i) {
        const auto time = static_cast<std::int64_t>(i * 10 + random() % 50);
        source.put(input, random() % 20 == 0 ? "garbage" : event_at(time), std::nullopt, false);
      }
    }
  }
}

// By brute force, knowing all contents: what is no event goes at once; of the rest the smallest.
std::vector<std::pair<std::size_t, std::int64_t>> brute_force_order(const FakeSource& source) {
  std::vector<std::pair<std::size_t, std::int64_t>> order;
  std::vector<std::size_t> at(source.lanes.size(), 0);
  auto time_of = [](const std::string& payload) {
    return std::stoll(payload.substr(payload.rfind(' ') + 1));
  };
  while (true) {
    std::optional<std::tuple<long long, std::string, int, std::size_t>> first;
    for (std::size_t input = 0; input < at.size(); ++input) {
      const auto& records = source.lanes[input].records;
      while (at[input] < records.size() && records[at[input]].payload == "garbage") ++at[input];
      if (at[input] == records.size()) continue;
      const std::tuple head{time_of(records[at[input]].payload), source.all[input].topic,
                            source.all[input].partition, input};
      if (!first || head < *first) first = head;
    }
    if (!first) return order;
    const std::size_t input = std::get<3>(*first);
    order.emplace_back(input, source.lanes[input].records[at[input]++].offset);
  }
}

TEST_F(MergeTest, TheOrderDependsOnTheContentsAlone) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    source = FakeSource{};
    fill_at_random(source, random);
    const auto expected = brute_force_order(source);
    std::size_t garbage = 0;
    for (const auto& lane : source.lanes) {
      garbage += static_cast<std::size_t>(
          std::count_if(lane.records.begin(), lane.records.end(),
                        [](const Scripted& record) { return record.payload == "garbage"; }));
    }
    Merge merge(source, decoder, options);
    std::vector<std::pair<std::size_t, std::int64_t>> order;
    std::map<std::size_t, std::int64_t> last;
    std::size_t refused = 0;
    while (true) {
      const auto taken = merge.next();
      if (!taken && merge.all_at_end()) break;
      if (!taken) {  // someone is waited for: something comes, anywhere
        for (auto& lane : source.lanes) {
          lane.delivered += random() % (lane.records.size() - lane.delivered + 1);
        }
        continue;
      }
      ASSERT_TRUE(!last.contains(taken->input) || last[taken->input] < taken->offset);
      last[taken->input] = taken->offset;
      if (taken->event) {
        order.emplace_back(taken->input, taken->offset);
      } else {
        ++refused;
      }
    }
    ASSERT_EQ(order, expected) << "seed " << seed;
    ASSERT_EQ(refused, garbage) << "seed " << seed;
  }
}

TEST_F(MergeTest, TiesGoByTopicThenPartition) {
  const auto likes = source.add_input("likes", 0);
  const auto clicks1 = source.add_input("clicks", 1);
  const auto clicks0 = source.add_input("clicks", 0);
  const auto impressions = source.add_input("impressions", 10);
  const auto impressions9 = source.add_input("impressions", 9);
  for (const auto input : {likes, clicks1, clicks0, impressions, impressions9}) {
    source.put(input, event_at(5));
  }
  Merge merge(source, decoder, options);
  EXPECT_EQ(drain(merge), (std::vector<Took>{{clicks0, 0, true},
                                             {clicks1, 0, true},
                                             {impressions9, 0, true},
                                             {impressions, 0, true},
                                             {likes, 0, true}}));
}

TEST_F(MergeTest, AnInputAtItsEndIsNotWaitedForAndOneBehindIs) {
  const auto a = source.add_input("clicks", 0);
  const auto b = source.add_input("clicks", 1);
  source.put(a, event_at(50));
  Merge merge(source, decoder, options);
  EXPECT_EQ(drain(merge), (std::vector<Took>{{a, 0, true}}));
  EXPECT_TRUE(merge.all_at_end());

  source.put(a, event_at(100));
  source.put(b, event_at(70), std::nullopt, /*delivered=*/false);
  now = EventTime{kNow + 1'000'000};
  EXPECT_FALSE(merge.next());
  EXPECT_FALSE(merge.all_at_end());
  source.lanes[b].delivered = 1;
  EXPECT_EQ(drain(merge), (std::vector<Took>{{b, 0, true}, {a, 3, true}}));
  EXPECT_EQ(merge.left_out(), 0u);
  EXPECT_EQ(clock_calls, 1);  // for the first event's time alone
}

TEST_F(MergeTest, ThePositionMovesWhenARecordIsTakenAndNoSooner) {
  const auto a = source.add_input("clicks", 0);
  const auto b = source.add_input("clicks", 1);
  source.put(a, event_at(1));
  source.put(b, event_at(2));
  Merge merge(source, decoder, options);
  ASSERT_EQ(merge.next()->input, a);
  EXPECT_EQ(source.position(a), 3);
  EXPECT_EQ(source.position(b), 0);
}

TEST_F(MergeTest, OneThatIsBehindAndSilentIsLeftOutUntilItDelivers) {
  const auto a = source.add_input("clicks", 0);
  const auto b = source.add_input("clicks", 1);
  for (int i = 0; i < 3; ++i) source.put(a, event_at(10 + i));
  source.put(b, event_at(5), std::nullopt, /*delivered=*/false);
  options.idle_after = Duration{5'000};
  Merge merge(source, decoder, options);
  EXPECT_FALSE(merge.next());
  now = now + Duration{4'999};
  EXPECT_FALSE(merge.next());
  EXPECT_EQ(merge.left_out(), 0u);
  now = now + Duration{1};
  EXPECT_EQ(merge.next()->input, a);
  EXPECT_EQ(merge.left_out(), 1u);

  source.lanes[b].delivered = 1;
  EXPECT_EQ(merge.next()->input, b);  // it is back, late or not
  source.put(b, event_at(11), std::nullopt, /*delivered=*/false);
  EXPECT_FALSE(merge.next());  // and waited for anew
  now = now + Duration{5'000};
  EXPECT_EQ(drain(merge), (std::vector<Took>{{a, 3, true}, {a, 6, true}}));
  EXPECT_EQ(merge.left_out(), 2u);
  EXPECT_FALSE(merge.all_at_end());
}

TEST_F(MergeTest, WhatIsNoEventIsTakenAtOnceWithAllItHad) {
  const auto a = source.add_input("clicks", 0);
  const auto b = source.add_input("likes", 1);
  source.put(a, event_at(1), std::nullopt, /*delivered=*/false);  // waited for
  source.put(b, "garbage", EventTime{77});
  source.put(b, event_at(1));
  Merge merge(source, decoder, options);
  const auto taken = merge.next();
  ASSERT_TRUE(taken);
  ASSERT_FALSE(taken->event);
  EXPECT_EQ(taken->event.error().reason, Reason::kNotJson);
  EXPECT_EQ(taken->input, b);
  EXPECT_EQ(taken->offset, 0);
  EXPECT_EQ(taken->timestamp, EventTime{77});
  EXPECT_EQ(taken->payload, "garbage");
  EXPECT_EQ(taken->key, "key of 0");
  ASSERT_EQ(taken->headers.size(), 1u);
  EXPECT_EQ(taken->headers[0].value, "1");
  EXPECT_EQ(source.position(b), 3);
  EXPECT_FALSE(merge.next());
}

TEST_F(MergeTest, ARecordFromTheFutureIsRefusedByItsTimestampAndByTheClock) {
  const auto a = source.add_input("clicks", 0);
  auto judged = [&](std::int64_t time, std::optional<EventTime> timestamp) {
    source.put(a, event_at(time), timestamp);
    Merge merge(source, decoder, options);
    const auto taken = merge.next();
    EXPECT_TRUE(taken);
    return taken->event ? std::string("taken")
                        : std::string(to_string(taken->event.error().reason));
  };
  EXPECT_EQ(judged(kNow + 10'000, std::nullopt), "taken");
  EXPECT_EQ(judged(kNow + 10'001, std::nullopt), "time_in_future");
  EXPECT_EQ(judged(kNow - 490'000, EventTime{kNow - 500'000}), "taken");
  EXPECT_EQ(judged(kNow - 489'999, EventTime{kNow - 500'000}), "time_in_future");
  EXPECT_EQ(judged(kNow + 10'001, EventTime{kNow + 500'000}), "time_in_future");
  EXPECT_EQ(judged(253'402'300'799'999, EventTime{253'402'300'799'999}), "time_in_future");
}

TEST_F(MergeTest, TheClockIsAskedOnlyForWhatMayBeInItsFuture) {
  const auto a = source.add_input("clicks", 0);
  for (int i = 0; i < 100; ++i) source.put(a, event_at(kNow - 1000 + i));
  Merge merge(source, decoder, options);
  drain(merge);
  EXPECT_EQ(clock_calls, 1);
  source.put(a, event_at(kNow + 20'000));
  now = now + Duration{15'000};  // time went on since
  EXPECT_TRUE(merge.next()->event);
  EXPECT_EQ(clock_calls, 2);
}

// Reasons have an order, and a time in the future comes before a wrong type.
TEST_F(MergeTest, TheFutureIsJudgedBeforeTheType) {
  const auto a = source.add_input("clicks", 0);
  auto reason_of = [&](const std::string& type, std::int64_t time) {
    source.put(a, R"({"type": ")" + type + R"(", "impression_id": "i", "time": )" +
                      std::to_string(time) + "}");
    Merge merge(source, decoder, options);
    return std::string(to_string(merge.next()->event.error().reason));
  };
  EXPECT_EQ(reason_of("like", kNow), "type_mismatch");
  EXPECT_EQ(reason_of("like", kNow + 10'001), "time_in_future");
  EXPECT_EQ(reason_of("nothing", kNow), "unknown_type");
  EXPECT_EQ(reason_of("nothing", kNow + 10'001), "time_in_future");
}

TEST_F(MergeTest, NewInputsTakeTheirPlaceInTheOrder) {
  const auto a = source.add_input("impressions", 0);
  const auto b = source.add_input("likes", 0);
  source.put(a, event_at(10));
  source.put(b, event_at(10));
  source.put(b, event_at(10));
  Merge merge(source, decoder, options);
  EXPECT_EQ(merge.next()->input, a);
  const auto c = source.add_input("clicks", 5);
  const auto d = source.add_input("impressions", 1);
  source.put(c, event_at(10));
  source.put(d, event_at(10));
  EXPECT_EQ(drain(merge),
            (std::vector<Took>{{c, 0, true}, {d, 0, true}, {b, 0, true}, {b, 3, true}}));
}

TEST_F(MergeTest, LinesOfFilesCarryTheirType) {
  const auto a = source.add_input("file", 0);
  source.put(a, R"({"type": "like", "impression_id": "i", "time": 5})");
  source.put(a, event_at(6));
  options.lines = true;
  Merge merge(source, decoder, options);
  const auto like = merge.next();
  ASSERT_TRUE(like->event);
  EXPECT_EQ(std::get<Outcome>(*like->event).type, 1);
  EXPECT_EQ(merge.next()->event.error().reason, Reason::kMissingField);
}

TEST_F(MergeTest, ATooLargeRecordIsRefused) {
  const auto a = source.add_input("clicks", 0);
  source.put(a, event_at(5) + std::string(2000, ' '));
  options.max_record = 1024;
  Merge merge(source, decoder, options);
  EXPECT_EQ(merge.next()->event.error().reason, Reason::kTooLarge);
}

}  // namespace
}  // namespace millrace
