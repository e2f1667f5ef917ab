// What the disk may do: fail at any write, sync, rename or link; be full, for real; lose what was
// not synced; flip bits. A commit that was acknowledged is there afterwards, or the store says that
// it is not; and nothing is ever read as state that was not written.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "store/rollback.h"
#include "store/store.h"
#include "tests/faults/child.h"
#include "tests/faults/small_disk.h"
#include "tests/store/commits.h"
#include "tests/support/faults/faulty_files.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

void change(ModelParticipant& model, std::uint64_t sequence) {
  std::mt19937_64 random(sequence);
  model.change(random, 40, 60, 20'000);
}

// Goes on from where the store stands, as a supervisor does: after each failure it is opened again.
// Returns how often it failed. Every acknowledged commit must be there after each failure.
int work_through_failures(const std::string& path, std::uint64_t last) {
  int failures = 0;
  std::uint64_t acknowledged = 0, reached = 0;
  while (reached < last) {
    try {
      const auto store = Store::open(path, Store::Access::kWrite);
      EXPECT_GE(store->sequence(), acknowledged) << "an acknowledged commit is gone";
      EXPECT_FALSE(store->lost());
      ModelParticipant model;
      store->restore(model);
      for (reached = store->sequence(); reached < last; reached = acknowledged) {
        change(model, store->sequence() + 1);
        commit(*store, model);
        acknowledged = store->sequence();
        if (acknowledged % 5 == 0) {
          store->snapshot(EventTime{static_cast<std::int64_t>(acknowledged)}, 2);
        }
      }
    } catch (const StoreError&) {
      if (++failures > 60) {
        ADD_FAILURE() << "it never recovers";
        break;
      }
    }
  }
  return failures;
}

constexpr std::uint64_t kCommits = 12;

class DiskTest : public ::testing::Test {
 protected:
  void TearDown() override { faults::set_file_faults(""); }
  static std::uint64_t undisturbed() {
    static const std::uint64_t digest = [] {
      const TempFolder folder;
      work_through_failures(folder / "store", kCommits);
      return Store::open(folder / "store", Store::Access::kRead)->digest();
    }();
    return digest;
  }
  // Returns how often it failed.
  static int expect_recovery(const std::string& plan) {
    undisturbed();
    const TempFolder folder;
    faults::set_file_faults(plan);
    const int failures = work_through_failures(folder / "store", kCommits);
    faults::set_file_faults("");
    const auto store = Store::open(folder / "store", Store::Access::kWrite);
    EXPECT_EQ(store->digest(), undisturbed()) << plan;
    for (const SnapshotInfo& one : store->snapshots()) {
      EXPECT_TRUE(SnapshotFolder(folder / "store/snapshots").verify(one)) << plan;
    }
    return failures;
  }
};

TEST_F(DiskTest, AnErrorAtAnyOperationLosesNothing) {
  int failures = 0;
  for (const char* operation : {"write", "sync", "create", "rename", "link"}) {
    for (int at : {1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 31}) {
      const char* what = at % 2 == 0 ? "EIO" : "ENOSPC";
      failures += expect_recovery(std::string(operation) + '=' + what + '@' + std::to_string(at));
      if (::testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(failures, 25) << "too few of the faults met anything";
}

TEST_F(DiskTest, HalfAWriteIsNoCommit) {
  int failures = 0;
  for (int at : {2, 5, 9, 14}) {
    failures += expect_recovery("write:.log=short@" + std::to_string(at));
  }
  EXPECT_GE(failures, 3);
}

TEST_F(DiskTest, ADiskThatStaysFullForAWhileIsWaitedFor) {
  EXPECT_GE(expect_recovery("write=ENOSPC@10-40"), 1);
  EXPECT_GE(expect_recovery("sync:.log=EIO@3-6"), 1);
}

TEST(DiskChild, DISABLED_Works) { work_through_failures(told("TEST_STORE"), 1000); }

// What was acknowledged was synced: a power cut takes only what was not.
TEST_F(DiskTest, APowerCutTakesNoAcknowledgedCommit) {
  const TempFolder folder;
  for (int round = 0; round < 6; ++round) {
    const std::uint64_t before =
        round == 0 ? 0 : Store::open(folder / "store", Store::Access::kRead)->sequence();
    const bool killed =
        is_killed("DiskChild.DISABLED_Works",
                  {{"TEST_STORE", folder / "store"},
                   {"FAULT_FILES", "unsynced=lost@1+"},
                   {"FAULT_POINTS", "commit.acknowledged=kill@" + std::to_string(2 + round)}});
    ASSERT_TRUE(killed);
    const auto store = Store::open(folder / "store", Store::Access::kWrite);
    EXPECT_FALSE(store->lost());
    EXPECT_GE(store->sequence(), before + 2 + static_cast<std::uint64_t>(round));
    ModelParticipant expected;
    for (std::uint64_t i = 1; i <= store->sequence(); ++i) change(expected, i);
    EXPECT_EQ(restored(*store), expected);
  }
}

// Commits and takes snapshots until the disk is full; tells TEST_ACKNOWLEDGED of each commit.
TEST(DiskChild, DISABLED_FillsTheDisk) {
  const auto store = Store::open(told("TEST_STORE"), Store::Access::kWrite);
  ModelParticipant model = restored(*store);
  const int acknowledged = ::open(told("TEST_ACKNOWLEDGED").c_str(), O_WRONLY);
  try {
    for (int i = 0; i < 8; ++i) {
      change(model, store->sequence() + 1);
      commit(*store, model);
      const std::uint64_t sequence = store->sequence();
      ASSERT_EQ(::pwrite(acknowledged, &sequence, sizeof sequence, 0), ssize_t{sizeof sequence});
      if (i % 3 == 2) store->snapshot(EventTime{i}, 1);
    }
  } catch (const StoreFullError&) {
    FAIL() << "full";
  }
}

// In a process of its own: RocksDB may end it by an assertion of its own where a write failed.
TEST_F(DiskTest, AFullDiskAtAnyMomentOfACommitAFlushOrASnapshot) {
  const TempFolder folder;
  const SmallDisk disk(folder / "disk", "48m");
  if (!disk.mounted()) GTEST_SKIP() << kNeedsMount;
  const std::string path = folder / "disk/store", told = folder / "acknowledged";
  Store::open(path, Store::Access::kWrite);
  std::ofstream(told) << std::string(sizeof(std::uint64_t), '\0');
  int failures = 0;
  for (int round = 0; round < 12; ++round) {
    // Less than what follows needs, at another place each time.
    disk.fill(static_cast<std::uint64_t>(round) * 300'000);
    failures += is_done("DiskChild.DISABLED_FillsTheDisk",
                        {{"TEST_STORE", path}, {"TEST_ACKNOWLEDGED", told}})
                    ? 0
                    : 1;
    disk.empty();
    std::uint64_t acknowledged = 0;
    std::ifstream(told, std::ios::binary)
        .read(reinterpret_cast<char*>(&acknowledged), sizeof acknowledged);
    const auto store = Store::open(path, Store::Access::kWrite);
    ASSERT_GE(store->sequence(), acknowledged);
    ASSERT_FALSE(store->lost());
    ModelParticipant expected;
    for (std::uint64_t i = 1; i <= store->sequence(); ++i) change(expected, i);
    ASSERT_EQ(restored(*store), expected) << "round " << round;
  }
  EXPECT_GE(failures, 6);
}

TEST_F(DiskTest, ARollbackOnAFullDiskLeavesTheStoreAsItWas) {
  const TempFolder folder;
  const SmallDisk disk(folder / "disk", "64m");
  if (!disk.mounted()) GTEST_SKIP() << kNeedsMount;
  const std::string path = folder / "disk/store";
  work_through_failures(path, 6);
  const std::uint64_t before = Store::open(path, Store::Access::kRead)->digest();
  for (const Offsets offsets : {Offsets::kRewind, Offsets::kKeep}) {
    disk.fill(0);
    EXPECT_THROW(roll_back(path, "latest", offsets, EventTime{1}), StoreError);
    disk.empty();
    const auto store = Store::open(path, Store::Access::kWrite);
    EXPECT_EQ(store->digest(), before);
    EXPECT_EQ(store->sequence(), 6u);
  }
  roll_back(path, "latest", Offsets::kKeep, EventTime{1});
  EXPECT_EQ(Store::open(path, Store::Access::kRead)->sequence(), 7u);
}

TEST_F(DiskTest, AReadOnlyFolderIsRefusedByName) {
  const TempFolder folder;
  const SmallDisk disk(folder / "disk", "64m");
  if (!disk.mounted()) GTEST_SKIP() << kNeedsMount;
  work_through_failures(folder / "disk/store", 3);
  const std::string disk_path = folder / "disk";
  ASSERT_EQ(::mount("", disk_path.c_str(), "", MS_REMOUNT | MS_RDONLY, ""), 0);
  EXPECT_EQ(Store::open(folder / "disk/store", Store::Access::kRead)->sequence(), 3u);
  try {
    Store::open(folder / "disk/store", Store::Access::kWrite);
    ADD_FAILURE() << "opened";
  } catch (const StoreError& error) {
    EXPECT_NE(std::string(error.what()).find(folder / "disk/store"), std::string::npos)
        << error.what();
  }
}

// Every kind of file, cut or with a flipped bit at many places: the state is that of a commit that
// was made (an earlier one is reported as a loss), or the store is refused as damaged.
class DamageTest : public ::testing::Test {
 protected:
  TempFolder folder_;
  std::vector<ModelParticipant> after_;  // commit i: [i]
  SnapshotInfo snapshot_;
  int opened_ = 0, refused_ = 0, lost_ = 0;

  void SetUp() override {
    ModelParticipant model;
    after_.push_back(model);
    {
      const auto store = Store::open(folder_ / "base", Store::Access::kWrite);
      for (std::uint64_t i = 1; i <= 5; ++i) next(*store, model);
      snapshot_ = store->snapshot(EventTime{1}, 2);  // its tables are shared with the store's
      for (std::uint64_t i = 6; i <= 8; ++i) next(*store, model);
    }
    // An export does not share them.
    SnapshotFolder(folder_ / "base/snapshots").export_to(snapshot_, folder_ / "exported");
  }
  void next(Store& store, ModelParticipant& model) {
    change(model, store.sequence() + 1);
    commit(store, model);
    after_.push_back(model);
  }

  // Copies the store, harms one file of it, and looks at what it says.
  void harm(const fs::path& name, const std::function<void(const fs::path&)>& action) {
    const std::string path = folder_ / "harmed";
    fs::remove_all(path);
    fs::copy(folder_ / "base", path, fs::copy_options::recursive);
    fs::remove_all(path + "/snapshots");
    SnapshotFolder(path + "/snapshots").import_from(folder_ / "exported");
    action(fs::path(path) / "db" / name);
    for (const Store::Access access : {Store::Access::kRead, Store::Access::kWrite}) {
      try {
        const auto store = Store::open(path, access);
        const ModelParticipant found = restored(*store);
        const std::uint64_t at = store->lost() ? store->lost()->recovered : store->sequence();
        ASSERT_LT(at, after_.size());
        ASSERT_EQ(found, after_[at]) << name << ": not what commit " << at << " wrote";
        ASSERT_EQ(store->lost().has_value(), at < 8) << name;
        store->lost() ? ++lost_ : ++opened_;
      } catch (const StoreDamagedError& error) {
        ++refused_;
        const std::string what = error.what();
        ASSERT_NE(what.find(snapshot_.name), std::string::npos) << what;
        ASSERT_NE(what.find("millrace snapshot rollback"), std::string::npos) << what;
        if (access == Store::Access::kRead) continue;
        roll_back(path, snapshot_.name, Offsets::kRewind, EventTime{2});
        ASSERT_EQ(restored(*Store::open(path, Store::Access::kWrite)), after_[5]);
      }
    }
  }
  void harm_all(const std::string& kind, int places = 6) {
    std::vector<fs::path> names;
    for (const auto& entry : fs::directory_iterator(folder_ / "base/db")) {
      const std::string name = entry.path().filename().string();
      const bool wanted = name.ends_with(kind) || name.starts_with(kind);
      if (wanted && entry.file_size() > 0) names.push_back(entry.path().filename());
    }
    ASSERT_FALSE(names.empty()) << kind;
    for (const fs::path& name : names) {
      for (int place = 0; place < places; ++place) {
        harm(name, [&](const fs::path& file) {
          const auto at = static_cast<std::streamoff>(
              fs::file_size(file) * static_cast<unsigned>(place) / static_cast<unsigned>(places) +
              3);
          std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
          stream.seekg(at);
          const char byte = static_cast<char>(stream.get());
          stream.seekp(at);
          stream.put(static_cast<char>(byte ^ 0x10));
        });
        harm(name, [&](const fs::path& file) {
          fs::resize_file(file, fs::file_size(file) * static_cast<unsigned>(place) /
                                    static_cast<unsigned>(places));
        });
        if (HasFatalFailure()) return;
      }
      harm(name, [](const fs::path& file) { fs::remove(file); });
    }
  }
};

TEST_F(DamageTest, OfTheWriteAheadLogIsALossThatIsReported) {
  harm_all(".log");
  EXPECT_GT(lost_, 10) << opened_ << ' ' << refused_;
}
TEST_F(DamageTest, OfATableIsRefused) {
  harm_all(".sst");
  EXPECT_GT(refused_, 10) << opened_ << ' ' << lost_;
}
TEST_F(DamageTest, OfTheListOfFilesIsRefused) {
  harm_all("MANIFEST");
  EXPECT_GT(refused_, 6) << opened_ << ' ' << lost_;
}
TEST_F(DamageTest, OfItsHeadIsRefused) {
  harm_all("CURRENT", 2);
  EXPECT_GT(refused_, 4) << opened_ << ' ' << lost_;
}

}  // namespace
}  // namespace millrace
