// The serving table is a map from key to row: held against std::map under random insertions and
// erasures, with keys that collide on purpose.
#include "learner/publish/row_table.h"

#include <gtest/gtest.h>

#include <map>

#include "learner/base/hash.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

// Keys whose home is the same slot in every table of up to 2^16 slots: the inverse of the
// multiplier turns equal upper bits into different keys.
std::uint64_t colliding_key(std::uint64_t n) {
  std::uint64_t inverse = 1;
  for (int i = 0; i < 6; ++i) inverse *= 2 - 0x9E3779B97F4A7C15ULL * inverse;
  return ((std::uint64_t{0xABC} << 48) + n + 1) * inverse;
}

void compare_with_map(std::uint64_t (*key_of)(std::uint64_t), std::uint64_t seed) {
  constexpr int kDimension = 3;
  RowTable table(kDimension);
  std::map<std::uint64_t, float> oracle;
  for (std::uint64_t i = 0; i < 30'000; ++i) {
    const auto numbers = philox(seed, 0, i);
    const std::uint64_t key = key_of(numbers[0] % 500);
    if (numbers[1] % 5 < 2) {
      table.erase(key);
      oracle.erase(key);
    } else {
      const auto value = static_cast<float>(i);
      float* row = table.insert(key);
      for (int d = 0; d < kDimension; ++d) row[d] = value;
      oracle[key] = value;
    }
    ASSERT_EQ(table.rows(), oracle.size());
    if (i % 1000 != 0) continue;
    for (std::uint64_t n = 0; n < 500; ++n) {
      const float* row = table.find(key_of(n));
      const auto at = oracle.find(key_of(n));
      ASSERT_EQ(row != nullptr, at != oracle.end()) << "key " << n << " after step " << i;
      if (row == nullptr) continue;
      for (int d = 0; d < kDimension; ++d) ASSERT_EQ(row[d], at->second);
    }
  }
}

TEST(RowTable, IsAMapForSpreadKeys) {
  compare_with_map([](std::uint64_t n) { return mix_bits(n + 1); }, 1);
}
TEST(RowTable, IsAMapForConsecutiveKeys) {
  compare_with_map([](std::uint64_t n) { return n + 1; }, 2);
}
TEST(RowTable, IsAMapForKeysThatCollide) { compare_with_map(colliding_key, 3); }

TEST(RowTable, ACopyHasTheSameRowsAndIsChangedAlone) {
  constexpr std::size_t kRows = 5000;
  std::vector<std::uint64_t> keys;
  std::vector<float> rows;
  for (std::uint64_t n = 1; n <= kRows; ++n) {
    keys.push_back(mix_bits(n));
    rows.push_back(static_cast<float>(n));
    rows.push_back(-static_cast<float>(n));
  }
  RowTable table(2), copy(2);
  table.put(keys, rows.data());
  for (std::size_t k = 0; k < kRows; k += 3) table.erase(keys[k]);
  copy.insert(77);  // goes
  copy.copy(table);
  ASSERT_EQ(copy.rows(), table.rows());
  EXPECT_EQ(copy.find(77), nullptr);
  for (std::size_t k = 0; k < kRows; ++k) {
    const float* row = copy.find(keys[k]);
    ASSERT_EQ(row == nullptr, k % 3 == 0) << k;
    if (row != nullptr) {
      ASSERT_EQ(row[1], -static_cast<float>(k + 1));
    }
  }
  copy.insert(keys[0])[0] = 5;  // one of the free rows
  copy.insert(keys[1])[0] = 6;
  EXPECT_EQ(table.find(keys[0]), nullptr);
  EXPECT_EQ(table.find(keys[1])[0], 2);
}

TEST(RowTable, MemoryFollowsTheRowsThatLiveNotThoseThatLived) {
  RowTable table(8);
  for (std::uint64_t n = 1; n <= 1000; ++n) table.insert(n);
  const std::size_t bytes = table.bytes();
  for (std::uint64_t n = 1; n <= 100'000; ++n) {
    table.erase(n);
    table.insert(n + 1000);
  }
  EXPECT_EQ(table.rows(), 1000U);
  EXPECT_LE(table.bytes(), bytes + 1024 * sizeof(std::uint32_t));
  table.clear();
  EXPECT_EQ(table.rows(), 0U);
  EXPECT_LT(table.bytes(), 1024U);
  EXPECT_EQ(table.find(5), nullptr);
}

TEST(RowTable, RowsKeepTheirAddressWhileTheIndexGrows) {
  RowTable table(2);
  float* row = table.insert(7);
  row[0] = 42;
  for (std::uint64_t n = 100; n < 50'000; ++n) table.insert(n);
  EXPECT_EQ(table.find(7), row);
  EXPECT_EQ(row[0], 42);
}

TEST(RowTable, MissingHasNoRow) {
  RowTable table(2);
  table.insert(1);
  EXPECT_EQ(table.find(0), nullptr);
  table.erase(0);
  EXPECT_EQ(table.rows(), 1U);
}

}  // namespace
}  // namespace millrace
