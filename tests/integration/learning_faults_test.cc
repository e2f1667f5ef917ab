// Faults of learning through the program itself: each has the documented end, the other tasks go
// on, a restart remembers, and whatever was learned, no score is ever not finite.
#include <gtest/gtest.h>
#include <signal.h>

#include <boost/json.hpp>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>
#include <thread>

#include "tests/support/http_client.h"
#include "tests/support/servers.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

const std::string kMillrace = BINARY_DIR "/millrace";

constexpr const char* kConfig = R"(name: faults
kafka: {brokers: "127.0.0.1:1"}
events: {sample: {topic: samples}}
features:
  - {name: user, type: categorical, dimension: 4, context: true}
  - {name: item, type: categorical, dimension: 4}
  - {name: price, type: numeric}
tasks:
  - {name: ctr}
  - {name: like}
  - {name: dwell, kind: regression, transform: log1p}
score: ctr + like
model: {experts: 2, expert_layers: [16], tower_layers: [8]}
store: {commit_every: 50ms}
)";

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct Sample {
  int user, item;
  double price, dwell;
  int ctr, like;
};

class LearningFaults : public ::testing::Test {
 protected:
  void SetUp() override { std::ofstream(folder_ / "config.yaml") << kConfig; }

  /// Appends samples of a stream with a signal to the events; `change` may damage them.
  void write(int count, const std::function<void(int, Sample&)>& change = {}) {
    std::ofstream file(folder_ / "events.jsonl", std::ios::app);
    auto unit = [&] { return std::uniform_real_distribution<double>()(random_); };
    for (int i = 0; i < count; ++i) {
      Sample s{};
      s.user = static_cast<int>(random_() % 200);
      s.item = static_cast<int>(random_() % 50);
      s.price = std::exp(2 * unit());
      const double taste = std::sin(s.user) + std::cos(s.item * 1.7);
      s.ctr = unit() < 1 / (1 + std::exp(2 - 1.5 * taste)) ? 1 : 0;
      s.like = unit() < 1 / (1 + std::exp(1 - taste)) ? 1 : 0;
      s.dwell = std::exp(2 + taste + unit());
      if (change) change(i, s);
      time_ += 5;
      file << R"({"type":"sample","time":)" << time_ << R"(,"features":{"user":)" << s.user
           << R"(,"item":)" << s.item << R"(,"price":)" << s.price << R"(},"labels":{"ctr":)"
           << s.ctr << R"(,"like":)" << s.like << R"(,"dwell":)" << s.dwell << "}}\n";
    }
  }
  void write_garbage(int count) {
    std::ofstream file(folder_ / "events.jsonl", std::ios::app);
    for (int i = 0; i < count; ++i) file << "{\"type\":\"sample\",\"time\":\"no\"}\n";
  }

  std::vector<std::string> command(const std::string& name,
                                   const std::vector<std::string>& sets = {}) {
    std::vector<std::string> arguments{kMillrace,  name,
                                       "--config", folder_ / "config.yaml",
                                       "--set",    "store.path=" + (folder_ / "store")};
    for (const std::string& set : sets) {
      arguments.emplace_back("--set");
      arguments.push_back(set);
    }
    return arguments;
  }

  /// The report of a replay of what is new in the events; its log is `log_`.
  json::object replay(const std::vector<std::string>& sets = {}) {
    std::vector<std::string> arguments = command("replay", sets);
    const std::string report = folder_ / "report.json", log = folder_ / "log";
    arguments.insert(arguments.end(),
                     {"--events", folder_ / "events.jsonl", "--flush", "--report", report});
    ChildProcess process(arguments, log);
    const int code = process.wait(120).value_or(-1);
    log_ = read_file(log);
    EXPECT_EQ(code, 0) << log_;
    return code == 0 ? json::parse(read_file(report)).as_object() : json::object{};
  }

  static const json::value& frozen(const json::object& report, const char* task) {
    return report.at("guardrails").at("tasks").at(task).at("frozen");
  }
  static std::string reason(const json::value& freeze) {
    return freeze.is_null() ? "" : std::string(freeze.at("reason").as_string());
  }

