// A process that is killed at any moment leaves exactly one commit behind, of all participants
// alike: the last one that it was told about, or one that was on its way.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "store/store.h"
#include "tests/store/child.h"
#include "tests/store/commits.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

// What commit `sequence` changes: a function of the number alone, so that the state after it is
// known whatever happened in between.
void change(ModelParticipant& model, ModelParticipant& join, std::uint64_t sequence) {
  std::mt19937_64 random(sequence);
  model.change(random, 30, 300, 15'000);
  join.change(random, 30, 300, 500);
}

TEST(CrashChild, DISABLED_CommitsUntilItIsKilled) {
  const auto store = Store::open(Child::store(), Store::Access::kWrite);
  ModelParticipant model("model/m"), join("join");
  store->restore(model);
  store->restore(join);
  ModelParticipant* const both[]{&model, &join};
  for (;;) {
    change(model, join, store->sequence() + 1);
    commit(*store, both);
    Child::tell(store->sequence());
    if (store->sequence() % 40 == 0) {
      store->snapshot(EventTime{static_cast<std::int64_t>(store->sequence())}, 2);
    }
  }
}

TEST(Crash, KilledAtAnyMomentTheStoreStandsAtOneCommit) {
  const TempFolder folder;
  std::mt19937_64 random(99);
  ModelParticipant model("model/m"), join("join");  // the state after `reached`
  std::uint64_t reached = 0, acknowledged = 0;
  for (int round = 0; round < 15; ++round) {
    {
      Child child("CrashChild.DISABLED_CommitsUntilItIsKilled", folder / "store");
      const std::uint64_t first = child.next();
      ASSERT_EQ(first, reached + 1) << "the child went on from another commit";
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 300'000));
      child.kill();
      acknowledged = first;
      while (const std::uint64_t told = child.next()) acknowledged = told;
    }
    const auto store = Store::open(folder / "store",
                                   round % 2 == 0 ? Store::Access::kRead : Store::Access::kWrite);
    ASSERT_GE(store->sequence(), acknowledged);
    ASSERT_LE(store->sequence(), acknowledged + 1);
    while (reached < store->sequence()) change(model, join, ++reached);
    ASSERT_EQ(restored(*store, "model/m"), model);
    ASSERT_EQ(restored(*store, "join"), join);
    ASSERT_EQ(store->digest(), digest_of(model) + digest_of(join));
    for (const SnapshotInfo& snapshot : store->snapshots()) {
      const auto copy =
          Store::open(folder / ("store/snapshots/" + snapshot.name), Store::Access::kRead);
      ASSERT_EQ(copy->sequence(), snapshot.commit);
    }
  }
  EXPECT_GT(reached, 100u) << "too little was written to mean anything";
}

TEST(CrashChild, DISABLED_TriesToOpen) {
  try {
    Store::open(Child::store(), Store::Access::kWrite);
  } catch (const StoreLockedError& error) {
    EXPECT_NE(std::string(error.what()).find(Child::store()), std::string::npos) << error.what();
    Child::tell(1);
    return;
  }
  Child::tell(2);
}

TEST(Lock, ASecondWriterIsRefusedByName) {
  const TempFolder folder;
  auto store = Store::open(folder / "store", Store::Access::kWrite);
  EXPECT_EQ(Child("CrashChild.DISABLED_TriesToOpen", folder / "store").next(), 1u);
  EXPECT_THROW(Store::open(folder / "store", Store::Access::kWrite), StoreLockedError);
  Store::open(folder / "store", Store::Access::kRead);
  store.reset();
  EXPECT_EQ(Child("CrashChild.DISABLED_TriesToOpen", folder / "store").next(), 2u);
}

}  // namespace
}  // namespace millrace
