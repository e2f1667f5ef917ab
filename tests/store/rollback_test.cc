// Going back to a snapshot: everything, or the models alone; under a number that was never used;
// also where the database itself cannot be read any more.
#include "store/rollback.h"

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

struct RollbackTest : ::testing::Test {
  const TempFolder folder;
  const std::string path = folder / "store";
  std::mt19937_64 random{7};
  ModelParticipant model{"model/m"}, join{"join"}, model_then{"model/m"}, join_then{"join"};
  SnapshotInfo snapshot;

  void SetUp() override {
    const auto store = Store::open(path, Store::Access::kWrite);
    write(*store, 4);
    snapshot = store->snapshot(EventTime{1'700'000'000'000}, 5);
    model_then = restored(*store, "model/m");
    join_then = restored(*store, "join");
    write(*store, 6);
  }
  void write(Store& store, int commits) {
    ModelParticipant* const both[]{&model, &join};
    for (int i = 0; i < commits; ++i) {
      model.change(random, 60, 100, 4000);
      join.change(random, 60, 100, 400);
      commit(store, both);
    }
  }
};

TEST_F(RollbackTest, RewindBringsEverythingBack) {
  const RolledBack done = roll_back(path, snapshot.name, Offsets::kRewind, EventTime{5});
  EXPECT_EQ(done.from, 10u);
  EXPECT_EQ(done.to, 4u);
  EXPECT_EQ(done.commit, 11u);
  const auto store = Store::open(path, Store::Access::kWrite);
  EXPECT_EQ(store->sequence(), 11u);
  EXPECT_FALSE(store->lost());
  EXPECT_EQ(restored(*store, "model/m"), model_then);
  EXPECT_EQ(restored(*store, "join"), join_then);
  EXPECT_EQ(store->digest(), digest_of(model_then) + digest_of(join_then));
  ASSERT_EQ(store->history().size(), 1u);
  EXPECT_EQ(store->history()[0].snapshot, snapshot.name);
  EXPECT_EQ(store->history()[0].time, EventTime{5});
  EXPECT_EQ(store->snapshots().size(), 1u);
  // It goes on from there.
  model = restored(*store, "model/m");
  join = restored(*store, "join");
  write(*store, 40);
  EXPECT_EQ(restored(*store, "model/m"), model);
  EXPECT_FALSE(fs::exists(path + "/rollback"));
  EXPECT_FALSE(fs::exists(path + "/.rollback"));
}

TEST_F(RollbackTest, KeepBringsTheModelsBackAlone) {
  const RolledBack done = roll_back(path, "latest", Offsets::kKeep, EventTime{5});
  EXPECT_EQ(done.commit, 11u);
  const auto store = Store::open(path, Store::Access::kWrite);
  EXPECT_EQ(restored(*store, "model/m"), model_then);
  EXPECT_EQ(restored(*store, "join"), join);
  EXPECT_EQ(store->digest(), digest_of(model_then) + digest_of(join));
  EXPECT_TRUE(store->history().at(0).keeps_offsets);
  model = restored(*store, "model/m");
  join = restored(*store, "join");
  write(*store, 40);
  EXPECT_EQ(restored(*store, "model/m"), model);
  EXPECT_EQ(restored(*store, "join"), join);
}

TEST_F(RollbackTest, ForwardAgainAndHistoryIsKept) {
  {
    const auto store = Store::open(path, Store::Access::kWrite);
    store->snapshot(EventTime{1'700'000'001'000}, 5);
  }
  roll_back(path, snapshot.name, Offsets::kRewind, EventTime{5});
  const RolledBack forward = roll_back(path, "latest", Offsets::kRewind, EventTime{6});
  EXPECT_EQ(forward.to, 10u);
  EXPECT_EQ(forward.commit, 12u);
  const auto store = Store::open(path, Store::Access::kRead);
  EXPECT_EQ(restored(*store, "model/m"), model);
  EXPECT_EQ(store->history().size(), 2u);
}

