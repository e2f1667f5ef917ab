// A snapshot leaves the store and comes back byte for byte, through a folder or a tar file that
// `tar` understands; one with a single wrong byte is refused and never listed; what is in use
// stays.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "store/manifest.h"
#include "store/store.h"
#include "store/tar.h"
#include "tests/store/commits.h"
#include "tests/support/model_participant.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

struct TransferTest : ::testing::Test {
  const TempFolder folder;
  ModelParticipant participant;
  SnapshotInfo snapshot;
  std::uint64_t digest = 0;

  void SetUp() override {
    std::mt19937_64 random(5);
    const auto store = Store::open(folder / "one", Store::Access::kWrite);
    participant.change(random, 300, 400, 3000);
    commit(*store, participant);
    snapshot = store->snapshot(EventTime{1'700'000'000'123}, 3);
    participant.change(random, 10, 400, 30);
    commit(*store, participant);
    digest =
        Store::open(folder / ("one/snapshots/" + snapshot.name), Store::Access::kRead)->digest();
    Store::open(folder / "two", Store::Access::kWrite)->write({1, {}});
  }
  SnapshotFolder of(const std::string& store) const {
    return SnapshotFolder(folder / (store + "/snapshots"));
  }
  std::string refusal(const std::string& from) const {
    try {
      of("two").import_from(from);
      return "";
    } catch (const StoreError& error) {
      EXPECT_TRUE(of("two").list().empty()) << "listed, though refused";
      EXPECT_TRUE(!fs::exists(folder / "two/snapshots") || fs::is_empty(folder / "two/snapshots"));
      return error.what();
    }
  }
};

// The working folder, while it lives.
class Within {
 public:
  explicit Within(const fs::path& folder) : before_(fs::current_path()) {
    fs::current_path(folder);
  }
  Within(const Within&) = delete;
  Within& operator=(const Within&) = delete;
  ~Within() { fs::current_path(before_); }

 private:
  const fs::path before_;
};

TEST_F(TransferTest, ABareNameLiesInTheWorkingFolder) {
  const SnapshotFolder snapshots(fs::absolute(folder / "one/snapshots"));
  fs::create_directory(folder / "work");
  const Within within(folder / "work");
  for (const std::string to : {"bare.tar", "bare", "ended/"}) {
    snapshots.export_to(snapshot, to);
    EXPECT_TRUE(fs::exists(to)) << to;
  }
  const auto count = std::distance(fs::directory_iterator("."), fs::directory_iterator());
  EXPECT_EQ(count, 3) << "and nothing else";
}

/// Root may read everything, so it becomes somebody else, who has `folder`, for as long as this
/// lives.
class NotRoot {
 public:
  explicit NotRoot(const fs::path& folder) {
    if (!was_root_) return;
    give(folder);
    for (const auto& entry : fs::recursive_directory_iterator(folder)) give(entry.path());
    EXPECT_EQ(::seteuid(kNobody), 0);
  }
  ~NotRoot() {
    if (!was_root_) return;
    EXPECT_EQ(::seteuid(0), 0);
  }
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
  static void give(const fs::path& path) {
    EXPECT_EQ(::lchown(path.c_str(), kNobody, gid_t(-1)), 0);
  }
  const bool was_root_ = ::geteuid() == 0;
};

// A folder that can be written and not read: the name in it cannot be synced.
TEST_F(TransferTest, AnExportThatFailsLeavesNothing) {
  const NotRoot not_root(std::string(folder / "."));
  const fs::path out = folder / "out";
  fs::create_directory(out);
  for (const char* to : {"exported", "exported.tar"}) {
    fs::permissions(out, fs::perms::owner_write | fs::perms::owner_exec);
    EXPECT_THROW(of("one").export_to(snapshot, out / to), StoreError);
    fs::permissions(out, fs::perms::owner_all);
    EXPECT_TRUE(fs::is_empty(out)) << to;
  }
}

// A disk that was lost: there is no folder yet.
TEST_F(TransferTest, ComesIntoAStoreThatIsNotThere) {
  of("one").export_to(snapshot, folder / "s.tar");
  EXPECT_EQ(of("new/disk").import_from(folder / "s.tar").name, snapshot.name);
  EXPECT_EQ(of("new/disk").list().size(), 1u);
}

TEST_F(TransferTest, ComesBackThroughAFolderOrATarFile) {
  for (const std::string to : {"exported", "exported.tar"}) {
    of("one").export_to(snapshot, folder / to);
    const SnapshotInfo back = of("two").import_from(folder / to);
    EXPECT_EQ(back.name, snapshot.name);
    EXPECT_EQ(back.bytes, snapshot.bytes);
    EXPECT_TRUE(of("two").verify(back));
    const auto copy = Store::open(folder / ("two/snapshots/" + back.name), Store::Access::kRead);
    EXPECT_EQ(copy->sequence(), 1u);
    EXPECT_EQ(copy->digest(), digest);
    EXPECT_THROW(of("two").import_from(folder / to), StoreError) << "it is there already";
    EXPECT_EQ(of("two").list().size(), 1u);
    fs::remove_all(folder / "two/snapshots");
    EXPECT_THROW(of("one").export_to(snapshot, folder / to), StoreError)
        << "nothing is overwritten";
  }
  EXPECT_EQ(
      std::system(("tar tf " + (folder / "exported.tar") + " > " + (folder / "list")).c_str()), 0);
  std::ifstream list(folder / "list");
  std::stringstream names;
  names << list.rdbuf();
  EXPECT_NE(names.str().find("manifest.json\n"), std::string::npos);
  EXPECT_NE(names.str().find("db/CURRENT\n"), std::string::npos);
}

