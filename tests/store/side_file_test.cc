// What was acknowledged is remembered beside the database, so that a write-ahead log whose end is
// lost is noticed, and no version's name is ever given twice.
#include "store/side_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "store/store.h"
#include "tests/store/commits.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

TEST(SideFile, IsReadAsItWasWritten) {
  const TempFolder folder;
  EXPECT_FALSE(read_acknowledged(folder.path()));
  write_acknowledged(folder.path(), {7, 3});
  write_acknowledged(folder.path(), {18'446'744'073'709'551'615u, 9});
  const auto found = read_acknowledged(folder.path());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->commit, 18'446'744'073'709'551'615u);
  EXPECT_EQ(found->named, 9u);
  EXPECT_EQ(fs::file_size(folder / "acknowledged"), 59u) << "of fixed size: needs no room later";
}

TEST(SideFile, OneThatIsNotWholeSaysNothing) {
  const TempFolder folder;
  write_acknowledged(folder.path(), {7, 3});
  for (const std::size_t at : {0u, 19u, 20u, 30u, 45u, 57u}) {
    std::fstream file(folder / "acknowledged", std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char before = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(before ^ 1)).flush();
    EXPECT_FALSE(read_acknowledged(folder.path())) << at;
    file.seekp(static_cast<std::streamoff>(at));
    file.put(before).flush();
    EXPECT_TRUE(read_acknowledged(folder.path()));
  }
  fs::resize_file(folder / "acknowledged", 30);
  EXPECT_FALSE(read_acknowledged(folder.path()));
}

TEST(SideFile, FollowsEveryCommit) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  for (std::uint64_t sequence : {1u, 2u, 9u}) {
    store->write({sequence, {}});
    EXPECT_EQ(read_acknowledged(folder / "store")->commit, sequence);
  }
  EXPECT_EQ(store->probe().side_file_failures, 0u);
}

TEST(SideFile, ANameThatWasGivenWithoutACommitIsNotGivenAgain) {
  const TempFolder folder;
  Store::open(folder / "store", Store::Access::kWrite)->write({5, {}});
  EXPECT_EQ(name_without_commit(folder / "store", 5), 6u);
  EXPECT_EQ(name_without_commit(folder / "store", 5), 7u);
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  EXPECT_EQ(store->sequence(), 7u);
  EXPECT_FALSE(store->lost()) << "nothing was acknowledged under that name";
  store->write({8, {}});
  EXPECT_EQ(name_without_commit(folder / "store", store->sequence()), 9u);
}

TEST(SideFile, ADamagedOneIsSaidUntilTheNextCommit) {
  const TempFolder folder;
  const std::string path = folder / "store";
  EXPECT_FALSE(Store::open(path, Store::Access::kWrite)->acknowledged_damaged()) << "a new store";
  Store::open(path, Store::Access::kWrite)->write({5, {}});
  EXPECT_FALSE(Store::open(path, Store::Access::kRead)->acknowledged_damaged());
  for (const char* damage : {"", "00000000000000000005",
                             "no such line, and as long as the one there"
                             " should have been\n"}) {
    std::ofstream(path + "/acknowledged") << damage;
    EXPECT_TRUE(Store::open(path, Store::Access::kRead)->acknowledged_damaged());
    const auto store = Store::open(path, Store::Access::kWrite);
    EXPECT_TRUE(store->acknowledged_damaged());
    EXPECT_FALSE(store->lost());
    store->write({store->sequence() + 1, {}});
    EXPECT_FALSE(Store::open(path, Store::Access::kRead)->acknowledged_damaged());
  }
}

// The log's newest file, cut so that the last commit is gone.
TEST(SideFile, ATornLogIsNoticedAndGoneOnFrom) {
  const TempFolder folder;
  const std::string path = folder / "store";
  std::mt19937_64 random(3);
  ModelParticipant participant, at_9;
  {
    const auto store = Store::open(path, Store::Access::kWrite);
    for (int i = 1; i <= 10; ++i) {
      participant.change(random, 20, 50, 100);
      commit(*store, participant);
      if (i == 9) at_9 = restored(*store);
    }
  }
  for (const auto& entry : fs::directory_iterator(path + "/db")) {
    if (entry.path().extension() == ".log" && entry.file_size() > 0) {
      fs::resize_file(entry.path(), entry.file_size() - 40);
    }
  }
  {
    const auto reader = Store::open(path, Store::Access::kRead);
    ASSERT_TRUE(reader->lost());
    EXPECT_EQ(reader->lost()->acknowledged, 10u);
    EXPECT_EQ(reader->lost()->recovered, 9u);
    EXPECT_TRUE(reader->history().empty());
  }
  {
    const auto store = Store::open(path, Store::Access::kWrite);
    ASSERT_TRUE(store->lost());
    EXPECT_EQ(store->lost()->recovered, 9u);
    EXPECT_EQ(restored(*store), at_9);
    EXPECT_EQ(store->sequence(), 10u) << "the next commit's number was never given before";
    ASSERT_EQ(store->history().size(), 1u);
    EXPECT_EQ(store->history()[0].kind, StoreEvent::Kind::kLost);
    EXPECT_EQ(store->history()[0].from, 10u);
    EXPECT_EQ(store->history()[0].to, 9u);
  }
  const auto again = Store::open(path, Store::Access::kWrite);
  EXPECT_FALSE(again->lost()) << "said once";
  EXPECT_EQ(again->history().size(), 1u);
  EXPECT_EQ(restored(*again), at_9);
}

}  // namespace
}  // namespace millrace
