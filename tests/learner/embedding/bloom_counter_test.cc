// Counts are never too low, hardly ever too high, fade with the periods, and come back from `undo`
// and from the store.
#include "learner/embedding/bloom_counter.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "learner/base/hash.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

struct Saved final : Participant {
  BloomCounter& counter;
  explicit Saved(BloomCounter& c) : counter(c) {}
  std::string participant_name() const override { return "counter"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override {
    StateChanges changes;
    counter.save("counters", sequence, cleanings, changes);
    return changes;
  }
  void restore_value(std::string_view, std::string_view) override {}
  void restore_block(std::string_view, std::uint64_t sequence, std::string_view bytes) override {
    counter.restore(sequence, bytes);
  }
  void restored() override {}
};

int count(BloomCounter& counter, std::uint64_t key, std::uint32_t period = 0) {
  counter.begin(period);
  const int result = counter.count(key);
  counter.keep();
  return result;
}

TEST(BloomCounter, IsNeverTooLowAndAtEightBytesAKeyHardlyEverTooHigh) {
  constexpr std::uint64_t kKeys = 50'000;
  BloomCounter counter(8 * kKeys);
  int high = 0;
  for (std::uint64_t key = 1; key <= kKeys; ++key) {
    const int first = count(counter, key);
    ASSERT_GE(first, 1);
    high += first > 1 ? 1 : 0;
  }
  EXPECT_LT(high, static_cast<int>(kKeys / 100));
  EXPECT_GT(high, 0);  // it is a filter
  for (std::uint64_t key = 1; key <= kKeys; ++key) ASSERT_GE(count(counter, key), 2);
}

TEST(BloomCounter, CountsToItsMost) {
  BloomCounter counter(64 * 1024);
  for (int i = 1; i < 40; ++i) EXPECT_EQ(count(counter, 7), std::min(i, BloomCounter::kMost));
}

// With room enough a count is exact: occurrences, halved for each period that passed.
TEST(BloomCounter, MatchesPlainCountsAndSurvivesTheStore) {
  constexpr std::uint64_t kBytes = 1 << 20, kKeys = 60;
  BloomCounter counter(kBytes);
  std::map<std::uint64_t, std::pair<int, std::uint32_t>> plain;
  std::mt19937_64 random(5);
  StateLog log;
  Saved saved(counter);
  std::uint32_t period = 3;
  for (int step = 0; step < 800; ++step) {
    if (random() % 12 == 0) period += static_cast<std::uint32_t>(1 + random() % 3);
    counter.begin(period);
    for (int i = 0; i < 5; ++i) counter.count(1 + random() % kKeys);
    counter.undo();
    counter.begin(period);
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t key = 1 + random() % kKeys;
      auto& [seen, at] = plain[key];
      seen = std::min((seen >> std::min(period - at, 4U)) + 1, BloomCounter::kMost);
      at = period;
      ASSERT_EQ(counter.count(key), seen) << "key " << key << " step " << step;
    }
    counter.keep();
    if (random() % 5 == 0) log.commit(saved, random() % 3);
  }
  log.commit(saved, 2);
  BloomCounter again(kBytes);
  Saved into(again);
  log.restore(into);
  EXPECT_EQ(log.entries().size(), log.live_bytes("counters") / (1 + 4 + 8 + 4 + 60));
  for (const auto& [key, seen] : plain) {
    const int expected =
        std::min((seen.first >> std::min(period - seen.second, 4U)) + 1, BloomCounter::kMost);
    EXPECT_EQ(count(again, key, period), expected);
    EXPECT_EQ(count(counter, key, period), expected);
  }
  EXPECT_EQ(state_of(into), state_of(saved));
}

TEST(BloomCounter, DamageIsRefused) {
  BloomCounter counter(64 * 4);
  EntryWriter writer;
  writer.put("12345678", "short");
  EXPECT_THROW(counter.restore(1, writer.take()), StateError);
  const std::uint64_t beyond = 4;
  writer.put({reinterpret_cast<const char*>(&beyond), 8}, std::string(60, '\0'));
  EXPECT_THROW(counter.restore(1, writer.take()), StateError);
}

}  // namespace
}  // namespace millrace
