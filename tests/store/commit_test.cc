// What was committed comes back: whatever the changes, however often the store is opened again,
// and seen by a reader beside the writer as by the writer itself.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "store/store.h"
#include "tests/store/commits.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

TEST(Store, ANewStoreIsEmpty) {
  const TempFolder folder;
  const auto store = Store::open(folder / "a/b/store", Store::Access::kWrite);
  EXPECT_EQ(store->sequence(), 0u);
  EXPECT_TRUE(store->participants().empty());
  EXPECT_EQ(store->digest(), 0u);
  EXPECT_EQ(restored(*store).times_restored(), 0);
  EXPECT_TRUE(store->cleanings().empty());
  EXPECT_TRUE(store->snapshots().empty());
}

TEST(Store, RandomCommitsComeBackAfterEveryReopening) {
  const TempFolder folder;
  std::mt19937_64 random(7);
  ModelParticipant a("model/a"), ab("model/ab"), join("join");
  ModelParticipant* const all[]{&a, &ab, &join};
  for (int round = 0; round < 30; ++round) {
    const auto store = Store::open(folder / "store", Store::Access::kWrite);
    for (ModelParticipant* one : all) {
      EXPECT_EQ(restored(*store, one->participant_name()), *one);
    }
    for (int i = 0; i < 10; ++i) {
      for (ModelParticipant* one : all) one->change(random, 50, 300, 40);
      commit(*store, all);
    }
    EXPECT_EQ(store->sequence(), static_cast<std::uint64_t>(10 * (round + 1)));
    EXPECT_EQ(store->digest(), digest_of(a) + digest_of(ab) + digest_of(join));
    EXPECT_EQ(store->participants(), (std::vector<std::string>{"join", "model/a", "model/ab"}));
    EXPECT_EQ(store->value("model/a", "count"), a.values().at("count").first);
    EXPECT_EQ(store->value("model/a", "none"), std::nullopt);
  }
}

TEST(Store, TheDigestDependsOnEntriesAloneNotOnOrderPlaceOrPositions) {
  const TempFolder folder;
  std::map<std::string, std::string> entries;
  for (int i = 0; i < 100; ++i) entries[numbered("k", i)] = std::to_string(i * i);

  const auto one = Store::open(folder / "one", Store::Access::kWrite);
  ModelParticipant at_once;
  for (const auto& [key, value] : entries) at_once.put(key, value);
  at_once.put_value("position", "1", false);
  at_once.put_value("steps", "9");
  commit(*one, at_once);

  const auto two = Store::open(folder / "two", Store::Access::kWrite);
  ModelParticipant bit_by_bit;
  for (auto at = entries.rbegin(); at != entries.rend(); ++at) {
    bit_by_bit.put(at->first, "wrong");
    bit_by_bit.put("extra", at->second);
    bit_by_bit.put_value("position", at->first, false);
    bit_by_bit.put_value("steps", at->first);
    commit(*two, bit_by_bit);
    bit_by_bit.put(at->first, at->second);
    bit_by_bit.erase("extra");
    commit(*two, bit_by_bit);
  }
  EXPECT_NE(one->digest(), two->digest());  // "steps" differs and counts
  bit_by_bit.put_value("steps", "9");
  commit(*two, bit_by_bit);
  EXPECT_EQ(one->digest(), two->digest());
  EXPECT_EQ(one->digest(), Store::open(folder / "two", Store::Access::kRead)->digest());

  bit_by_bit.put("k7", "50");
  commit(*two, bit_by_bit);
  EXPECT_NE(one->digest(), two->digest());
}

TEST(Store, TheSummaryCountsWhatLives) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  ModelParticipant participant;
  participant.put("a", "12345");
  participant.put("b", "1");
  commit(*store, participant);
  participant.put("a", "123");
  participant.erase("b");
  participant.put("c", "");
  commit(*store, participant);
  const StateSummary summary = store->summarize();
  ASSERT_EQ(summary.sets.size(), 1u);
  EXPECT_EQ(summary.sets[0].participant, "model/test");
  EXPECT_EQ(summary.sets[0].set, "entries");
  EXPECT_EQ(summary.sets[0].entries, 2u);
  EXPECT_EQ(summary.sets[0].bytes, 5u);
  EXPECT_EQ(summary.sets[0].pieces, 2u);
  EXPECT_EQ(summary.digest, store->digest());

  ModelParticipant empty("empty");
  commit(*store, empty);
  const StateSummary more = store->summarize();
  ASSERT_EQ(more.sets.size(), 2u);
  EXPECT_EQ(more.sets[0].participant, "empty");
  EXPECT_EQ(more.sets[0].entries, 0u);
  EXPECT_EQ(more.digest, summary.digest);
}

TEST(Store, AReaderSeesTheLastCommitAndChangesNothing) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  std::mt19937_64 random(3);
  ModelParticipant participant;
  participant.change(random, 100, 50, 1000);
  commit(*store, participant);

  auto files = [&] {
    std::map<std::string, std::uintmax_t> sizes;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
      if (entry.is_regular_file()) sizes[entry.path()] = entry.file_size();
    }
    return sizes;
  };
  const auto before = files();
  {
    const auto reader = Store::open(folder / "store", Store::Access::kRead);
    EXPECT_EQ(reader->sequence(), 1u);
    EXPECT_EQ(restored(*reader), participant);
    EXPECT_EQ(reader->digest(), store->digest());
    const std::uint64_t then = reader->digest();
    participant.change(random, 100, 50, 1000);
    commit(*store, participant);
    EXPECT_EQ(reader->sequence(), 1u) << "a reader stays at its moment";
    EXPECT_EQ(reader->digest(), then);
  }
  const auto after = files();
  EXPECT_EQ(before.size(), after.size());
  EXPECT_EQ(Store::open(folder / "store", Store::Access::kRead)->sequence(), 2u);
}

TEST(Store, ABlockOfManyPiecesComesBackWhole) {
  const TempFolder folder;
  ModelParticipant participant;
  for (int i = 0; i < 3000; ++i) {
    participant.put(numbered("key", i), std::string(10'000, static_cast<char>(i)));
  }
  auto store = Store::open(folder / "store", Store::Access::kWrite);
  commit(*store, participant);
  EXPECT_GT(store->probe().blocks, 5u);
  EXPECT_EQ(restored(*store), participant);
  store.reset();
  store = Store::open(folder / "store", Store::Access::kWrite);
  EXPECT_EQ(restored(*store), participant);
  EXPECT_EQ(store->digest(), digest_of(participant));
}

TEST(StoreDeathTest, ACallersMistakeIsCaught) {
  // Opened in the child, where there is one thread only.
  const TempFolder folder;
  auto write = [&](const std::vector<Commit>& commits) {
    const auto store = Store::open(folder / "store", Store::Access::kWrite);
    for (const Commit& one : commits) store->write(one);
  };
  EXPECT_DEATH(write({{5, {}}, {5, {}}}), "sequence");
  EXPECT_DEATH(write({{6, {{"p", {}}, {"p", {}}}}}), "participant");
  StateChanges twice;
  twice.blocks = {{"s", "1"}, {"s", "2"}};
  EXPECT_DEATH(write({{7, {{"p", twice}}}}), "set");
  auto write_to_reader = [&] {
    Store::open(folder / "store", Store::Access::kRead)->write({8, {}});
  };
  EXPECT_DEATH(write_to_reader(), "kWrite");
}

}  // namespace
}  // namespace millrace
