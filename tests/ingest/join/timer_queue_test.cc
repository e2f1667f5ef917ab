// Timers come out in the order of their due times whatever the order in which they were set, all of
// one due time together; also when one is set before those already taken.
#include "ingest/join/timer_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/support/join_histories.h"

namespace millrace {
namespace {

// The same by a sorted map.
using Expected = std::map<EventTime, std::multiset<std::uint32_t>>;

void take_and_compare(TimerQueue& queue, Expected& expected) {
  ASSERT_FALSE(queue.empty());
  ASSERT_EQ(queue.earliest(), expected.begin()->first);
  std::vector<Timer> taken;
  queue.take_earliest(taken);
  std::multiset<std::uint32_t> slots;
  for (const Timer& timer : taken) {
    EXPECT_EQ(timer.due, expected.begin()->first);
    slots.insert(timer.slot);
  }
  EXPECT_EQ(slots, expected.begin()->second);
  expected.erase(expected.begin());
}

TEST(TimerQueue, ComesOutInOrder) {
  for (const int span : {3, 1000, 1'000'000}) {
    for (int seed = 0; seed < 20; ++seed) {
      Dice dice(static_cast<std::uint64_t>(seed));
      TimerQueue queue;
      Expected expected;
      std::int64_t floor = 1'764'000'000'000;
      for (std::uint32_t i = 0; i < 2000; ++i) {
        const EventTime due{floor + dice.below(span)};
        queue.set({due, i});
        expected[due].insert(i);
        while (!expected.empty() && dice.chance(0.4)) {
          floor = expected.begin()->first.ms;
          take_and_compare(queue, expected);
        }
      }
      while (!expected.empty()) take_and_compare(queue, expected);
      EXPECT_TRUE(queue.empty());
      EXPECT_EQ(queue.earliest(), EventTime::after_all());
    }
  }
}

TEST(TimerQueue, OneMayBeSetBeforeThoseTaken) {
  Dice dice(7);
  TimerQueue queue;
  Expected expected;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    const EventTime due{dice.below(1000) - 500};
    queue.set({due, i});
    expected[due].insert(i);
    if (dice.chance(0.3)) take_and_compare(queue, expected);
  }
  while (!expected.empty()) take_and_compare(queue, expected);
}

TEST(TimerQueue, TheLatestMayBeTakenToo) {
  Dice dice(8);
  for (int round = 0; round < 50; ++round) {
    TimerQueue queue;
    Expected expected;
    const int span = 1 + dice.below(5000);
    std::int64_t now = 0;
    for (std::uint32_t i = 0; i < 500; ++i) {
      const EventTime due{now + dice.below(span)};
      queue.set({due, i});
      expected[due].insert(i);
      if (dice.chance(0.3)) {
        now = expected.begin()->first.ms;
        take_and_compare(queue, expected);
      }
      if (queue.empty() || !dice.chance(0.1)) continue;
      std::vector<Timer> latest;
      const auto count = static_cast<std::size_t>(1 + dice.below(20));
      const std::size_t before = queue.size();
      queue.take_latest(count, latest);
      ASSERT_EQ(latest.size(), std::min(count, before));
      EventTime least = EventTime::after_all();
      for (const Timer& timer : latest) {
        ASSERT_EQ(expected[timer.due].erase(timer.slot), 1u);
        if (expected[timer.due].empty()) expected.erase(timer.due);
        least = std::min(least, timer.due);
      }
      ASSERT_TRUE(expected.empty() || expected.rbegin()->first <= least);
      ASSERT_EQ(queue.earliest(),
                expected.empty() ? EventTime::after_all() : expected.begin()->first);
    }
    while (!expected.empty()) take_and_compare(queue, expected);
    EXPECT_TRUE(queue.empty());
  }
}

TEST(TimerQueue, MemoryIsGivenBack) {
  TimerQueue queue;
  std::vector<Timer> taken;
  for (std::uint32_t i = 0; i < 1'000'000; ++i) queue.set({{1'000'000 + i / 10}, i});
  const std::uint64_t full = queue.memory_bytes();
  while (!queue.empty()) queue.take_earliest(taken);
  EXPECT_LT(queue.memory_bytes(), full / 10);
}

}  // namespace
}  // namespace millrace
