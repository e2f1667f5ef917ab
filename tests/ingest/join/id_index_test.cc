// An index of ids finds exactly what is in it, also where hashes collide, while it grows and
// shrinks.
#include "ingest/join/id_index.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/join_histories.h"

namespace millrace {
namespace {

// Slot s holds the id number s; hashes of `bits` bits collide as often as one wants.
TEST(IdIndex, FindsExactlyWhatIsIn) {
  for (const int bits : {0, 3, 8, 32}) {
    Dice dice(static_cast<std::uint64_t>(bits));
    const auto hash = [&](std::uint32_t id) {
      return bits == 0 ? 0 : (std::uint64_t{id} * 0x9e3779b97f4a7c15ULL) >> (64 - bits);
    };
    const int ids = bits < 8 ? 300 : 6000;
    IdIndex index;
    std::map<std::uint32_t, bool> in;
    for (int i = 0; i < 20'000; ++i) {
      const auto id = static_cast<std::uint32_t>(dice.below(ids));
      // Grows for a while, then shrinks.
      const bool wanted = dice.chance(i < 12'000 ? 0.7 : 0.2);
      const std::uint32_t found = index.find(hash(id), [&](std::uint32_t s) { return s == id; });
      ASSERT_EQ(found, in[id] ? id : IdIndex::kNone);
      if (wanted && !in[id]) index.insert(hash(id), id);
      if (!wanted && in[id]) index.erase(hash(id), id);
      in[id] = wanted;
    }
    std::size_t size = 0;
    for (const auto& [id, there] : in) {
      size += there ? 1 : 0;
      ASSERT_EQ(index.find(hash(id), [id = id](std::uint32_t s) { return s == id; }),
                there ? id : IdIndex::kNone);
    }
    EXPECT_EQ(index.size(), size);
    std::size_t visited = 0;
    index.for_each([&](std::uint32_t slot) { visited += in[slot] ? 1 : 0; });
    EXPECT_EQ(visited, size);
  }
}

}  // namespace
}  // namespace millrace
