// A start says where nobody can tell whether commits are lost.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "ops/config/load.h"
#include "ops/engine/engine.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

TEST(Engine, AStartSaysThatWhatWasAcknowledgedCannotBeRead) {
  const TempFolder folder;
  std::ofstream(folder / "events.jsonl") << "{}\n";
  const auto loaded = load_config_text(
      "name: shop\n"
      "events: {impression: {}, click: {window: 1m}}\n"
      "features: [{name: a, type: numeric}]\n"
      "tasks: [{name: click}]\n"
      "store: {path: " +
          (folder / "store") + ", free_space: 0}\n",
      "f", {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto warnings = [&] {
    std::vector<std::string> found;
    EngineOptions options;
    options.config = loaded->config;
    options.files = {folder / "events.jsonl"};
    options.clock = [] { return EventTime{1'764'100'000'000}; };
    options.log = [&](std::string_view level, const std::string& message) {
      if (level == "warning") found.push_back(message);
    };
    auto made = Engine::make(std::move(options));
    EXPECT_TRUE(made) << made.error().message;
    (*made)->open();
    (*made)->finish();
    return found;
  };
  EXPECT_TRUE(warnings().empty());
  std::ofstream(folder / "store/acknowledged") << "x";
  const auto said = warnings();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_NE(said[0].find("acknowledged cannot be read"), std::string::npos) << said[0];
  EXPECT_TRUE(warnings().empty()) << "the commit wrote it anew";
}

}  // namespace
}  // namespace millrace
