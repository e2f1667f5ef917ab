// A snapshot is a whole store of one commit, listed only when it is complete, and kept whatever
// happens to the store beside it.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "store/files.h"
#include "store/store.h"
#include "tests/store/commits.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

TEST(Snapshot, IsAWholeStoreOfItsCommit) {
  const TempFolder folder;
  std::mt19937_64 random(21);
  ModelParticipant participant;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  std::map<std::uint64_t, std::uint64_t> digests;
  for (int i = 0; i < 5; ++i) {
    participant.change(random, 100, 200, 2000);
    commit(*store, participant);
    const SnapshotInfo taken = store->snapshot(EventTime{1'700'000'000'000 + i}, 10);
    EXPECT_EQ(taken.commit, store->sequence());
    EXPECT_GT(taken.bytes, 1000u);
    digests[taken.commit] = store->digest();
  }
  const auto list = store->snapshots();
  ASSERT_EQ(list.size(), 5u);
  for (const SnapshotInfo& one : list) {
    const auto copy = Store::open(folder / ("store/snapshots/" + one.name), Store::Access::kRead);
    EXPECT_EQ(copy->sequence(), one.commit);
    EXPECT_EQ(copy->digest(), digests[one.commit]);
  }
  EXPECT_EQ(list[0].taken, EventTime{1'700'000'000'000});
  EXPECT_EQ(list[0].name, "00000000000000000001-2023-11-14T22:13:20.000Z");
  EXPECT_EQ(store->probe().snapshots, 5u);
}

TEST(Snapshot, OnlyTheNewestAreKept) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  for (std::uint64_t i = 1; i <= 7; ++i) {
    store->write({i, {}});
    store->snapshot(EventTime{static_cast<std::int64_t>(1000 * i)}, 3);
  }
  const auto list = store->snapshots();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].commit, 5u);
  EXPECT_EQ(list[2].commit, 7u);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "store/snapshots"), {}), 3);
}

TEST(Snapshot, TheSameMomentTwiceIsOne) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  EXPECT_EQ(store->snapshot(EventTime{5}, 3).name, store->snapshot(EventTime{5}, 3).name);
  EXPECT_EQ(store->snapshots().size(), 1u);
}

TEST(Snapshot, TheManifestHasEveryFileAndItsHash) {
  const TempFolder folder;
  std::mt19937_64 random(21);
  ModelParticipant participant;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  participant.change(random, 100, 200, 20'000);
  commit(*store, participant);
  const fs::path snapshot = folder / ("store/snapshots/" + store->snapshot(EventTime{5}, 3).name);
  std::ostringstream manifest;
  manifest << std::ifstream(snapshot / "manifest.json").rdbuf();
  EXPECT_NE(manifest.str().find("{\"commit\": 1, \"taken\": \"1970-01-01T00:00:00.005Z\""),
            std::string::npos)
      << manifest.str();
  for (const auto& file : fs::directory_iterator(snapshot / "db")) {
    char hash[17];
    std::snprintf(hash, sizeof hash, "%016jx", std::uintmax_t{hash_file(file.path())});
    const std::string line = "{\"name\": \"" + file.path().filename().string() +
                             "\", \"bytes\": " + std::to_string(file.file_size()) +
                             ", \"hash\": \"" + hash + "\"}";
    EXPECT_NE(manifest.str().find(line), std::string::npos) << line << '\n' << manifest.str();
  }
}

TEST(Snapshot, WhatACrashLeftBehindIsNotListedAndIsRemoved) {
  const TempFolder folder;
  const std::string left = folder / "store/snapshots/.tmp-123";
  fs::create_directories(left + "/db");
  std::ofstream(left + "/db/000001.sst") << "half";
  fs::create_directories(folder / "store/snapshots/00000000000000000007-2023-11-14T22:13:20.000Z");
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(store->snapshots().empty()) << "one without a manifest is not complete";
}

TEST(Snapshot, CommitsGoOnMeanwhile) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  std::atomic<bool> done{false};
  std::thread snapshots([&] {
    for (std::int64_t i = 0; i < 8; ++i) store->snapshot(EventTime{i}, 100);
    done = true;
  });
  std::map<std::uint64_t, std::uint64_t> digests{{0, 0}};
  std::mt19937_64 random(3);
  ModelParticipant participant;
  while (!done) {
    participant.change(random, 20, 200, 10'000);
    commit(*store, participant);
    digests[store->sequence()] = digest_of(participant);
  }
  snapshots.join();
  for (const SnapshotInfo& one : store->snapshots()) {
    const auto copy = Store::open(folder / ("store/snapshots/" + one.name), Store::Access::kRead);
    EXPECT_EQ(copy->sequence(), one.commit);
    EXPECT_EQ(copy->digest(), digests[one.commit]);
  }
}

}  // namespace
}  // namespace millrace
