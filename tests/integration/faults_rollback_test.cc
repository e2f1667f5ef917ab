// Going back to a snapshot while the process dies at every step of it: what is there is the state
// before or the state after, and what is learned again comes to the same bits. And all policies of
// delayed feedback in one model, whose waiting scores and rows at once go through the same.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "tests/integration/fault_form.h"
#include "tests/integration/shop.h"
#include "tests/integration/shop_feed.h"
#include "tests/support/http_client.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const std::vector<std::string> kSteps{
    "rollback.begun",      "rollback.copied",   "rollback.prepared",  "rollback.decided",
    "rollback.moved_away", "rollback.moved_in", "rollback.before_end"};
// From here on the new state is put in place, whoever comes next.
constexpr std::size_t kDecided = 3;

std::map<std::string, std::string> killed_at(const std::string& place) {
  return {{"FAULT_POINTS", place + "=kill"}};
}

struct FaultsRollback : ::testing::Test {
  Shop shop{KafkaServer::shared(),
            ::testing::UnitTest::GetInstance()->current_test_info()->name(),
            {"store.commit_every=20ms", "store.snapshots.every=1h", "store.free_space=0B",
             "serve.publish_every=50ms"}};

  // Status 0 where the daemon died of it.
  HttpReply ask(const std::string& target, const std::string& body = "") {
    try {
      return fetch(shop.port(), http_request("POST", target, body, "Connection: close\r\n"));
    } catch (const std::runtime_error&) {
      return {};
    }
  }
  std::string take_snapshot() {
    const HttpReply reply = ask("/v1/admin/snapshot");
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.status == 200 ? std::string(json::parse(reply.body).at("name").as_string()) : "";
  }
  HttpReply rewind_to(const std::string& snapshot) {
    return ask("/v1/admin/rollback", R"({"snapshot":")" + snapshot + R"(","offsets":"rewind"})");
  }
  // `millrace snapshot …`; its exit code.
  int snapshot(std::vector<std::string> arguments, const std::string& store,
               const std::map<std::string, std::string>& faults = {}) {
    arguments.insert(arguments.begin(), {BINARY_DIR "/tests/millrace-faults", "snapshot"});
    arguments.insert(arguments.end(), {"--store", shop.store(store)});
    ChildProcess process(arguments, shop.log("snapshot"), faults);
    return process.wait(60).value_or(-1);
  }
  int roll_back(const std::string& store, const std::string& offsets,
                const std::map<std::string, std::string>& faults = {}) {
    return snapshot({"rollback", "--to", "latest", "--offsets", offsets}, store, faults);
  }
  void copy(const std::string& from, const std::string& to) {
    fs::remove_all(shop.store(to));
    fs::copy(shop.store(from), shop.store(to), fs::copy_options::recursive);
  }
  // So slow that it can be met in the middle of what there is to take.
  void start_slowly(ShopDaemon& daemon) {
    daemon.start({{"FAULT_POINTS", "source.step=sleep(25)@1+"}});
  }
};