TEST_F(TransferTest, OneWrongByteIsRefused) {
  of("one").export_to(snapshot, folder / "good");
  of("one").export_to(snapshot, folder / "good.tar");
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder / "good/db")) {
    if (entry.file_size() == 0) continue;
    fs::remove_all(folder / "bad");
    fs::copy(folder / "good", folder / "bad", fs::copy_options::recursive);
    {
      std::fstream file(fs::path(folder / "bad/db") / entry.path().filename(),
                        std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(static_cast<std::streamoff>(entry.file_size() / 2));
      const char byte = static_cast<char>(file.get());
      file.seekp(static_cast<std::streamoff>(entry.file_size() / 2));
      file.put(static_cast<char>(byte ^ 4));
    }
    EXPECT_NE(refusal(folder / "bad").find(entry.path().filename().string()), std::string::npos);
    ++files;
  }
  EXPECT_GE(files, 4);
  fs::resize_file(folder / "good.tar", fs::file_size(folder / "good.tar") / 2);
  EXPECT_NE(refusal(folder / "good.tar"), "") << "cut off";
  std::ofstream(folder / "no.tar") << std::string(2000, 'x');
  EXPECT_NE(refusal(folder / "no.tar"), "");
  fs::remove_all(folder / "bad");
  fs::copy(folder / "good", folder / "bad", fs::copy_options::recursive);
  std::ofstream(folder / "bad/db/extra") << "x";
  EXPECT_NE(refusal(folder / "bad"), "") << "taken over without the extra file, it would be wrong";
  fs::remove(folder / "bad/manifest.json");
  EXPECT_NE(refusal(folder / "bad"), "");
}

TEST_F(TransferTest, ATarFileCannotWriteOutsideTheStore) {
  std::ofstream(folder / "evil") << "x";
  for (const char* name : {"../evil", "db/../../evil", "/tmp/evil", "db/x/y", "other", "db/.x"}) {
    fs::remove(folder / "evil.tar");
    TarWriter tar(folder / "evil.tar");
    tar.add(name, folder / "evil");
    tar.finish();
    EXPECT_NE(refusal(folder / "evil.tar").find("no snapshot has"), std::string::npos) << name;
  }
}

TEST_F(TransferTest, VerifyFindsDamageAndTheNewestGoodOne) {
  const auto store = Store::open(folder / "one", Store::Access::kWrite);
  const SnapshotInfo newer = store->snapshot(EventTime{1'700'000'000'500}, 3);
  EXPECT_EQ(of("one").newest_good()->name, newer.name);
  // A file that the two do not share.
  const std::string own = folder / ("one/snapshots/" + newer.name + "/db/CURRENT");
  fs::remove(own);
  std::ofstream(own) << "MANIFEST-000099\n";
  EXPECT_FALSE(of("one").verify(newer));
  EXPECT_EQ(of("one").newest_good()->name, snapshot.name);
  EXPECT_THROW(of("one").export_to(newer, folder / "x"), StoreError);
  EXPECT_FALSE(fs::exists(folder / "x"));
}

TEST_F(TransferTest, OneThatIsInUseIsKept) {
  const auto store = Store::open(folder / "one", Store::Access::kWrite);
  const auto reader =
      Store::open(folder / ("one/snapshots/" + snapshot.name), Store::Access::kRead);
  store->snapshot(EventTime{1'700'000'000'500}, 1);
  EXPECT_EQ(store->snapshots().size(), 2u);
  EXPECT_EQ(reader->digest(), digest);
}

TEST(Manifest, IsReadAsItWasWritten) {
  const Manifest manifest{
      42, EventTime{1'700'000'000'001}, {{"000012.sst", 7, 0xffee}, {"CURRENT", 0, 1}}};
  const auto back = parse_manifest(print_manifest(manifest));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->commit, 42u);
  EXPECT_EQ(back->taken, manifest.taken);
  ASSERT_EQ(back->files.size(), 2u);
  EXPECT_EQ(back->files[0].name, "000012.sst");
  EXPECT_EQ(back->files[0].hash, 0xffeeu);
  const std::string text = print_manifest(manifest);
  for (std::size_t cut = 0; cut + 2 < text.size(); ++cut) {
    EXPECT_FALSE(parse_manifest(text.substr(0, cut))) << cut;
  }
  EXPECT_FALSE(parse_manifest(R"({"commit": 1, "taken": "2025-01-01T00:00:00.000Z", "files": [
    {"name": "../x", "bytes": 1, "hash": "00"}]})"));
}

}  // namespace
}  // namespace millrace