TEST_F(RollbackTest, WorksWhereTheDatabaseIsDamaged) {
  std::ofstream(path + "/db/CURRENT") << "MANIFEST-999999\n";
  try {
    Store::open(path, Store::Access::kWrite);
    FAIL() << "a damaged store was opened";
  } catch (const StoreDamagedError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find(snapshot.name), std::string::npos) << what;
    EXPECT_NE(what.find("millrace snapshot rollback --store " + path), std::string::npos) << what;
  }
  EXPECT_THROW(roll_back(path, "latest", Offsets::kKeep, EventTime{5}), StoreError);
  const RolledBack done = roll_back(path, "latest", Offsets::kRewind, EventTime{5});
  EXPECT_EQ(done.commit, 11u) << "above what was acknowledged, though the database could not say";
  const auto store = Store::open(path, Store::Access::kWrite);
  EXPECT_EQ(restored(*store, "model/m"), model_then);
}

TEST_F(RollbackTest, WhatCannotBeIsRefusedAndChangesNothing) {
  const std::uint64_t digest = Store::open(path, Store::Access::kRead)->digest();
  EXPECT_THROW(roll_back(path, "nothing", Offsets::kRewind, EventTime{5}), StoreError);
  EXPECT_THROW(roll_back(folder / "none", "latest", Offsets::kRewind, EventTime{5}), StoreError);
  {
    const auto holder = Store::open(path, Store::Access::kWrite);
    EXPECT_THROW(roll_back(path, "latest", Offsets::kRewind, EventTime{5}), StoreLockedError);
  }
  std::ofstream(path + "/snapshots/" + snapshot.name + "/db/extra") << "x";
  EXPECT_THROW(roll_back(path, "latest", Offsets::kRewind, EventTime{5}), StoreError);
  const auto store = Store::open(path, Store::Access::kWrite);
  EXPECT_EQ(store->digest(), digest);
  EXPECT_EQ(store->sequence(), 10u);
}

TEST_F(RollbackTest, KeepRefusesAnotherConfiguration) {
  auto store = Store::open(path, Store::Access::kWrite);
  StateChanges identity;
  identity.values.push_back({"identity", "another", false});
  store->write({store->sequence() + 1, {{"service", identity}}});
  store.reset();
  EXPECT_THROW(roll_back(path, "latest", Offsets::kKeep, EventTime{5}), StoreError);
  EXPECT_FALSE(rollback_is_open(path));
  roll_back(path, "latest", Offsets::kRewind, EventTime{5});
}

// A snapshot that came to a new disk: there are no positions yet.
TEST_F(RollbackTest, KeepWithoutAStateSaysSo) {
  {  // Of a store of the service's, which says whose it is.
    const auto store = Store::open(path, Store::Access::kWrite);
    StateChanges identity;
    identity.values.push_back({"identity", "one", false});
    store->write({store->sequence() + 1, {{"service", identity}}});
    store->snapshot(EventTime{7}, 3);
  }
  const auto refusal = [&] {
    try {
      roll_back(path, "latest", Offsets::kKeep, EventTime{5});
      return std::string();
    } catch (const StoreError& error) {
      return std::string(error.what());
    }
  };
  std::filesystem::remove_all(path + "/db");
  std::filesystem::remove(path + "/acknowledged");
  EXPECT_NE(refusal().find("has no state"), std::string::npos) << refusal();
  EXPECT_FALSE(std::filesystem::exists(path + "/db")) << "nothing is made on the way";
  Store::open(path, Store::Access::kWrite);
  EXPECT_NE(refusal().find("use --offsets rewind"), std::string::npos) << refusal();
  roll_back(path, "latest", Offsets::kRewind, EventTime{5});
  EXPECT_EQ(refusal(), "");
}

}  // namespace
}  // namespace millrace
