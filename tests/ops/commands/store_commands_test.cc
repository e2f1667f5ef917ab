// The commands that work on a store, as a shell sees them: exit code, standard output, and a
// message that says what to do next.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "ops/commands/inspect.h"
#include "ops/commands/snapshot.h"
#include "store/store.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

struct Outcome {
  int exit;
  std::string out, error;
};

Outcome millrace(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "millrace");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  Command program("millrace", "");
  add_inspect_command(program);
  add_snapshot_command(program);
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int exit = program.main(static_cast<int>(arguments.size()), argv.data(), "0");
  return {exit, ::testing::internal::GetCapturedStdout(), ::testing::internal::GetCapturedStderr()};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(StoreCommands, InspectWorksBesideAWriter) {
  const TempFolder folder;
  const auto store = Store::open(folder / "store", Store::Access::kWrite);
  store->write({7, {}});
  const Outcome json = millrace({"inspect", "--store", folder / "store", "--json"});
  EXPECT_EQ(json.exit, kExitDone);
  EXPECT_EQ(boost::json::parse(json.out).at("commit").to_number<int>(), 7);
  const Outcome text = millrace({"inspect", "--store", folder / "store"});
  EXPECT_EQ(text.exit, kExitDone);
  EXPECT_TRUE(contains(text.out, "commit        7\n")) << text.out;
}

