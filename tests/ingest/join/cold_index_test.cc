// The index of what lies in the store: it finds every entry that was put, at any size, after any
// removals, and hardly ever one that was not; and it stays small.
#include "ingest/join/cold_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "learner/base/hash.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

std::uint64_t place(std::uint64_t i) { return ColdIndex::place_of(mix_bits(i + 1)); }

std::multiset<std::uint32_t> found(const ColdIndex& index, std::uint64_t at) {
  std::multiset<std::uint32_t> slots;
  index.for_each(at, [&](std::uint32_t slot) { slots.insert(slot); });
  return slots;
}

TEST(ColdIndex, EqualsAMultimapWhateverHappens) {
  // Few places, so that lines overflow and entries are there twice; many, so that tables grow.
  for (const std::uint64_t places : {3ULL, 1000ULL, 1'000'000ULL}) {
    ColdIndex index;
    std::multimap<std::uint64_t, std::uint32_t> all;
    std::vector<std::pair<std::uint64_t, std::uint32_t>> list;
    std::uint32_t slots = 1;
    index.use_slots(slots);
    for (std::uint64_t step = 0; step < 60'000; ++step) {
      const auto r = philox(7, places, step);
      const bool growing = step / 15'000 % 2 == 0;
      if (r[3] % 500 == 0) index.use_slots(slots = std::max(slots, r[0] % 3000 + 1));
      if (list.empty() || r[0] % 10 < (growing ? 8U : 2U)) {
        const std::uint64_t at = place(r[1] % places);
        const std::uint32_t slot = r[2] % slots;
        index.insert(at, slot);
        all.emplace(at, slot);
        list.emplace_back(at, slot);
      } else {
        std::swap(list[r[1] % list.size()], list.back());
        const auto [at, slot] = list.back();
        list.pop_back();
        index.remove(at, slot);
        auto [one, end] = all.equal_range(at);
        while (one->second != slot) ++one;
        all.erase(one);
      }
      ASSERT_EQ(index.size(), all.size());
      if (step % 7 != 0) continue;
      const std::uint64_t at = place(r[1] % places);
      std::multiset<std::uint32_t> expected;
      const auto [from, to] = all.equal_range(at);
      for (auto one = from; one != to; ++one) expected.insert(one->second);
      const auto got = found(index, at);
      // Another place may look the same, seldom; what is there is found in any case.
      ASSERT_TRUE(std::includes(got.begin(), got.end(), expected.begin(), expected.end()));
    }
  }
}

TEST(ColdIndex, IsSmallAndHardlyEverWrong) {
  ColdIndex index;
  constexpr std::uint64_t kEntries = 3'000'000, kPerBlock = 45;
  std::uint64_t most = 0;
  for (std::uint64_t i = 0; i < kEntries; ++i) {
    const auto slot = static_cast<std::uint32_t>(i / kPerBlock);
    if (i % kPerBlock == 0) index.use_slots(slot + 1);
    index.insert(place(i), slot);
    if (i > 100'000 && i % 10'000 == 0) most = std::max(most, 100 * index.memory_bytes() / i);
  }
  EXPECT_LT(most, 850u) << "hundredths of bytes an entry";
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < kEntries; i += 100) {
    ASSERT_TRUE(found(index, place(i)).contains(static_cast<std::uint32_t>(i / kPerBlock)));
  }
  for (std::uint64_t i = kEntries; i < kEntries + 1'000'000; ++i) {
    wrong += found(index, place(i)).size();
  }
  EXPECT_LT(wrong, 1000u);  // 3 million / 2³³ of a million is 350
  const std::uint64_t full = index.memory_bytes();
  for (std::uint64_t i = 0; i < kEntries; ++i) {
    index.remove(place(i), static_cast<std::uint32_t>(i / kPerBlock));
  }
  EXPECT_EQ(index.size(), 0u);
  index.use_slots(0);
  index.use_slots(1);
  index.insert(place(1), 0);
  index.remove(place(1), 0);
  EXPECT_LT(index.memory_bytes(), full);
}

}  // namespace
}  // namespace millrace