TEST_F(FaultsRollback, ByTheApiKilledAtEveryStepLearnsAgainToTheSameBits) {
  shop.create_topics();
  const auto records = shop_events_of({.impressions = by_form(6'000, 60'000), .garbage = 0.01});
  ShopFeed(shop, records, 0).join();
  ShopDaemon daemon(shop, "killed");
  ShopWatch watch(shop);
  watch.expect_rewinds();
  start_slowly(daemon);
  ASSERT_TRUE(daemon.wait_taken(records.size() / 3));
  const std::string snapshot = take_snapshot();
  int kills = 0;
  for (const bool settles : {true, false}) {  // whether a start in between ends what was begun
    if (!settles && !is_long_form()) continue;
    for (std::size_t i = 0; i < kSteps.size(); i += by_form<std::size_t>(3, 1)) {
      if (settles) {
        daemon.start();
        ASSERT_TRUE(daemon.wait_ready()) << daemon.log();
      }
      daemon.start(killed_at(kSteps[i]));
      if (settles || i <= kDecided) {
        ASSERT_TRUE(daemon.wait_ready()) << daemon.log();
        rewind_to(snapshot);
      }  // else the start ends the rollback that was decided before, and dies of it
      ASSERT_EQ(daemon.process().wait(60), 128 + SIGKILL) << kSteps[i] << '\n' << daemon.log();
      ++kills;
    }
  }
  ASSERT_TRUE(daemon.wait_taken(records.size()));
  EXPECT_EQ(daemon.stop(), 0) << daemon.log();
  EXPECT_EQ(watch.end().first_failure, "");
  const json::object state = shop.inspect("killed");
  const json::object undisturbed = shop.replay("undisturbed");
  EXPECT_EQ(imbalance_of(state), "");
  EXPECT_EQ(accounts_of(state), accounts_of(undisturbed));
  EXPECT_EQ(state.at("digest"), undisturbed.at("digest"));
  EXPECT_FALSE(state.at("history").as_array().empty());
  EXPECT_FALSE(fs::exists(shop.store("killed") + "/.rollback"));
  report_figure("kills", kills);
  report_figure("events", records.size());
}

TEST_F(FaultsRollback, ByCommandKilledAtEveryStepLeavesTheOneOrTheOther) {
  const auto records = shop_events_of({.impressions = by_form(1'500, 15'000)});
  const auto half = records.begin() + static_cast<std::ptrdiff_t>(records.size() / 2);
  const std::vector<std::string> first{"--events",
                                       shop.write_file("first.jsonl", {records.begin(), half})};
  std::vector<std::string> both = first;
  both.insert(both.end(), {"--events", shop.write_file("second.jsonl", {half, records.end()})});
  shop.replay("store", {}, first);
  ASSERT_EQ(snapshot({"create"}, "store"), 0);
  const json::object before = shop.replay("store", {}, both);
  int kills = 0;
  for (const std::string offsets : {"rewind", "keep"}) {
    copy("store", "undisturbed");
    ASSERT_EQ(roll_back("undisturbed", offsets), 0);
    // With nothing new to take; of what is learned again the bits are those from before.
    const json::object after = shop.replay("undisturbed", {}, both);
    EXPECT_EQ(after.at("digest") == before.at("digest"), offsets == "rewind");
    EXPECT_EQ(accounts_of(after), accounts_of(before));
    for (std::size_t i = 0; i < kSteps.size(); ++i) {
      const std::string& step = kSteps[i];
      const bool decided = i >= kDecided;
      copy("store", "killed");
      EXPECT_EQ(roll_back("killed", offsets, killed_at(step)), 128 + SIGKILL) << step;
      ++kills;
      const json::object left = shop.replay("killed", {}, both);
      EXPECT_EQ(accounts_of(left), accounts_of(before)) << offsets << " at " << step;
      EXPECT_EQ(left.at("digest"), (decided ? after : before).at("digest"))
          << offsets << " at " << step;
      const json::array history = shop.inspect("killed").at("history").as_array();
      EXPECT_EQ(history.size(), decided ? 1u : 0u) << offsets << " at " << step;
      EXPECT_FALSE(fs::exists(shop.store("killed") + "/.rollback")) << step;
    }
  }
  report_figure("kills", kills);
}

// The contract's tasks, and two whose labels cost no condition.
constexpr const char* kTasks =
    "tasks=[{name: ctr, label: click}, {name: cvr, label: conversion, given: ctr}, "
    "{name: dwell, label: dwell, kind: regression, transform: log1p, given: ctr}, "
    "{name: like, label: like, given: ctr, entire_space: false}, "
    "{name: bought, label: conversion}, {name: liked, label: like}]";

