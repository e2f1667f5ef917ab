// The whole path as a user drives it: the program itself, files and a real Kafka. Protects the
// promise that every event counts exactly once and that weights are a function of the events alone,
// whatever the threads, the kills and the way by which the events came.
#include <gtest/gtest.h>
#include <signal.h>

#include <boost/json.hpp>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "ops/metrics/catalogue.h"
#include "tests/support/http_client.h"
#include "tests/support/servers.h"
#include "tests/support/shop_events.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

const std::string kMillrace = BINARY_DIR "/millrace";
const std::string kConfig = SOURCE_DIR "/tests/data/contract/millrace.yaml";

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Status 0 where nobody answers.
HttpReply http(int port, const std::string& method, const std::string& target,
               const std::string& body = "") {
  try {
    return fetch(port, http_request(method, target, body, "Connection: close\r\n"));
  } catch (const std::runtime_error&) {
    return {};
  }
}

std::int64_t wall_clock_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// The contract's configuration with windows that a test can outlive.
std::vector<std::string> command(const std::string& name, const std::string& store,
                                 const std::vector<std::string>& sets = {}) {
  std::vector<std::string> arguments{kMillrace, name, "--config", kConfig};
  auto set = [&](const std::string& text) {
    arguments.emplace_back("--set");
    arguments.push_back(text);
  };
  set("store.path=" + store);
  set("store.commit_every=50ms");
  set("join.allowed_lateness=1s");
  set("join.max_skew=1s");
  // A machine that is busy must not make the merge go on without a partition.
  set("join.idle_after=60s");
  for (const char* outcome : {"click", "conversion", "dwell", "like"}) {
    set(std::string("events.") + outcome + ".window=5s");
  }
  for (const std::string& one : sets) set(one);
  return arguments;
}

struct Ended {
  int code = -1;
  json::object report;
  std::string log;
};

class WholePath : public ::testing::Test {
 protected:
  TempFolder folder_;
  int runs_ = 0;

  std::string store(const std::string& name) { return folder_ / name; }

  std::string write_events(const std::vector<ShopRecord>& records) {
    const std::string path = folder_ / ("events" + std::to_string(++runs_) + ".jsonl");
    std::ofstream file(path);
    for (const ShopRecord& record : records) file << record.json << '\n';
    return path;
  }

  // Runs a command that ends by itself.
  Ended run(std::vector<std::string> arguments) {
    const std::string log = folder_ / ("log" + std::to_string(++runs_));
    const std::string report = folder_ / ("report" + std::to_string(runs_));
    arguments.insert(arguments.end(), {"--report", report});
    ChildProcess process(arguments, log);
    Ended ended;
    ended.code = process.wait(120).value_or(-1);
    ended.log = read_file(log);
    if (ended.code == 0) ended.report = json::parse(read_file(report)).as_object();
    EXPECT_EQ(ended.code, 0) << ended.log;
    return ended;
  }

  Ended replay_file(const std::string& file, const std::string& name,
                    const std::vector<std::string>& sets = {}) {
    std::vector<std::string> arguments = command("replay", store(name), sets);
    arguments.insert(arguments.end(), {"--events", file, "--flush"});
    return run(arguments);
  }

  json::object inspect(const std::string& name) {
    const std::string log = folder_ / ("inspect" + std::to_string(++runs_));
    ChildProcess process({kMillrace, "inspect", "--store", store(name), "--json"}, log);
    const std::optional<int> code = process.wait(60);
    const std::string text = read_file(log);
    EXPECT_EQ(code, 0) << text;
    return code == 0 ? json::parse(text).as_object() : json::object{};
  }
};

// What two ways of taking the same events must agree on.
json::object account_of(const json::object& report) {
  json::object account;
  for (const char* key : {"events", "dead_letters", "impressions", "outcomes", "samples", "rows"}) {
    account[key] = report.at(key);
  }
  return account;
}

TEST_F(WholePath, AFileGivesTheSameDigestAgainAndWithAnotherThreadCount) {
  const std::string file =
      write_events(shop_events_of({.impressions = 8000, .garbage = 0.01, .shuffle = 900}));
  const Ended first = replay_file(file, "a");
  const Ended again = replay_file(file, "b");
  const Ended threads = replay_file(file, "c", {"train.threads=2", "store.commit_every=5s"});

  EXPECT_GE(first.report.at("rows").to_number<int>(), 8000);
  EXPECT_GT(first.report.at("tasks").at("ctr").at("all").at("auc").to_number<double>(), 0.5);
  EXPECT_EQ(first.report.at("digest"), again.report.at("digest"));
  EXPECT_EQ(first.report.at("digest"), threads.report.at("digest"));
  EXPECT_EQ(first.report.at("tasks"), threads.report.at("tasks"));
  EXPECT_EQ(first.report.at("digest"), inspect("a").at("digest"));
  EXPECT_EQ(account_of(first.report), account_of(inspect("a")));
}

