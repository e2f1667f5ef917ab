// A store that runs for weeks: over thousands of commits with cleanings, closings and lost replies
// the restored state stays exact, and size and number of pieces stay bounded.
#include <gtest/gtest.h>

#include <random>

#include "store/store.h"
#include "tests/store/commits.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

TEST(Cleaning, ThousandsOfCommitsStayExactAndBounded) {
  const TempFolder folder;
  std::mt19937_64 random(17);
  ModelParticipant large("model/large"), small("small");
  ModelParticipant* const all[]{&large, &small};
  // Most of it never changes again.
  for (int i = 0; i < 2000; ++i) large.put(numbered("cold", i), std::string(4000, 'c'));
  auto store = Store::open(folder / "store", Store::Access::kWrite);
  std::uint64_t cleaned = 0;
  for (int i = 0; i < 2500; ++i) {
    large.change(random, 40, 500, 2500);
    small.change(random, 2, 100, 20);
    cleaned += store->cleanings().size();  // asked twice: the second answer is the one that counts
    commit(*store, all);
    ASSERT_LE(store->probe().block_bytes, 5 * store->probe().live_bytes / 2 + (64 << 20));
    ASSERT_LE(store->probe().blocks, 2u * 1100);
    if (i % 500 != 499) continue;
    store.reset();
    store = Store::open(folder / "store", Store::Access::kWrite);
    EXPECT_EQ(restored(*store, "model/large"), large);
    EXPECT_EQ(restored(*store, "small"), small);
    EXPECT_EQ(store->digest(), digest_of(large) + digest_of(small));
  }
  EXPECT_GT(cleaned, 100u) << "the test never cleaned anything";
  EXPECT_EQ(store->probe().live_bytes, large.live_bytes() + small.live_bytes());
}

// Fills a store until pieces are handed out.
std::vector<Cleaning> fill_until_cleaning(Store& store, ModelParticipant& participant) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    participant.change(random, 40, 100, 20'000);
    commit(store, participant);
    auto handed = store.cleanings();
    if (!handed.empty()) return handed;
  }
  ADD_FAILURE() << "nothing was handed out";
  return {};
}

TEST(Cleaning, WhatWasHandedOutStaysUntilTheNextCommit) {
  const TempFolder folder;
  ModelParticipant participant;
  auto store = Store::open(folder / "store", Store::Access::kWrite);
  ASSERT_FALSE(fill_until_cleaning(*store, participant).empty());
  const auto pieces = store->summarize().sets.at(0).pieces;
  store.reset();  // the process ends before the commit
  store = Store::open(folder / "store", Store::Access::kWrite);
  EXPECT_EQ(store->summarize().sets.at(0).pieces, pieces);
  EXPECT_EQ(restored(*store), participant);
}

TEST(Cleaning, ACommitWithoutTheOwnerDeletesNothingOfIt) {
  const TempFolder folder;
  ModelParticipant participant, other("other");
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  ASSERT_FALSE(fill_until_cleaning(*store, participant).empty());
  other.put("a", "b");
  commit(*store, other);
  EXPECT_EQ(restored(*store), participant);
}

TEST(Cleaning, WhatIsHandedOutIsTheOldestAndInOrder) {
  const TempFolder folder;
  ModelParticipant participant;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  const auto handed = fill_until_cleaning(*store, participant);
  std::uint64_t next = 1;
  for (const Cleaning& one : handed) {
    EXPECT_EQ(one.participant, "model/test");
    EXPECT_EQ(one.set, "entries");
    EXPECT_EQ(one.sequence, next++) << "each commit had one piece";
  }
}

}  // namespace
}  // namespace millrace