  /// Serves the store (no broker answers) and scores; every value must be finite. Returns whether
  /// a version was served at all.
  bool serve_and_score(const std::function<void(int port)>& then = {}) {
    const int port = free_port();
    std::vector<std::string> arguments =
        command("run", {"serve.listen=127.0.0.1:" + std::to_string(port)});
    ChildProcess daemon(arguments, folder_ / "daemon");
    HttpReply ready;
    for (int i = 0; i < 400 && ready.status == 0; ++i) {
      std::this_thread::sleep_for(25ms);
      ready = http(port, "GET", "/readyz");
    }
    const bool served = ready.status == 200;
    for (int user = 0; served && user < 20; ++user) {
      std::string body = R"({"context":{"user":)" + std::to_string(user) + R"(},"candidates":[)";
      for (int item = 0; item < 50; ++item) {
        body += (item > 0 ? "," : "") + (R"({"item":)" + std::to_string(item)) + R"(,"price":3})";
      }
      const HttpReply reply = http(port, "POST", "/v1/score", body + "]}");
      EXPECT_EQ(reply.status, 200) << reply.body;
      // What is not finite is answered as null.
      const json::value answer = json::parse(reply.body);
      for (const json::value& result : answer.at("results").as_array()) {
        EXPECT_TRUE(result.at("score").is_number()) << json::serialize(result);
        for (const auto& [task, value] : result.at("tasks").as_object()) {
          EXPECT_TRUE(value.is_number()) << json::serialize(result);
        }
      }
    }
    if (then) then(port);
    daemon.signal(SIGTERM);
    EXPECT_EQ(daemon.wait(30), 0) << read_file(folder_ / "daemon");
    return served;
  }

  static HttpReply http(int port, const std::string& method, const std::string& target,
                        const std::string& body = "") {
    try {
      return fetch(port, http_request(method, target, body, "Connection: close\r\n"));
    } catch (const std::runtime_error&) {
      return {};
    }
  }

  TempFolder folder_;
  std::mt19937_64 random_{1};
  std::int64_t time_ = 1'764'000'000'000;
  std::string log_;
};

