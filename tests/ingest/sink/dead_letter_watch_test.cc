// Learning pauses when half of the last records are dead letters, goes on when fewer than a quarter
// are, and a restart anywhere changes neither moment.
#include "ingest/sink/dead_letter_watch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>

#include "tests/support/state_log.h"

namespace millrace {
namespace {

TEST(DeadLetterWatch, FollowsTheShareOfTheLastRecords) {
  for (const int records : {7, 64, 1000}) {
    std::mt19937_64 random(static_cast<std::uint64_t>(records));
    const DeadLetterGuardOptions options{.share = 0.5, .records = records};
    auto watch = std::make_unique<DeadLetterWatch>(options);
    StateLog log;
    std::deque<bool> last;
    bool paused = false;
    int pauses = 0;
    for (int i = 0; i < 40 * records; ++i) {
      const double rate = i / (5 * records) % 2 == 0 ? 0.05 : 0.8;
      const bool dead = std::uniform_real_distribution<double>()(random) < rate;
      watch->take(dead);
      last.push_back(dead);
      if (last.size() > static_cast<std::size_t>(records)) last.pop_front();
      const auto count = std::count(last.begin(), last.end(), true);
      const bool full = last.size() == static_cast<std::size_t>(records);
      const bool was = paused;
      paused = was ? count * 4 >= records : full && count * 2 >= records;
      pauses += paused && !was ? 1 : 0;
      ASSERT_EQ(watch->paused(), paused) << records << " " << i;
      if (random() % 97 != 0) continue;
      log.commit(*watch);
      watch = std::make_unique<DeadLetterWatch>(options);
      log.restore(*watch);
    }
    EXPECT_GE(pauses, 3) << records;
  }
}

TEST(DeadLetterWatch, APoisonedHundredthIsNoReason) {
  std::mt19937_64 random(1);
  DeadLetterWatch watch(DeadLetterGuardOptions{});
  for (int i = 0; i < 200'000; ++i) {
    watch.take(random() % 100 == 0);
    ASSERT_FALSE(watch.paused());
  }
}

TEST(DeadLetterWatch, TurnedOffItNeverPauses) {
  DeadLetterWatch watch(DeadLetterGuardOptions{.enabled = false});
  for (int i = 0; i < 5'000; ++i) watch.take(true);
  EXPECT_FALSE(watch.paused());
}

}  // namespace
}  // namespace millrace
