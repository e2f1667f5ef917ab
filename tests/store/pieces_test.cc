// A block cut into pieces is the same entries in the same order, none of them cut.
#include "store/pieces.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "learner/base/state.h"

namespace millrace {
namespace {

TEST(Pieces, AreTheBlockCutBetweenEntries) {
  std::mt19937_64 random(11);
  for (const std::size_t size : {1, 10, 100, 1000, 100'000}) {
    EntryWriter writer;
    for (int i = 0; i < 500; ++i) {
      const std::string key = std::to_string(random() % 50);
      if (random() % 3 == 0) {
        writer.erase(key);
      } else {
        writer.put(key, std::string(random() % 60, 'v'));
      }
    }
    const std::string block = writer.take();
    std::string joined;
    const auto pieces = cut_into_pieces(block, size);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      EXPECT_FALSE(pieces[i].empty());
      if (i + 1 < pieces.size()) {
        EXPECT_GE(pieces[i].size(), size);
      }
      EXPECT_LT(pieces[i].size(), size + 80);
      EntryReader reader(pieces[i]);
      for (EntryReader::Entry entry; reader.next(entry);) {
      }  // throws where an entry was cut
      joined += pieces[i];
    }
    EXPECT_EQ(joined, block);
  }
}

TEST(Pieces, AnEmptyBlockHasNone) { EXPECT_TRUE(cut_into_pieces("").empty()); }

TEST(Pieces, ALargeBlockThatIsNoneIsRefused) {
  EXPECT_THROW(cut_into_pieces(std::string(100, '\x01'), 10), StateError);
}

}  // namespace
}  // namespace millrace
