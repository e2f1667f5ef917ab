// What the surroundings do to a store: each has its own message, nothing is lost, and a store that
// failed to write is not written again.
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "store/database.h"
#include "store/keys.h"
#include "store/recovery.h"
#include "store/store.h"
#include "tests/store/commits.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::string refusal(const std::string& path, Store::Access access) {
  try {
    Store::open(path, access);
    return "";
  } catch (const StoreError& error) {
    return error.what();
  }
}

// While it lives no file of this process grows beyond `bytes`.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  sighandler_t handler_;
};

TEST(Failure, AWriteThatFailsEndsTheWritingAndLosesNothing) {
  const TempFolder folder;
  std::mt19937_64 random(8);
  ModelParticipant participant, last;
  {
    const auto store = Store::open(folder / "store", Store::Access::kWrite);
    const FileSizeLimit limit(6 << 20);
    auto write_until_it_fails = [&] {
      for (int i = 0; i < 100; ++i) {
        last = restored(*store);
        participant.change(random, 50, 100, 10'000);
        commit(*store, participant);
      }
    };
    EXPECT_THROW(write_until_it_fails(), StoreError);
    EXPECT_EQ(store->probe().failures, 1u);
    EXPECT_GT(store->sequence(), 3u);
    EXPECT_EQ(store->probe().commits, store->sequence());
  }
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  EXPECT_EQ(restored(*store), last);
  store->write({store->sequence() + 1, {}});
}

TEST(Failure, AStoreThatFailedRefusesFurtherWritesEvenWhenThereIsRoomAgain) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  StateChanges large;
  large.values.push_back({"v", std::string(4 << 20, 'x'), true});
  {
    const FileSizeLimit limit(1 << 20);
    EXPECT_THROW(store->write({1, {{"p", large}}}), StoreError);
  }
  EXPECT_EQ(store->sequence(), 0u);
  EXPECT_THROW(store->write({1, {}}), StoreError);
  EXPECT_THROW(store->cleanings(), StoreError);
}

TEST(Failure, NoStoreIsSaidByName) {
  const TempFolder folder;
  const std::string missing = folder / "missing";
  EXPECT_EQ(refusal(missing, Store::Access::kRead),
            "there is no store in " + missing + "; name the folder of store.path");
  EXPECT_FALSE(fs::exists(missing)) << "a reader creates nothing";
  std::ofstream(folder / "file") << "x";
  EXPECT_NE(refusal(folder / "file", Store::Access::kWrite), "");
  EXPECT_NE(refusal(folder / "file", Store::Access::kRead), "");
}

// A store that says it was written by this version of the format.
void make_store(const std::string& path, std::uint32_t version) {
  Store::open(path, Store::Access::kWrite)->write({1, {}});
  const auto database = Database::open(path + "/db", Database::Access::kWrite);
  ByteWriter bytes;
  bytes.put(version);
  WriteSet changes(*database);
  changes.put(Family::kMeta, keys::kSchema, {bytes.bytes()});
  database->write(changes);
}

// Its values would be misread: those of schema 2 have no user.
TEST(Failure, AnOlderSchemaIsRefused) {
  const TempFolder folder;
  const std::string path = folder / "store";
  make_store(path, 2);
  for (const auto access : {Store::Access::kRead, Store::Access::kWrite}) {
    const std::string message = refusal(path, access);
    EXPECT_NE(message.find("schema 2"), std::string::npos) << message;
    EXPECT_NE(message.find("a new store"), std::string::npos) << message;
  }
}

TEST(Failure, ANewerSchemaIsRefused) {
  const TempFolder folder;
  const std::string path = folder / "store";
  make_store(path, kSchemaVersion + 1);
  {  // with a family that this version does not know
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (const char* name : {"default", "values", "index", "blocks", "cold_index", "cold"}) {
      families.emplace_back(name, rocksdb::ColumnFamilyOptions());
    }
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open({}, path + "/db", families, &handles, &db).ok());
    handles.push_back(nullptr);
    ASSERT_TRUE(db->CreateColumnFamily({}, "later", &handles.back()).ok());
    for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle);
    delete db;
  }
  for (const auto access : {Store::Access::kRead, Store::Access::kWrite}) {
    const std::string message = refusal(path, access);
    EXPECT_NE(message.find(path), std::string::npos) << message;
    EXPECT_NE(message.find("schema " + std::to_string(kSchemaVersion + 1)), std::string::npos)
        << message;
  }
}

TEST(Failure, AForeignDatabaseIsRefused) {
  const TempFolder folder;
  {
    fs::create_directory(folder / "store");
    rocksdb::DB* db = nullptr;
    rocksdb::Options options;
    options.create_if_missing = true;
    ASSERT_TRUE(rocksdb::DB::Open(options, folder / "store/db", &db).ok());
    ASSERT_TRUE(db->Put({}, "someone", "else's").ok());
    delete db;
  }
  EXPECT_NE(refusal(folder / "store", Store::Access::kWrite).find("not a store"),
            std::string::npos);
}

TEST(Failure, DamageIsSaidAndNeverReadAsState) {
  const TempFolder folder;
  const std::string path = folder / "store";
  {
    const auto store = Store::open(path, Store::Access::kWrite);
    std::mt19937_64 random(8);
    ModelParticipant participant;
    participant.change(random, 200, 100, 10'000);
    commit(*store, participant);
    store->snapshot(EventTime{1}, 1);  // moves everything into table files
  }
  int flipped = 0;
  for (const auto& entry : fs::directory_iterator(path + "/db")) {
    if (entry.path().extension() != ".sst" || entry.file_size() < 10'000) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file.put('\x55').put('\xaa').put('\x55');
    ++flipped;
  }
  ASSERT_GT(flipped, 0);
  try {
    const auto store = Store::open(path, Store::Access::kRead);
    restored(*store);
    FAIL() << "damage was read as state";
  } catch (const StoreError& error) {
    // The snapshot shares the file, so it is no way back.
    EXPECT_NE(std::string(error.what()).find("no snapshot of it is whole"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace millrace