TEST_F(WholePath, AReplayThatIsKilledGoesOnWhereItsLastCommitStands) {
  const std::string file = write_events(
      shop_events_of({.impressions = 60'000, .milliseconds_per_impression = 1, .shuffle = 900}));
  const Ended undisturbed = replay_file(file, "a");

  std::vector<std::string> arguments = command("replay", store("b"), {"store.commit_every=20ms"});
  arguments.insert(arguments.end(), {"--events", file, "--flush"});
  for (int kill = 0; kill < 5; ++kill) {
    ChildProcess process(arguments, folder_ / "killed");
    std::this_thread::sleep_for(150ms + kill * 60ms);
    process.signal(SIGKILL);
    process.wait(10);
  }
  const Ended resumed = run(arguments);

  EXPECT_EQ(undisturbed.report.at("digest"), resumed.report.at("digest"));
  EXPECT_EQ(account_of(undisturbed.report), account_of(resumed.report));
}

class WholePathOnKafka : public WholePath {
 protected:
  static constexpr int kPartitions = 3;
  KafkaServer& kafka_ = KafkaServer::shared();
  std::string prefix_ =
      std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()) + ".";
  int port_ = free_port();

  // Topics of this test alone, in place of the contract's.
  std::vector<std::string> sets(std::vector<std::string> more = {}) {
    const std::pair<const char*, const char*> topics[] = {{"impression", "impressions"},
                                                          {"click", "clicks"},
                                                          {"conversion", "conversions"},
                                                          {"dwell", "dwell"},
                                                          {"like", "likes"}};
    more.push_back("kafka.brokers=" + kafka_.address());
    more.push_back("dead_letters.topic=" + prefix_ + "dead");
    more.push_back("serve.listen=127.0.0.1:" + std::to_string(port_));
    for (const auto& [event, topic] : topics) {
      more.push_back(std::string("events.") + event + ".topic=" + prefix_ + topic);
    }
    return more;
  }

  void create_topics() {
    for (const char* topic : {"impressions", "clicks", "conversions", "dwell", "likes"}) {
      kafka_.create_topic(prefix_ + topic, kPartitions);
    }
    kafka_.create_topic(prefix_ + "dead", 1);
  }

  void produce(const std::vector<ShopRecord>& records) {
    TestProducer producer(kafka_.address(), {{"compression.codec", "lz4"}});
    for (const ShopRecord& record : records) {
      producer.send({.topic = prefix_ + record.topic,
                     .partition = partition_of(record.key, kPartitions),
                     .value = record.json,
                     .key = record.key});
    }
    producer.flush();
  }

  // Waits until the daemon shows a line of metrics; false after a minute.
  bool shows(const std::string& line) {
    for (int i = 0; i < 600; ++i) {
      if (http(port_, "GET", "/metrics").body.find("\n" + line + "\n") != std::string::npos) {
        return true;
      }
      std::this_thread::sleep_for(100ms);
    }
    return false;
  }
};

TEST_F(WholePathOnKafka, TopicsAndAFileWithTheSameEventsGiveOneDigest) {
  const auto records =
      shop_events_of({.impressions = 6000, .duplicates = 0.02, .garbage = 0.01, .shuffle = 900});
  create_topics();
  produce(records);
  const Ended file = replay_file(write_events(records), "file");
  std::vector<std::string> arguments = command("replay", store("kafka"), sets());
  arguments.emplace_back("--flush");
  const Ended kafka = run(arguments);

  EXPECT_EQ(file.report.at("digest"), kafka.report.at("digest"));
  EXPECT_EQ(account_of(file.report), account_of(kafka.report));
  std::size_t dead = 0;
  for (const auto& reason : kafka.report.at("dead_letters").as_object()) {
    dead += reason.value().to_number<std::size_t>();
  }
  EXPECT_GT(dead, 10U);
  EXPECT_EQ(read_topic(kafka_.address(), prefix_ + "dead", 1).size(), dead);
}

TEST_F(WholePathOnKafka, ADaemonKilledFiveTimesCountsEveryEventOnce) {
  const auto records =
      shop_events_of({.impressions = 60'000, .milliseconds_per_impression = 1, .shuffle = 900});
  create_topics();
  produce(records);
  const Ended undisturbed = run(command("replay", store("undisturbed"), sets()));

  const std::vector<std::string> arguments =
      command("run", store("killed"), sets({"join.quiet_after=off", "store.commit_every=20ms"}));
  for (int kill = 0; kill < 5; ++kill) {
    ChildProcess process(arguments, folder_ / "killed_log");
    std::this_thread::sleep_for(250ms + kill * 100ms);
    process.signal(SIGKILL);
    process.wait(10);
  }
  ChildProcess process(arguments, folder_ / "last_log");
  ASSERT_TRUE(shows("millrace_events_taken_total " + std::to_string(records.size())))
      << read_file(folder_ / "last_log");
  EXPECT_EQ(http(port_, "GET", "/readyz").status, 200);
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(20), 0) << read_file(folder_ / "last_log");

  const json::object state = inspect("killed");
  EXPECT_EQ(state.at("digest"), undisturbed.report.at("digest"));
  EXPECT_EQ(account_of(state), account_of(undisturbed.report));
}

// In a form that Prometheus' own tool has nothing against.
TEST_F(WholePathOnKafka, EveryMetricOfTheCatalogueIsThere) {
  create_topics();
  const auto records = shop_events_of({.impressions = 20'000, .milliseconds_per_impression = 1});
  produce(records);
  // With a policy that has auxiliary heads, and with all that is measured where one asks for it, so
  // that theirs are there too.
  ChildProcess process(
      command("run", store("s"),
              sets({"join.quiet_after=off",
                    "train.delayed_feedback={cvr: {policy: es_dfm, short_wait: 1s}}",
                    "train.recalibrate={ctr: 1000}",
                    "evaluate={exact_auc_rows: 1000, slices: {feature: country}, "
                    "business: {clicks: ctr}, "
                    "importance: {every: 4}, gates: {every: 4}, composite: {ctr: 1, dwell: 1}}",
                    "twins={tasks: [dwell]}"})),
      folder_ / "log");
  ASSERT_TRUE(shows("millrace_events_taken_total " + std::to_string(records.size())))
      << read_file(folder_ / "log");
  for (const char* name :
       {"millrace_task_rmse", "millrace_slice_rmse", "millrace_composite", "millrace_task_gauc"}) {
    ASSERT_TRUE(shows("# TYPE " + std::string(name) + " gauge")) << read_file(folder_ / "log");
  }

  const std::string metrics = http(port_, "GET", "/metrics").body;
  for (const Metric& metric : metric_catalogue()) {
    EXPECT_NE(("\n" + metrics).find("\n# TYPE " + std::string(metric.name) + " "),
              std::string::npos)
        << metric.name;
  }
  std::ofstream(folder_ / "metrics") << metrics;
  ChildProcess check({"sh", "-c", "promtool check metrics < " + (folder_ / "metrics")},
                     folder_ / "promtool");
  EXPECT_EQ(check.wait(20), 0) << read_file(folder_ / "promtool");
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(20), 0);
}

TEST_F(WholePathOnKafka, OneImpressionAndOneClickInSilenceAreLearned) {
  create_topics();
  ChildProcess process(command("run", store("s"),
                               sets({"join.quiet_after=500ms", "join.allowed_lateness=200ms",
                                     "join.max_skew=200ms", "events.click.window=1s"})),
                       folder_ / "log");
  const std::int64_t now = wall_clock_ms();
  auto records = shop_events_of({.impressions = 1, .start = now});
  records.resize(1);
  records.push_back(
      {"clicks", "click", records[0].key,
       "{\"impression_id\":\"" + records[0].key + "\",\"time\":" + std::to_string(now + 10) + "}",
       now + 10});
  produce(records);

  EXPECT_TRUE(shows("millrace_rows_total 1")) << read_file(folder_ / "log");
  EXPECT_TRUE(shows("millrace_train_rows_total{model=\"shop\"} 1")) << read_file(folder_ / "log");
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(20), 0);
}

// Under `fnw` a click changes the score of its item for its user long before its window ends. How
// fast, tests/bench/freshness.py measures.
TEST_F(WholePathOnKafka, AClickChangesTheScoreBeforeItsWindowEnds) {
  create_topics();
  ChildProcess process(command("run", store("s"),
                               sets({"train.delayed_feedback.ctr=fnw", "events.click.window=1h",
                                     "join.quiet_after=300ms", "join.allowed_lateness=200ms",
                                     "join.max_skew=200ms"})),
                       folder_ / "log");
  ASSERT_TRUE(shows("millrace_learning_stopped 0")) << read_file(folder_ / "log");
  auto score = [&] {
    const HttpReply answer = http(
        port_, "POST", "/v1/score",
        R"({"context":{"user_id":"u1","country":"DE"},"candidates":[{"id":"m1","item_id":"m1"}]})");
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body).at("results").at(0).at("tasks").at("ctr").to_number<double>();
  };
  const double before = score();
  const std::int64_t now = wall_clock_ms();
  produce({{"impressions", "impression", "x",
            "{\"impression_id\":\"x\",\"time\":" + std::to_string(now) +
                R"(,"features":{"user_id":"u1","country":"DE","item_id":"m1"}})",
            now},
           {"clicks", "click", "x",
            "{\"impression_id\":\"x\",\"time\":" + std::to_string(now + 1) + "}", now + 1}});
  double after = before;
  for (int i = 0; i < 200 && after == before; ++i) {
    std::this_thread::sleep_for(50ms);
    after = score();
  }
  EXPECT_NE(after, before) << read_file(folder_ / "log");
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(20), 0);
}

}  // namespace
}  // namespace millrace
