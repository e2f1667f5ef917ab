// `--migrate` as a user drives it: another shape is refused without it, taken with it, and what
// both shapes have is as it was; a process that dies on the way leaves the one store or the other.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "tests/support/servers.h"
#include "tests/support/shop_events.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const std::string kMillrace = BINARY_DIR "/millrace";
const std::string kFaults = BINARY_DIR "/tests/millrace-faults";
const std::string kConfig = SOURCE_DIR "/tests/data/contract/millrace.yaml";

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

struct Ended {
  int code = -1;
  json::object report;
  std::string log;
};

class Migration : public ::testing::Test {
 protected:
  Migration() {
    std::ofstream events(folder_ / "events.jsonl");
    for (const ShopRecord& record : shop_events_of({.impressions = 3000})) {
      events << record.json << '\n';
    }
    // Without `like` and `country`; with a task, a feature and experts more.
    std::string text = read_file(kConfig);
    text = replaced(text, "  - {name: like,  label: like,  given: ctr, entire_space: false}\n",
                    "  - {name: liked, label: like}\n");
    text = replaced(text, "name: country, ", "name: device, ");
    text = replaced(text, "ctr * cvr^0.5 * (1 + like)", "ctr * cvr^0.5");
    text = replaced(text, "experts: 4 ", "experts: 6 ");
    std::ofstream(other_) << text;
  }

  Ended replay(const std::string& config, const std::string& store,
               std::vector<std::string> more = {}, const std::string& program = kMillrace,
               const std::map<std::string, std::string>& environment = {}) {
    const std::string log = folder_ / ("log" + std::to_string(++runs_));
    const std::string report = folder_ / ("report" + std::to_string(runs_));
    std::vector<std::string> arguments{program,    "replay",
                                       "--config", config,
                                       "--events", folder_ / "events.jsonl",
                                       "--set",    "store.path=" + (folder_ / store),
                                       "--set",    "store.free_space=0B",
                                       "--report", report};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ChildProcess process(arguments, log, environment);
    Ended ended;
    ended.code = process.wait(120).value_or(-1);
    ended.log = read_file(log);
    if (ended.code == 0) ended.report = json::parse(read_file(report)).as_object();
    return ended;
  }

  json::object inspect(const std::string& store) {
    const std::string log = folder_ / ("inspect" + std::to_string(++runs_));
    ChildProcess process({kMillrace, "inspect", "--store", folder_ / store, "--json"}, log);
    EXPECT_EQ(process.wait(60), 0) << read_file(log);
    return json::parse(read_file(log)).as_object();
  }

  void copy(const std::string& from, const std::string& to) {
    fs::remove_all(folder_ / to);
    fs::copy(folder_ / from, folder_ / to, fs::copy_options::recursive);
  }

  TempFolder folder_;
  const std::string other_ = folder_ / "other.yaml";
  int runs_ = 0;
};

std::map<std::string, std::int64_t> rows_of(const json::object& inspection) {
  std::map<std::string, std::int64_t> rows;
  for (const json::value& table : inspection.at("tables").as_array()) {
    rows[std::string(table.at("name").as_string())] = table.at("rows").to_number<std::int64_t>();
  }
  return rows;
}

TEST_F(Migration, AnotherShapeIsTakenOnlyWhereItIsAskedFor) {
  ASSERT_EQ(replay(kConfig, "store").code, 0);
  const json::object before = inspect("store");

  const Ended refused = replay(other_, "store");
  EXPECT_EQ(refused.code, 78) << refused.log;
  EXPECT_NE(refused.log.find("features.device"), std::string::npos) << refused.log;
  EXPECT_EQ(inspect("store").at("digest"), before.at("digest"));

  const Ended taken = replay(other_, "store", {"--migrate"});
  ASSERT_EQ(taken.code, 0) << taken.log;
  for (const char* words : {"kept ctr, cvr, dwell; made liked; dropped like",
                            "made device; dropped country", "was migrated"}) {
    EXPECT_NE(taken.log.find(words), std::string::npos) << words << '\n' << taken.log;
  }
  const json::object after = inspect("store");
  for (const char* account : {"events", "impressions", "outcomes", "rows"}) {
    EXPECT_EQ(after.at(account), before.at(account)) << account;
  }
  auto kept = rows_of(before);
  kept.erase("country");
  auto rows = rows_of(after);
  rows.erase("device");
  EXPECT_EQ(rows, kept);
  EXPECT_EQ(taken.report.at("tasks").at("ctr").at("all").at("rows"),
            replay(other_, "store").report.at("tasks").at("ctr").at("all").at("rows"));

  const Ended again = replay(other_, "store", {"--migrate"});
  EXPECT_EQ(again.code, 0) << again.log;
  EXPECT_NE(again.log.find("nothing to migrate"), std::string::npos) << again.log;
  EXPECT_EQ(replay(other_, "store", {"--flush"}).code, 0);  // what waited is decided
}

TEST_F(Migration, SeedAndNameDoNotChange) {
  ASSERT_EQ(replay(kConfig, "store").code, 0);
  const json::value digest = inspect("store").at("digest");
  for (const char* set : {"train.seed=2", "name=other"}) {
    const Ended refused = replay(kConfig, "store", {"--migrate", "--set", set});
    EXPECT_EQ(refused.code, 78) << refused.log;
    EXPECT_NE(refused.log.find("changes neither name nor train.seed"), std::string::npos);
    EXPECT_EQ(inspect("store").at("digest"), digest);
  }
}

TEST_F(Migration, AnEmptyFolderHasNothingToMigrate) {
  EXPECT_EQ(replay(kConfig, "new", {"--migrate"}).code, 0);
}

TEST_F(Migration, AProcessThatDiesLeavesTheOneOrTheOther) {
  ASSERT_EQ(replay(kConfig, "store").code, 0);
  copy("store", "undisturbed");
  const Ended undisturbed = replay(other_, "undisturbed", {"--migrate"});
  ASSERT_EQ(undisturbed.code, 0) << undisturbed.log;
  int kills = 0;
  for (const char* point : {"rollback.begun", "rollback.prepared", "rollback.decided",
                            "rollback.moved_away", "rollback.moved_in", "rollback.before_end"}) {
    copy("store", "killed");
    const Ended died = replay(other_, "killed", {"--migrate"}, kFaults,
                              {{"FAULT_POINTS", std::string(point) + "=kill"}});
    kills += died.code == 128 + 9 ? 1 : 0;
    const Ended done = replay(other_, "killed", {"--migrate"});
    ASSERT_EQ(done.code, 0) << point << '\n' << done.log;
    EXPECT_EQ(done.report.at("digest"), undisturbed.report.at("digest")) << point;
    EXPECT_FALSE(fs::exists(folder_ / "killed/.rollback")) << point;
  }
  EXPECT_EQ(kills, 6);
}

}  // namespace
}  // namespace millrace