struct FaultsFeedback : FaultsRollback {
  // Each policy, through kills, a rollback and kills again. Rows at once depend on the order of
  // taking, which is fixed where all records are there before.
  void expect_undisturbed_bits(const std::vector<std::string>& sets) {
    shop.create_topics();
    const auto records = shop_events_of({.impressions = by_form(10'000, 60'000),
                                         .milliseconds_per_impression = 2,
                                         .duplicates = 0.02,
                                         .garbage = 0.01,
                                         .shuffle = 900});
    ShopFeed(shop, records, 0).join();
    ShopDaemon daemon(shop, "killed", sets);
    ShopWatch watch(shop);
    watch.expect_rewinds();
    int kills = 0;
    auto kill_on_the_way = [&] {
      static const std::vector<std::string> kPlaces{"commit.after_write",  "commit.before_write",
                                                    "train.batch",         "source.step",
                                                    "publish.after_apply", "barrier.begin"};
      for (std::size_t i = 0; i < kPlaces.size(); i += by_form<std::size_t>(2, 1)) {
        const std::string& place = kPlaces[i];
        daemon.start({{"FAULT_POINTS", "source.step=sleep(25)@1+;" + place + "=kill@2"}});
        ASSERT_EQ(daemon.process().wait(60), 128 + SIGKILL) << place << '\n' << daemon.log();
        ++kills;
      }
    };
    start_slowly(daemon);
    ASSERT_TRUE(daemon.wait_taken(records.size() / 4));
    const std::string snapshot = take_snapshot();
    kill_on_the_way();
    if (HasFatalFailure()) return;
    start_slowly(daemon);
    ASSERT_TRUE(daemon.wait_taken(records.size() * 2 / 3));
    EXPECT_EQ(rewind_to(snapshot).status, 200) << daemon.log();
    kill_on_the_way();
    if (HasFatalFailure()) return;
    ASSERT_TRUE(daemon.wait_taken(records.size()));
    EXPECT_EQ(daemon.stop(), 0) << daemon.log();
    EXPECT_EQ(watch.end().first_failure, "");
    const json::object state = shop.inspect("killed");
    const json::object undisturbed = shop.replay("undisturbed", sets);
    EXPECT_EQ(imbalance_of(state), "");
    EXPECT_EQ(accounts_of(state), accounts_of(undisturbed));
    EXPECT_EQ(state.at("digest"), undisturbed.at("digest"));
    // Flushed, and so with every label decided and measured, the two are one still.
    const json::object end = shop.replay("killed", sets, {"--flush"});
    const json::object flushed = shop.replay("undisturbed", sets, {"--flush"});
    EXPECT_EQ(accounts_of(end), accounts_of(flushed));
    EXPECT_EQ(end.at("digest"), flushed.at("digest"));
    for (const char* task : {"ctr", "cvr", "bought", "liked"}) {
      EXPECT_EQ(end.at("tasks").at(task).at("all"), flushed.at("tasks").at(task).at("all"));
      EXPECT_GT(end.at("tasks").at(task).at("all").at("rows").to_number<int>(), 100) << task;
    }
    report_figure("kills", kills);
    report_figure("events", records.size());
  }
};

TEST_F(FaultsFeedback, AllPoliciesAtOnce) {
  expect_undisturbed_bits(
      {kTasks,
       "train.delayed_feedback={ctr: fnw, cvr: {policy: es_dfm, short_wait: 1s}, "
       "like: {policy: defer, short_wait: 500ms}, bought: fnc, "
       "liked: {policy: es_dfm, short_wait: 2s}}"});
}

TEST_F(FaultsFeedback, AllPoliciesWithNegativeSampling) {
  expect_undisturbed_bits({kTasks, "train.negative_sampling={rate: 0.5, task: ctr}",
                           "train.delayed_feedback={cvr: {policy: es_dfm, short_wait: 1s}, "
                           "like: {policy: defer, short_wait: 500ms}, bought: fnc, liked: fnw}"});
}

}  // namespace
}  // namespace millrace
