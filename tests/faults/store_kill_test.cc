// A process that dies at any named point of a commit, a cleaning, a snapshot or a rollback leaves a
// store that goes on as if it had not: the state after the same changes is the same.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "store/rollback.h"
#include "store/store.h"
#include "tests/faults/child.h"
#include "tests/store/commits.h"
#include "tests/support/faults/failpoint.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

// What commit `sequence` changes; large enough that logs are cleaned after a few of them.
void change(ModelParticipant& model, ModelParticipant& join, std::uint64_t sequence) {
  std::mt19937_64 random(sequence);
  model.change(random, 60, 80, 60'000);
  join.change(random, 30, 60, 500);
}

// Goes on from the last commit up to `last`; takes a snapshot after each fourth, of which two stay.
void work(const std::string& path, std::uint64_t last) {
  const auto store = Store::open(path, Store::Access::kWrite);
  ModelParticipant model("model/m"), join("join");
  store->restore(model);
  store->restore(join);
  ModelParticipant* const both[]{&model, &join};
  while (store->sequence() < last) {
    const std::uint64_t next = store->sequence() + 1;
    change(model, join, next);
    commit(*store, both);
    if (next % 4 == 0) store->snapshot(EventTime{static_cast<std::int64_t>(next)}, 2);
  }
}

std::uint64_t digest_after(const std::string& path) {
  const auto store = Store::open(path, Store::Access::kWrite);
  for (const SnapshotInfo& one : store->snapshots()) {
    const SnapshotFolder snapshots(path + "/snapshots");
    EXPECT_TRUE(snapshots.verify(one)) << one.name;
  }
  for (const auto& entry : fs::directory_iterator(path + "/snapshots")) {
    EXPECT_NE(entry.path().filename().string().front(), '.') << "left behind: " << entry.path();
  }
  return store->digest();
}

constexpr std::uint64_t kCommits = 28;

TEST(StoreKillChild, DISABLED_Works) { work(told("TEST_STORE"), kCommits); }
TEST(StoreKillChild, DISABLED_RollsBack) {
  roll_back(told("TEST_STORE"), told("TEST_SNAPSHOT"),
            told("TEST_OFFSETS") == "keep" ? Offsets::kKeep : Offsets::kRewind, EventTime{1});
}
TEST(StoreKillChild, DISABLED_Opens) { Store::open(told("TEST_STORE"), Store::Access::kWrite); }

TEST(StoreKill, AtEveryPointTheStateIsThatOfAnUndisturbedRun) {
  const TempFolder folder;
  work(folder / "undisturbed", kCommits);
  const std::uint64_t expected = digest_after(folder / "undisturbed");
  for (const char* point :
       {"commit.before_write", "commit.after_write", "commit.acknowledged", "clean.before_read",
        "clean.before_write", "clean.after_write", "checkpoint.before_copy",
        "checkpoint.after_copy", "checkpoint.before_rename", "checkpoint.after_rename",
        "checkpoint.before_remove", "recovery.opened"}) {
    const std::string path = folder / point;
    for (const char* at : {"1", "2"}) {
      const bool dies =
          is_killed("StoreKillChild.DISABLED_Works",
                    {{"TEST_STORE", path}, {"FAULT_POINTS", std::string(point) + "=kill@" + at}});
      // A process opens its store once.
      EXPECT_TRUE(dies || std::string(point) + at == "recovery.opened2") << point << ' ' << at;
    }
    work(path, kCommits);
    EXPECT_EQ(digest_after(path), expected) << point;
  }
}

struct RollbackKill : ::testing::TestWithParam<Offsets> {};

TEST_P(RollbackKill, AtEveryPointItIsFinishedOrUndone) {
  const TempFolder folder;
  work(folder / "base", 8);
  std::string snapshot;
  std::uint64_t before = 0, after = 0, after_commit = 0;
  auto copy = [&](const std::string& name) {
    fs::copy(folder / "base", folder / name, fs::copy_options::recursive);
    return folder / name;
  };
  {
    const auto store = Store::open(folder / "base", Store::Access::kRead);
    snapshot = store->snapshots().at(0).name;  // of commit 4
    before = store->digest();
    const std::string path = copy("rolled");
    roll_back(path, snapshot, GetParam(), EventTime{1});
    const auto rolled = Store::open(path, Store::Access::kRead);
    after = rolled->digest();
    after_commit = rolled->sequence();
  }
  ASSERT_NE(before, after);
  int undone = 0, finished = 0;
  for (const char* point :
       {"rollback.begun", "rollback.copied", "rollback.prepared", "rollback.decided",
        "rollback.moved_away", "rollback.moved_in", "rollback.before_end"}) {
    const std::string path = copy(point);
    ASSERT_TRUE(is_killed("StoreKillChild.DISABLED_RollsBack",
                          {{"TEST_STORE", path},
                           {"TEST_SNAPSHOT", snapshot},
                           {"TEST_OFFSETS", GetParam() == Offsets::kKeep ? "keep" : "rewind"},
                           {"FAULT_POINTS", std::string(point) + "=kill"}}))
        << point;
    // Killed again while it is settled, where that is possible.
    for (const char* again : {"rollback.moved_in=kill", "rollback.before_end=kill"}) {
      is_killed("StoreKillChild.DISABLED_Opens", {{"TEST_STORE", path}, {"FAULT_POINTS", again}});
    }
    const auto store = Store::open(path, Store::Access::kWrite);
    const bool was_finished = store->digest() == after;
    EXPECT_TRUE(was_finished || store->digest() == before) << point;
    EXPECT_EQ(store->sequence(), was_finished ? after_commit : 8u) << point;
    EXPECT_EQ(store->history().size(), was_finished ? 1u : 0u) << point;
    EXPECT_FALSE(store->lost()) << point;
    EXPECT_FALSE(fs::exists(path + "/rollback")) << point;
    EXPECT_FALSE(fs::exists(path + "/.rollback")) << point;
    ++(was_finished ? finished : undone);
  }
  EXPECT_EQ(undone, 3);
  EXPECT_EQ(finished, 4);
}

TEST_P(RollbackKill, AFailureOnTheWayLeavesTheStoreAsItWas) {
  const TempFolder folder;
  work(folder / "store", 8);
  const std::uint64_t before = Store::open(folder / "store", Store::Access::kRead)->digest();
  for (const char* point : {"rollback.begun", "rollback.copied", "rollback.prepared"}) {
    faults::set_failpoints(std::string(point) + "=fail");
    EXPECT_THROW(roll_back(folder / "store", "latest", GetParam(), EventTime{1}), std::exception);
    faults::set_failpoints("");
    const auto store = Store::open(folder / "store", Store::Access::kWrite);
    EXPECT_EQ(store->digest(), before) << point;
    EXPECT_EQ(store->sequence(), 8u) << point;
  }
}

INSTANTIATE_TEST_SUITE_P(Offsets, RollbackKill, ::testing::Values(Offsets::kRewind, Offsets::kKeep),
                         [](const auto& info) {
                           return info.param == Offsets::kKeep ? "Keep" : "Rewind";
                         });

}  // namespace
}  // namespace millrace
