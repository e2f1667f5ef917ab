// Which rows `erase_older` drops, against a look at every row: it passes over what it knows to be
// young.
#include "learner/embedding/keyed_rows.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "learner/base/hash.h"

namespace millrace {
namespace {

TEST(KeyedRows, ErasesExactlyTheOldRows) {
  constexpr std::uint32_t kAge = 40;
  std::mt19937_64 random(3);
  KeyedRows rows(1);
  std::map<std::uint64_t, std::uint32_t> seen;
  const auto see = [&](std::uint64_t key, std::uint32_t second) {
    const KeyedRows::Row row = rows.find(key);
    rows.seen(row == KeyedRows::kNone ? rows.insert(key) : row) = second;
    seen[key] = second;
  };
  std::uint64_t dropped = 0;
  // Begins before the count of seconds wraps around.
  for (std::uint32_t now = 0xffffff00U; now != 600; ++now) {
    // Some thousand keys of three kinds: always there, now and then, and once.
    for (int i = 0; i < 60; ++i) see(mix_bits(1 + random() % 600), now);
    for (int i = 0; i < 60; ++i) see(mix_bits(10'000 + random() % 3'000), now);
    for (int i = 0; i < 20; ++i) see(random() | 1, now);
    if (random() % 50 == 0) {
      rows.doubt_ages();
      for (int i = 0; i < 50; ++i) see(mix_bits(1 + random() % 600), now - 30);
    }
    if (random() % 3 != 0) continue;
    const std::uint64_t erased = rows.erase_older(now, kAge);
    std::uint64_t expected = 0;
    for (auto at = seen.begin(); at != seen.end();) {
      const bool old = now - at->second >= kAge;
      ASSERT_EQ(rows.find(at->first) == KeyedRows::kNone, old);
      expected += old ? 1 : 0;
      at = old ? seen.erase(at) : std::next(at);
    }
    ASSERT_EQ(erased, expected);
    ASSERT_EQ(rows.size(), seen.size());
    dropped += erased;
  }
  EXPECT_GT(dropped, 5'000U);
  EXPECT_GT(rows.size(), 2'000U);
}

}  // namespace
}  // namespace millrace
