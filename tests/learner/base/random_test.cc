// Random numbers and hashes that stored state relies on: they may never change.
#include "learner/base/random.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>
#include <string>

#include "learner/base/hash.h"

namespace millrace {
namespace {

// Known answers of Random123 for Philox-4x32-10.
TEST(Philox, KnownAnswers) {
  const auto zero = philox(0, 0, 0);
  EXPECT_EQ(zero, (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const auto ones = philox(~0ULL, ~0ULL, ~0ULL);
  EXPECT_EQ(ones, (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Normal, HasTheMomentsOfOne) {
  double sum = 0, squares = 0, fourth = 0;
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i) {
    const auto bits = philox(3, 1, static_cast<std::uint64_t>(i));
    for (const double x : to_normal(bits[0], bits[1])) {
      ASSERT_TRUE(std::isfinite(x));
      sum += x;
      squares += x * x;
      fourth += x * x * x * x;
    }
  }
  EXPECT_NEAR(sum / (2 * kCount), 0, 0.01);
  EXPECT_NEAR(squares / (2 * kCount), 1, 0.015);
  EXPECT_NEAR(fourth / (2 * kCount), 3, 0.1);
  EXPECT_TRUE(std::isfinite(to_normal(0, 0)[0]) && std::isfinite(to_normal(~0U, ~0U)[0]));
}

TEST(Hash, IsTheSameForEver) {
  const std::string text = "The quick brown fox jumps over the lazy dog";
  EXPECT_NE(hash_bytes(text), hash_bytes(text, 1));
  EXPECT_NE(hash_bytes(""), hash_bytes(std::string_view("\0", 1)));
  EXPECT_EQ(hash_bytes(""), 0x6cbf6db2363077d9ULL);
  EXPECT_EQ(hash_bytes("a", 7), 0xefdc48d03e8d9840ULL);
  EXPECT_EQ(hash_bytes(text, 7), 0x4452e49f0c0c40d6ULL);
}

// No two of many short keys share a hash, at every length around the blocks of 8 and 16 bytes.
TEST(Hash, TellsShortKeysApartAndSpreadsTheirBits) {
  std::set<std::uint64_t> seen;
  std::size_t count = 0;
  double flipped = 0;
  for (std::size_t length = 0; length <= 40; ++length) {
    std::string key(length, 'x');
    seen.insert(hash_bytes(key));
    ++count;
    for (std::size_t at = 0; at < length; ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string other = key;
        other[at] = static_cast<char>(other[at] ^ (1 << bit));
        seen.insert(hash_bytes(other));
        flipped += std::popcount(hash_bytes(other) ^ hash_bytes(key));
        ++count;
      }
    }
  }
  EXPECT_EQ(seen.size(), count);
  EXPECT_NEAR(flipped / static_cast<double>(count), 32, 0.5);
}

}  // namespace
}  // namespace millrace
