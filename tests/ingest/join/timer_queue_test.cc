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
