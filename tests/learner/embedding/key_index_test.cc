// The index against a plain map, with hashes that share segments, buckets and whole tags.
#include "learner/embedding/key_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace millrace {
namespace {

/// Hashes of few segments whose lower halves are few, or crowd the end of a segment, so that
/// buckets overflow, also from the last one to the first.
std::uint64_t crowded_hash(std::mt19937_64& random) {
  const std::uint64_t segment = random() % 2 << 58;
  const std::uint32_t tag = random() % 3 == 0
                                ? 0xffffff00U + static_cast<std::uint32_t>(random() % 256)
                                : static_cast<std::uint32_t>(random() % 400) << 20;
  return segment | tag;
}

TEST(KeyIndex, FindsWhatAPlainMapHolds) {
  std::mt19937_64 random(1);
  KeyIndex index;
  std::multimap<std::uint64_t, std::uint32_t> plain;  // hash → row
  std::uint32_t next_row = 0;
  for (int step = 0; step < 60'000; ++step) {
    // Grows to some thousand entries and shrinks again, twice.
    const bool grows = step / 15'000 % 2 == 0;
    if (plain.empty() || random() % 10 < (grows ? 7U : 3U)) {
      const std::uint64_t hash = crowded_hash(random);
      index.insert(hash, next_row);
      plain.emplace(hash, next_row++);
    } else {
      const auto gone = std::next(
          plain.begin(), static_cast<long>(random() % std::min<std::size_t>(plain.size(), 50)));
      index.erase(gone->first, gone->second);
      plain.erase(gone);
    }
    if (step % 500 != 0) continue;
    for (const auto& [hash, row] : plain) {
      ASSERT_EQ(index.find(hash, [&, row = row](std::uint32_t r) { return r == row; }), row);
    }
    for (int absent = 0; absent < 100; ++absent) {
      const std::uint64_t hash = random();
      if (plain.contains(hash)) continue;
      const std::uint32_t found = index.first_match(hash);
      // Another hash of the segment with the same lower half at most.
      ASSERT_TRUE(found == KeyIndex::kNone || found < next_row);
      ASSERT_EQ(index.find(hash, [](std::uint32_t) { return false; }), KeyIndex::kNone);
    }
  }
  index.clear();
  EXPECT_EQ(index.first_match(crowded_hash(random)), KeyIndex::kNone);
}

}  // namespace
}  // namespace millrace
