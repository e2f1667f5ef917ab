// Which rows `erase_older` drops, against a look at every row: it passes over what it knows to be
// young. And what rows take of the machine's memory is what they say.
#include "learner/embedding/keyed_rows.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
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

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0;
  file >> pages >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// As a table grows that is committed as it goes: the bytes of a commit come and go between.
TEST(KeyedRows, TakeTheMemoryThatTheySay) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer has an allocator, and memory, of its own";
#endif
  for (const int width : {8, 32, 49}) {
    const double before = resident_bytes();
    KeyedRows rows(width);
    for (std::uint64_t commit = 1; commit <= 12; ++commit) {
      for (std::uint64_t i = 0; i < 50'000; ++i) {
        const KeyedRows::Row row = rows.insert(mix_bits(commit * 50'000 + i));
        std::fill_n(rows.values(row), width, 1.0F);
        rows.touch(row);
      }
      StateChanges changes;
      rows.save("rows", commit, {}, changes);
    }
    const auto counted = static_cast<double>(rows.bytes());
    constexpr double kOneCommit = 50'000 * 300.0;
    EXPECT_LT(resident_bytes() - before, 1.05 * counted + kOneCommit) << width;
  }
}

}  // namespace
}  // namespace millrace
