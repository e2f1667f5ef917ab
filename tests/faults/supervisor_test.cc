// Whatever fails while a daemon learns, scores are served all the time; learning starts again from
// the last commit by itself, versions only rise, and in the end the weights are those of a run
// that nothing disturbed.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ops/demo/embedded_broker.h"
#include "tests/faults/daemon.h"
#include "tests/faults/small_disk.h"
#include "tests/support/faults/failpoint.h"
#include "tests/support/faults/faulty_files.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr int kPartitions = 2;

// Asks for scores and versions all the time.
class Asker {
 public:
  explicit Asker(const Daemon& daemon) : daemon_(daemon) {
    thread_ = std::thread([this] { ask(); });
  }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;
  ~Asker() {
    stop_ = true;
    thread_.join();
    EXPECT_GT(asked_, 10);
    EXPECT_EQ(refused_, 0) << first_refusal_;
    EXPECT_TRUE(rising_) << "a version went back";
  }

 private:
  void ask() {
    VersionNumber last{};
    while (!stop_) {
      const VersionNumber now = daemon_.version();
      if (now < last) rising_ = false;
      last = now;
      const HttpReply reply =
          daemon_.http("POST", "/v1/score",
                       R"({"context":{"user_id":"u1"},"candidates":[{"id":"m1","item_id":"m1"}]})");
      ++asked_;
      if (reply.status != 200 && refused_++ == 0) first_refusal_ = reply.body;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
  const Daemon& daemon_;
  std::atomic<bool> stop_{false};
  std::atomic<int> asked_{0}, refused_{0};
  std::atomic<bool> rising_{true};
  std::string first_refusal_;
  std::thread thread_;
};

class SupervisorTest : public ::testing::Test {
 protected:
  const TempFolder folder_;
  const EmbeddedBroker broker_{{"impressions", "clicks", "conversions", "dwell", "likes"},
                               kPartitions};
  const std::vector<ShopRecord> records_ =
      shop_events_of({.impressions = 12'000, .milliseconds_per_impression = 2, .shuffle = 900});

  void TearDown() override {
    faults::set_failpoints("");
    faults::set_file_faults("");
  }
  Config config(const std::string& store, const std::map<std::string, std::string>& more = {}) {
    return daemon_config(folder_ / store, broker_.address(), more);
  }
  std::string all_taken() const {
    return "millrace_events_taken_total " + std::to_string(records_.size());
  }
  std::uint64_t digest_of_store(const std::string& store) {
    return Store::open(folder_ / store, Store::Access::kRead)->digest();
  }
  std::uint64_t undisturbed() {
    Daemon daemon(config("undisturbed"));
    EXPECT_TRUE(daemon.shows(all_taken())) << daemon.log();
    EXPECT_TRUE(daemon.stop());
    return digest_of_store("undisturbed");
  }
};

TEST_F(SupervisorTest, EveryFailureIsGoneOnFrom) {
  produce(broker_.address(), records_, kPartitions);
  const std::uint64_t expected = undisturbed();
  const std::pair<const char*, const char*> faults[] = {
      {"commit.before_write=fail@3", ""},
      {"commit.after_write=fail@3", ""},
      {"train.batch=fail@40", ""},
      {"train.barrier=fail@2", ""},
      {"source.step=fail@9", ""},
      {"publish.before_apply=fail", ""},
      {"publish.after_apply=fail", ""},
      {"recovery.before_first_commit=fail@2-3;source.step=fail@9", ""},
      {"", "write:.log=ENOSPC@4-7"},
      {"", "sync:.log=EIO@4"},
      {"", "write:.log=short@4"}};
  int run = 0;
  for (const auto& [points, files] : faults) {
    const std::string store = "store" + std::to_string(++run);
    faults::set_failpoints(points);
    faults::set_file_faults(files);
    Daemon daemon(config(store, {{"store.commit_every", "10ms"}}));
    {
      const Asker asker(daemon);
      ASSERT_TRUE(daemon.shows(all_taken())) << points << files << '\n' << daemon.log();
    }
    const std::string metrics = daemon.http("GET", "/metrics").body;
    EXPECT_EQ(metrics.find("\nmillrace_learning_restarts_total 0\n"), std::string::npos)
        << points << files << ": nothing failed\n"
        << daemon.log();
    EXPECT_NE(metrics.find("\nmillrace_learning_state{state=\"running\"} 1\n"), std::string::npos);
    EXPECT_NE(daemon.log().find("learning failed"), std::string::npos);
    EXPECT_TRUE(daemon.stop()) << daemon.log();
    faults::set_failpoints("");
    faults::set_file_faults("");
    EXPECT_EQ(digest_of_store(store), expected) << points << files;
  }
}

TEST_F(SupervisorTest, WhileItIsDownItSaysSoAndServes) {
  produce(broker_.address(), records_, kPartitions);
  faults::set_failpoints("train.batch=fail@40;recovery.opened=fail@2-1000");
  Daemon daemon(config("store"));
  const Asker asker(daemon);
  ASSERT_TRUE(daemon.shows("millrace_learning_state{state=\"restarting\"} 1")) << daemon.log();
  EXPECT_TRUE(daemon.shows("millrace_learning_stopped 1"));
  const auto ready = json::parse(daemon.http("GET", "/readyz").body).as_object();
  EXPECT_EQ(ready.at("status"), "ready");
  EXPECT_EQ(ready.at("learning"), "restarting");
  EXPECT_NE(ready.at("reason").as_string().find("failpoint"), std::string::npos);
  EXPECT_EQ(daemon.http("GET", "/v1/tasks").status, 200);
  EXPECT_EQ(daemon.http("POST", "/v1/admin/snapshot").status, 503);
  EXPECT_NE(daemon.http("GET", "/metrics").body.find("millrace_events_taken_total"),
            std::string::npos)
      << "the last figures stay";
  faults::set_failpoints("");
  EXPECT_TRUE(daemon.shows(all_taken())) << daemon.log();
}

TEST_F(SupervisorTest, LearningPausesWhereThereIsNoRoomAndGoesOn) {
  const std::string disk = folder_ / "disk";
  const SmallDisk mounted(disk, "300m");
  if (!mounted.mounted()) GTEST_SKIP() << kNeedsMount;
  produce(broker_.address(), records_, kPartitions);
  const std::uint64_t expected = undisturbed();
  auto fill = [&](std::uint64_t bytes) {
    std::ofstream file(disk + "/ballast", std::ios::binary);
    const std::string chunk(1 << 20, 'x');
    for (std::uint64_t left = bytes >> 20; left > 0; --left) file << chunk;
  };
  const std::map<std::string, std::string> guarded{{"store.free_space", "100MiB"}};
  {  // a start without room, on a new store
    fill(250 << 20);
    Daemon daemon(config("disk/store", guarded));
    ASSERT_TRUE(daemon.shows("millrace_learning_state{state=\"paused\"} 1")) << daemon.log();
    EXPECT_EQ(daemon.http("GET", "/readyz").status, 200) << "of initial weights";
    EXPECT_FALSE(fs::exists(disk + "/store/db"));
    const Asker asker(daemon);
    fs::remove(disk + "/ballast");
    ASSERT_TRUE(daemon.shows("millrace_events_taken_total 5000") || daemon.shows(all_taken()))
        << daemon.log();
  }
  const std::uint64_t served = Store::open(disk + "/store", Store::Access::kRead)->sequence();
  {  // a start without room, on one that has commits
    fill(250 << 20);
    Daemon daemon(config("disk/store", guarded));
    ASSERT_TRUE(daemon.shows("millrace_learning_state{state=\"paused\"} 1")) << daemon.log();
    EXPECT_EQ(daemon.version(), (VersionNumber{served + 1, 0}));
    EXPECT_NE(daemon.http("GET", "/readyz").body.find("100MiB"), std::string::npos);
    EXPECT_EQ(Store::open(disk + "/store", Store::Access::kRead)->sequence(), served);
    const Asker asker(daemon);
    fs::remove(disk + "/ballast");
    ASSERT_TRUE(daemon.shows(all_taken())) << daemon.log();
    EXPECT_TRUE(daemon.within([&] { return daemon.version().commit > served + 1; }));
    // and in the middle
    fill(250 << 20);
    ASSERT_TRUE(daemon.shows("millrace_learning_state{state=\"paused\"} 1")) << daemon.log();
    fs::remove(disk + "/ballast");
    ASSERT_TRUE(daemon.shows("millrace_learning_state{state=\"running\"} 1")) << daemon.log();
    EXPECT_TRUE(daemon.shows("millrace_learning_restarts_total 1")) << "a pause is no restart";
  }
  EXPECT_EQ(digest_of_store("disk/store"), expected);
}

TEST_F(SupervisorTest, AStartWithoutRoomTellsWhatWasCommitted) {
  const std::string disk = folder_ / "disk";
  const SmallDisk mounted(disk, "300m");
  if (!mounted.mounted()) GTEST_SKIP() << kNeedsMount;
  produce(broker_.address(), records_, kPartitions);
  const auto config = this->config("disk/store", {{"store.free_space", "100MiB"}});
  // Accounts and what is frozen; what a process counts from its start is not among them.
  const auto told = [](const Daemon& daemon) {
    std::istringstream lines(daemon.http("GET", "/metrics").body);
    std::string text;
    for (std::string line; std::getline(lines, line);) {
      for (const char* name :
           {"events_taken", "events_total", "dead_letters_total", "waiting", "rows_total",
            "rows_dropped", "user_cap", "task_", "label_coverage", "embedding_rows"}) {
        if (line.starts_with(std::string("millrace_") + name)) text += line + '\n';
      }
    }
    auto tasks = json::parse(daemon.http("GET", "/v1/tasks").body).as_object();
    tasks.erase("version");
    auto status = json::parse(daemon.http("GET", "/v1/admin/status").body).as_object();
    EXPECT_EQ(status.at("served").at("model"), "shop");
    status.erase("served");  // and "versions": each start serves one of its own
    status.erase("versions");
    return text + json::serialize(status) + json::serialize(tasks);
  };
  {
    Daemon daemon(config);
    ASSERT_TRUE(daemon.shows(all_taken())) << daemon.log();
    ASSERT_EQ(
        daemon.http("POST", "/v1/admin/freeze", R"({"task":"ctr","reason":"odd clicks"})").status,
        200);
    ASSERT_TRUE(daemon.stop()) << daemon.log();
  }
  std::string expected;
  {
    Daemon daemon(config);
    ASSERT_TRUE(daemon.shows(all_taken())) << daemon.log();
    expected = told(daemon);
    EXPECT_NE(expected.find("odd clicks"), std::string::npos) << expected;
    ASSERT_TRUE(daemon.stop()) << daemon.log();
  }
  const std::uint64_t committed = Store::open(disk + "/store", Store::Access::kRead)->sequence();
  mounted.fill(50 << 20);
  Daemon daemon(config);
  ASSERT_TRUE(daemon.shows("millrace_learning_state{state=\"paused\"} 1")) << daemon.log();
  EXPECT_EQ(told(daemon), expected);
  EXPECT_TRUE(daemon.shows("millrace_commit_sequence " + std::to_string(committed)));
  EXPECT_EQ(Store::open(disk + "/store", Store::Access::kRead)->sequence(), committed);
  mounted.empty();
  ASSERT_TRUE(daemon.shows("millrace_learning_state{state=\"running\"} 1")) << daemon.log();
  EXPECT_EQ(told(daemon), expected);
}

TEST_F(SupervisorTest, ARollbackByTheApiRelearnsToTheSameWeights) {
  // All are there from the start, so that none comes too late for what others saw; but slowly.
  produce(broker_.address(), records_, kPartitions);
  faults::set_failpoints("source.step=sleep(100)@1+");
  Daemon daemon(config("store"));
  while (daemon.http("GET", "/metrics").body.find("\nmillrace_events_taken_total 0\n") !=
         std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const HttpReply taken = daemon.http("POST", "/v1/admin/snapshot");
  ASSERT_EQ(taken.status, 200) << taken.body;
  const std::string name(json::parse(taken.body).at("name").as_string());
  ASSERT_EQ(daemon.http("GET", "/metrics").body.find(all_taken()), std::string::npos)
      << "nothing is left to be learned";
  faults::set_failpoints("");
  ASSERT_TRUE(daemon.shows(all_taken()));
  {
    const Asker asker(daemon);
    const std::string rewind = R"({"snapshot":")" + name + R"(","offsets":"rewind"})";
    const VersionNumber before = daemon.version();
    const HttpReply done = daemon.http("POST", "/v1/admin/rollback", rewind);
    ASSERT_EQ(done.status, 200) << done.body << daemon.log();
    EXPECT_GT(daemon.version(), before);
    EXPECT_EQ(json::parse(done.body).at("snapshot").as_string(), name);
    EXPECT_TRUE(daemon.shows(all_taken())) << "learned again\n" << daemon.log();
    EXPECT_EQ(daemon.http("POST", "/v1/admin/rollback", "{}").status, 400);
    EXPECT_EQ(
        daemon.http("POST", "/v1/admin/rollback", R"({"snapshot":"latest","offsets":"maybe"})")
            .status,
        400);
    EXPECT_EQ(
        daemon.http("POST", "/v1/admin/rollback", R"({"snapshot":"none","offsets":"keep"})").status,
        404);
    EXPECT_TRUE(daemon.shows("millrace_rollbacks_total{offsets=\"rewind\",result=\"done\"} 1"));
    EXPECT_TRUE(daemon.shows("millrace_rollbacks_total{offsets=\"keep\",result=\"refused\"} 1"));
  }
  EXPECT_TRUE(daemon.stop()) << daemon.log();
  EXPECT_EQ(digest_of_store("store"), undisturbed());
  const auto store = Store::open(folder_ / "store", Store::Access::kRead);
  ASSERT_EQ(store->history().size(), 1u);
  EXPECT_FALSE(store->history()[0].keeps_offsets);
}

TEST_F(SupervisorTest, ARollbackThatKeepsTheOffsetsServesTheOldModelAndLearnsNothingTwice) {
  const std::size_t half = records_.size() / 2;
  Daemon daemon(config("store"));
  produce(broker_.address(), {records_.begin(), records_.begin() + std::ptrdiff_t(half)},
          kPartitions);
  ASSERT_TRUE(daemon.shows("millrace_events_taken_total " + std::to_string(half)));
  ASSERT_EQ(daemon.http("POST", "/v1/admin/snapshot").status, 200);
  const std::string request =
      R"({"context":{"user_id":"u1"},"candidates":[{"id":"m1","item_id":"m1"}]})";
  auto score = [&] {
    return json::parse(daemon.http("POST", "/v1/score", request).body).at("results").at(0);
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(500));  // the last publication is out
  const json::value then = score();
  produce(broker_.address(), {records_.begin() + std::ptrdiff_t(half), records_.end()},
          kPartitions);
  ASSERT_TRUE(daemon.shows(all_taken()));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  ASSERT_NE(score(), then);
  const HttpReply done =
      daemon.http("POST", "/v1/admin/rollback", R"({"snapshot":"latest","offsets":"keep"})");
  ASSERT_EQ(done.status, 200) << done.body << daemon.log();
  EXPECT_EQ(score(), then) << "the weights of the snapshot, and nothing learned since";
  EXPECT_TRUE(daemon.shows(all_taken())) << "nothing is taken twice";
  EXPECT_TRUE(daemon.stop());
}

}  // namespace
}  // namespace millrace
