// Back-pressure, closing, and that nothing is lost or doubled between threads.
#include "learner/base/queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace millrace {
namespace {

using std::chrono::milliseconds;

TEST(BoundedQueue, RefusesWhenFullAndKeepsTheItem) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  auto one = std::make_unique<int>(1), two = std::make_unique<int>(2);
  EXPECT_TRUE(queue.try_push(one));
  EXPECT_FALSE(queue.try_push(two));
  ASSERT_TRUE(two);
  EXPECT_EQ(**queue.pop(), 1);
  EXPECT_FALSE(queue.pop_for(milliseconds{1}));
}

TEST(BoundedQueue, ClosedItEmptiesWhatIsLeft) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.push(1));
  queue.close();
  EXPECT_FALSE(queue.push(2));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_FALSE(queue.pop());
}

TEST(BoundedQueue, CloseWakesWhoWaits) {
  BoundedQueue<int> full(1), empty(1);
  ASSERT_TRUE(full.push(1));
  std::thread pusher([&] { EXPECT_FALSE(full.push(2)); });
  std::thread popper([&] { EXPECT_FALSE(empty.pop()); });
  full.close();
  empty.close();
  pusher.join();
  popper.join();
}

TEST(BoundedQueue, ManyThreadsLoseNothing) {
  constexpr int kThreads = 3, kEach = 5'000;
  BoundedQueue<int> queue(7);
  std::atomic<long> sum{0};
  std::atomic<int> count{0};
  std::vector<std::thread> producers, consumers;
  for (int t = 0; t < kThreads; ++t) {
    producers.emplace_back([&] {
      for (int i = 1; i <= kEach; ++i) queue.push(i);
    });
    consumers.emplace_back([&] {
      while (const auto item = queue.pop()) {
        sum += *item;
        ++count;
      }
    });
  }
  for (std::thread& thread : producers) thread.join();
  queue.close();
  for (std::thread& thread : consumers) thread.join();
  EXPECT_EQ(count, kThreads * kEach);
  EXPECT_EQ(sum, long{kThreads} * kEach * (kEach + 1) / 2);
}

}  // namespace
}  // namespace millrace
