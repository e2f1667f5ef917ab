// The commands that work on a store, as a shell sees them: exit code, standard output, and a
// message that says what to do next.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
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

TEST(StoreCommands, WhatIsNotBuiltYetIsRefusedByName) {
  for (const char* name : {"export", "rollback"}) {
    const Outcome outcome = millrace({"snapshot", name, "--store", "x", "--to", "y"});
    EXPECT_EQ(outcome.exit, kExitUsage);
    EXPECT_TRUE(contains(outcome.error, name)) << outcome.error;
    EXPECT_TRUE(contains(outcome.error, "not built yet")) << outcome.error;
  }
  EXPECT_EQ(millrace({"snapshot"}).exit, kExitUsage);
}

}  // namespace
}  // namespace millrace