TEST(StoreCommands, WhatIsNoStoreIsSaidAndNotMade) {
  const TempFolder folder;
  const std::string path = folder / "none";
  for (const auto& command : std::vector<std::vector<std::string>>{
           {"inspect"}, {"snapshot", "list"}, {"snapshot", "create"}}) {
    auto arguments = command;
    arguments.insert(arguments.end(), {"--store", path});
    const Outcome outcome = millrace(arguments);
    EXPECT_EQ(outcome.exit, kExitFailed);
    EXPECT_TRUE(contains(outcome.error, "there is no store in " + path)) << outcome.error;
    EXPECT_EQ(millrace(command).exit, kExitUsage) << "without --store";
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(StoreCommands, SnapshotsAreMadeListedAndKept) {
  const TempFolder folder;
  Store::open(folder / "store", Store::Access::kWrite)->write({7, {}});
  const Outcome made = millrace({"snapshot", "create", "--store", folder / "store"});
  EXPECT_EQ(made.exit, kExitDone);
  EXPECT_TRUE(contains(made.out, "commit 7")) << made.out;
  EXPECT_EQ(millrace({"snapshot", "list", "--store", folder / "store"}).out, made.out);

  Store::open(folder / "store", Store::Access::kWrite)->write({8, {}});
  const Outcome kept = millrace({"snapshot", "create", "--store", folder / "store", "--keep", "1"});
  EXPECT_EQ(millrace({"snapshot", "list", "--store", folder / "store"}).out, kept.out);
  EXPECT_EQ(millrace({"snapshot", "create", "--store", folder / "store", "--keep", "0"}).exit,
            kExitUsage);
}

TEST(StoreCommands, AHeldStoreIsListedButTheApiMustTakeTheSnapshot) {
  const TempFolder folder;
  const auto daemon = Store::open(folder / "store", Store::Access::kWrite);
  daemon->write({7, {}});
  daemon->snapshot(EventTime{1}, 3);
  const Outcome create = millrace({"snapshot", "create", "--store", folder / "store"});
  EXPECT_EQ(create.exit, kExitFailed);
  EXPECT_TRUE(contains(create.error, "POST")) << create.error;
  EXPECT_TRUE(contains(create.error, "/v1/admin/snapshot")) << create.error;
  EXPECT_EQ(daemon->snapshots().size(), 1u);
  const Outcome list = millrace({"snapshot", "list", "--store", folder / "store"});
  EXPECT_EQ(list.exit, kExitDone);
  EXPECT_TRUE(contains(list.out, daemon->snapshots()[0].name)) << list.out;
}

TEST(StoreCommands, ASnapshotGoesToAnotherStoreAndBack) {
  const TempFolder folder;
  {
    const auto store = Store::open(folder / "store", Store::Access::kWrite);
    store->write({7, {}});
    store->snapshot(EventTime{1'700'000'000'000}, 3);
    store->write({9, {}});
  }
  Store::open(folder / "other", Store::Access::kWrite)->write({1, {}});
  const std::string tar = folder / "s.tar";
  const Outcome exported =
      millrace({"snapshot", "export", "--store", folder / "store", "--to", tar});
  EXPECT_EQ(exported.exit, kExitDone) << exported.error;
  EXPECT_EQ(millrace({"snapshot", "export", "--store", folder / "store", "--to", tar}).exit,
            kExitFailed)
      << "nothing is written over";
  const Outcome imported =
      millrace({"snapshot", "import", "--store", folder / "other", "--from", tar, "--json"});
  EXPECT_EQ(imported.exit, kExitDone) << imported.error;
  EXPECT_EQ(boost::json::parse(imported.out).at("commit").to_number<int>(), 7);
  EXPECT_EQ(millrace({"snapshot", "list", "--store", folder / "other"}).out, exported.out);

  const std::string fresh = folder / "disk/new";  // is not there yet
  const Outcome restored = millrace({"snapshot", "import", "--store", fresh, "--from", tar});
  EXPECT_EQ(restored.exit, kExitDone) << restored.error;
  const Outcome rolled =
      millrace({"snapshot", "rollback", "--store", fresh, "--to", "latest", "--offsets", "rewind"});
  EXPECT_EQ(rolled.exit, kExitDone) << rolled.error;
  EXPECT_EQ(Store::open(fresh, Store::Access::kRead)->sequence(), 8u);

  const Outcome verified = millrace({"snapshot", "verify", "--store", folder / "other", "--json"});
  EXPECT_EQ(verified.exit, kExitDone);
  EXPECT_TRUE(boost::json::parse(verified.out).at(0).at("good").as_bool());
  const std::string name(boost::json::parse(imported.out).at("name").as_string());
  std::ofstream(folder / ("other/snapshots/" + name + "/db/CURRENT")) << "MANIFEST-000000";
  const Outcome damaged = millrace({"snapshot", "verify", "--store", folder / "other"});
  EXPECT_EQ(damaged.exit, kExitFailed);
  EXPECT_TRUE(contains(damaged.error, "CURRENT")) << damaged.error;
}

TEST(StoreCommands, RollbackSaysWhatItDidAndInspectRemembers) {
  const TempFolder folder;
  const std::string path = folder / "store";
  {
    const auto store = Store::open(path, Store::Access::kWrite);
    store->write({7, {}});
    store->snapshot(EventTime{1'700'000'000'000}, 3);
    store->write({9, {}});
  }
  const std::vector<std::string> rollback{"snapshot", "rollback", "--store",
                                          path,       "--to",     "latest"};
  auto with = [&](const std::string& offsets, const std::string& more = "--json") {
    std::vector<std::string> arguments = rollback;
    arguments.insert(arguments.end(), {"--offsets", offsets, more});
    return millrace(arguments);
  };
  EXPECT_EQ(with("maybe").exit, kExitUsage);
  EXPECT_EQ(millrace(rollback).exit, kExitUsage) << "the policy must be named";
  const Outcome done = with("rewind");
  EXPECT_EQ(done.exit, kExitDone) << done.error;
  const auto result = boost::json::parse(done.out);
  EXPECT_EQ(result.at("from_commit").to_number<int>(), 9);
  EXPECT_EQ(result.at("to_commit").to_number<int>(), 7);
  EXPECT_EQ(result.at("commit").to_number<int>(), 10);

  const auto found = boost::json::parse(millrace({"inspect", "--store", path, "--json"}).out);
  EXPECT_EQ(found.at("commit").to_number<int>(), 10);
  EXPECT_EQ(found.at("history").at(0).at("event"), "rollback");
  EXPECT_EQ(found.at("history").at(0).at("offsets"), "rewind");
  EXPECT_TRUE(found.at("lost_commits").is_null());
  EXPECT_TRUE(contains(millrace({"inspect", "--store", path}).out, "rollback"));

  const auto daemon = Store::open(path, Store::Access::kWrite);
  const Outcome held = with("keep");
  EXPECT_EQ(held.exit, kExitFailed);
  EXPECT_TRUE(contains(held.error, "/v1/admin/rollback")) << held.error;
  EXPECT_EQ(daemon->sequence(), 10u);
}

}  // namespace
}  // namespace millrace