TEST_F(LearningFaults, AHealthyStreamFreezesNothing) {
  write(40'000);
  const json::object report = replay();
  EXPECT_EQ(log_.find("is frozen"), std::string::npos) << log_;
  EXPECT_TRUE(report.at("guardrails").at("learning").is_null());
  EXPECT_TRUE(serve_and_score());
}

TEST_F(LearningFaults, FlippedLabelsFreezeTheirTaskAlone) {
  write(30'000);
  write(10'000, [&](int, Sample& s) {
    if (random_() % 10 < 3) s.ctr = 1 - s.ctr;
  });
  const json::object report = replay();
  const std::string why = reason(frozen(report, "ctr"));
  EXPECT_TRUE(why == "spike" || why == "calibration") << why << log_;
  EXPECT_EQ(reason(frozen(report, "like")), "");
  EXPECT_EQ(reason(frozen(report, "dwell")), "");
  // Found within 3,000 rows.
  EXPECT_GT(report.at("guardrails").at("tasks").at("ctr").at("passed_over").to_number<int>(),
            7'000);
  EXPECT_NE(log_.find("task ctr is frozen"), std::string::npos) << log_;
  // The weights are as good as the others': what is wrong are the labels.
  EXPECT_NE(log_.find("versions may leave again"), std::string::npos) << log_;
  EXPECT_TRUE(serve_and_score());
}

TEST_F(LearningFaults, ALabelThatFallsSilentWaitsAndGoesOnByItself) {
  write(20'000);
  write(6'000, [](int, Sample& s) { s.like = 0; });
  EXPECT_EQ(reason(frozen(replay(), "like")), "silent") << log_;
  write(3'000);
  EXPECT_EQ(reason(frozen(replay(), "like")), "") << log_;
  EXPECT_NE(log_.find("positive labels came back"), std::string::npos) << log_;
}

TEST_F(LearningFaults, ValuesThatAreNotFiniteStopLearningNotServing) {
  write(20'000);
  write(10'000, [](int i, Sample& s) { s.dwell = i % 50 == 0 ? 1e30 : s.dwell; });
  // In units where 1e30 overflows: without the logarithm.
  std::ofstream(folder_ / "config.yaml")
      << std::string(kConfig).replace(std::string(kConfig).find(", transform: log1p"), 18, "");
  const json::object report = replay();
  EXPECT_EQ(reason(report.at("guardrails").at("learning")), "not_finite") << log_;
  EXPECT_EQ(report.at("guardrails").at("quarantine").as_array().size(), 32U);
  EXPECT_EQ(report.at("guardrails").at("quarantine").at(0).at("task"), "dwell");
  EXPECT_TRUE(serve_and_score());
}

TEST_F(LearningFaults, ARateTimesAThousandIsStoppedAndNeverServed) {
  write(30'000);
  replay();
  write(60'000);
  const json::object report = replay({"train.dense.rate=3", "train.embedding.rate=10"});
  EXPECT_NE(log_.find("no version leaves"), std::string::npos) << log_;
  // All tasks for their losses, or learning as a whole where one of them looks well.
  const bool all = reason(frozen(report, "ctr")) == "spike" &&
                   reason(frozen(report, "like")) == "spike" &&
                   reason(frozen(report, "dwell")) == "spike";
  EXPECT_TRUE(all || reason(report.at("guardrails").at("learning")) == "unbounded") << log_;
  // The store's weights were spoiled before that was known: they are not served.
  EXPECT_FALSE(serve_and_score([](int port) {
    EXPECT_NE(http(port, "GET", "/readyz").body.find("the guardrails hold"), std::string::npos);
  }));
}

TEST_F(LearningFaults, InPlaceOfSpoiledWeightsASnapshotsAreServed) {
  write(30'000);
  replay();
  ChildProcess snapshot({kMillrace, "snapshot", "create", "--store", folder_ / "store"},
                        folder_ / "snapshot");
  ASSERT_EQ(snapshot.wait(30), 0) << read_file(folder_ / "snapshot");
  write(60'000);
  replay({"train.dense.rate=3", "train.embedding.rate=10"});
  EXPECT_TRUE(serve_and_score([](int port) {
    const HttpReply another = http(port, "POST", "/v1/admin/snapshot");
    EXPECT_EQ(another.status, 503) << "it would be of spoiled weights: " << another.body;
  }));
  EXPECT_NE(read_file(folder_ / "daemon").find("those of the snapshot"), std::string::npos);
}

TEST_F(LearningFaults, TooManyDeadLettersPauseLearning) {
  write(5'000);
  write_garbage(1'500);
  write(3'000);
  const json::object report = replay();
  EXPECT_EQ(report.at("dead_letters").at("missing_field").to_number<int>(), 1'500);
  EXPECT_TRUE(report.at("guardrails").at("paused").is_null());
  EXPECT_NE(log_.find("frozen (dead_letters)"), std::string::npos) << log_;
  EXPECT_NE(log_.find("fewer records are dead letters"), std::string::npos) << log_;
  EXPECT_GT(report.at("guardrails").at("tasks").at("ctr").at("passed_over").to_number<int>(), 200);
}

TEST_F(LearningFaults, AnAdministratorsFreezeSurvivesARestart) {
  write(3'000);
  replay();
  ASSERT_TRUE(serve_and_score([&](int port) {
    const std::string listen = "serve.listen=127.0.0.1:" + std::to_string(port);
    std::vector<std::string> freeze = command("freeze", {listen});
    freeze.insert(freeze.end(), {"--task", "ctr", "--reason", "a campaign"});
    ChildProcess asked(freeze, folder_ / "freeze");
    EXPECT_EQ(asked.wait(30), 0) << read_file(folder_ / "freeze");
    const HttpReply status = http(port, "GET", "/v1/admin/status");
    EXPECT_EQ(status.status, 200);
    EXPECT_EQ(json::parse(status.body).at("tasks").at("ctr").at("frozen").at("text"), "a campaign");
    freeze.back() = "again";
    freeze[freeze.size() - 3] = "nothing";
    ChildProcess wrong(freeze, folder_ / "freeze");
    EXPECT_EQ(wrong.wait(30), 1);
    EXPECT_NE(read_file(folder_ / "freeze").find("there is no task nothing"), std::string::npos);
    EXPECT_EQ(http(port, "POST", "/v1/admin/freeze", R"({"tasks":"ctr"})").status, 400);
    EXPECT_EQ(http(port, "POST", "/v1/admin/freeze", "[").status, 400);
  }));
  write(2'000);
  const json::object report = replay();
  EXPECT_EQ(reason(frozen(report, "ctr")), "administrator");
  EXPECT_EQ(frozen(report, "ctr").at("rows").to_number<int>(), 2'000);
  ASSERT_TRUE(serve_and_score([&](int port) {
    ChildProcess asked(command("resume", {"serve.listen=127.0.0.1:" + std::to_string(port)}),
                       folder_ / "resume");
    EXPECT_EQ(asked.wait(30), 0) << read_file(folder_ / "resume");
  }));
  write(1'000);
  EXPECT_EQ(reason(frozen(replay(), "ctr")), "");
  // Nobody there.
  ChildProcess asked(command("resume", {"serve.listen=127.0.0.1:1"}), folder_ / "resume");
  EXPECT_EQ(asked.wait(30), 1);
  EXPECT_NE(read_file(folder_ / "resume").find("no daemon answers"), std::string::npos);
}

}  // namespace
}  // namespace millrace
