// Streams that are not as they should be, and a broker that is not there: nothing is lost, nothing
// counts twice, what is refused is refused for its reason, and scores are answered all the while.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "tests/integration/fault_form.h"
#include "tests/integration/shop.h"
#include "tests/integration/shop_feed.h"

namespace millrace {
namespace {

namespace json = boost::json;
using std::chrono::steady_clock;
using namespace std::chrono_literals;

void sleep_seconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

std::string test_name() { return ::testing::UnitTest::GetInstance()->current_test_info()->name(); }

struct FaultsStream : ::testing::Test {
  Shop shop{KafkaServer::shared(), test_name(), {"store.snapshots.every=1s"}};

  // What a daemon makes of these records, with one kill in the middle.
  json::object run_killed_once(const std::vector<ShopRecord>& records, const std::string& store) {
    ShopFeed feed(shop, records, 0);
    ShopDaemon daemon(shop, store);
    ShopWatch watch(shop);
    daemon.start();
    EXPECT_TRUE(daemon.wait_taken(records.size() / 3));
    daemon.kill();
    feed.join();
    EXPECT_TRUE(daemon.wait_taken(records.size()));
    EXPECT_EQ(daemon.stop(), 0) << daemon.log();
    EXPECT_EQ(watch.end().first_failure, "");
    json::object state = shop.inspect(store);
    EXPECT_EQ(imbalance_of(state), "");
    report_figure("events", records.size());
    return state;
  }
};

// In the order of time + a random part of the lateness: clicks come before their impressions, and a
// partition's clock seems to run ahead of another's.
TEST_F(FaultsStream, EverythingThreeTimesShuffledWithinTheLateness) {
  shop.create_topics();
  const auto once = shop_events_of({.impressions = by_form(6'000, 60'000)});
  FaultDice dice(5);
  std::vector<std::pair<std::int64_t, ShopRecord>> order;
  for (const ShopRecord& record : once) {
    // Partitions 2 and 3 are fed by machines whose clocks are behind.
    const std::int64_t skew = partition_of(record.key, shop.partitions()) >= 2 ? 200 : 0;
    for (int copy = 0; copy < 3; ++copy) {
      order.emplace_back(record.time + skew + static_cast<std::int64_t>(500 * dice.unit()), record);
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<ShopRecord> records;
  records.reserve(order.size());
  for (auto& one : order) records.push_back(std::move(one.second));

  const json::object state = run_killed_once(records, "thrice");
  const json::object clean =
      shop.replay("once", {}, {"--events", shop.write_file("once.jsonl", once)});
  EXPECT_EQ(state.at("digest"), clean.at("digest"));
  EXPECT_EQ(state.at("rows"), clean.at("rows"));
  EXPECT_EQ(state.at("impressions").at("late").to_number<int>(), 0);
  EXPECT_EQ(state.at("events").to_number<std::size_t>(), 3 * once.size());
  EXPECT_EQ(state.at("outcomes").at("applied"), clean.at("outcomes").at("applied"));
}

struct Poison {
  const char* reason;
  const char* topic;
  std::string record;
};

std::vector<Poison> poison(std::int64_t now) {
  const std::string t = std::to_string(now);
  const std::string id = R"("impression_id":"p","time":)" + t;
  return {{"too_large", "clicks", "{" + id + R"(,"x":")" + std::string(70'000, 'x') + "\"}"},
          {"not_json", "clicks", "{" + id + ", broken"},
          {"not_json", "impressions", "{" + id + ",\"x\":\"\xff\xfe\"}"},
          {"not_json", "likes", ""},
          {"missing_field", "clicks", R"({"time":)" + t + "}"},
          {"missing_field", "dwell", "{" + id + "}"},
          {"wrong_type", "clicks", R"({"impression_id":["p"],"time":)" + t + "}"},
          {"wrong_type", "impressions", "{" + id + R"(,"features":{"price":"cheap"}})"},
          {"time_out_of_range", "conversions", R"({"impression_id":"p","time":-5})"},
          {"time_in_future", "clicks", R"({"impression_id":"p","time":4102444800000})"},
          {"type_mismatch", "clicks", R"({"type":"like",)" + id + "}"},
          {"unknown_type", "clicks", R"({"type":"nosuch",)" + id + "}"}};
}

TEST_F(FaultsStream, OnePercentOfPoisonOfEachKind) {
  shop.create_topics();
  const auto good = shop_events_of({.impressions = by_form(4'000, 40'000)});
  const std::vector<Poison> kinds = poison(good.front().time);
  std::vector<ShopRecord> records;
  std::map<std::string, std::size_t> expected;
  FaultDice dice(6);
  for (const ShopRecord& record : good) {
    records.push_back(record);
    for (const Poison& kind : kinds) {
      if (dice.unit() >= 0.01) continue;
      records.push_back({kind.topic, "", record.key, kind.record, record.time});
      ++expected[kind.reason];
    }
  }
  Shop limited(shop.kafka(), test_name(), {"kafka.max_record=64KiB"});
  json::object state;
  {
    ShopFeed feed(limited, records, 0);
    ShopDaemon daemon(limited, "poisoned");
    ShopWatch watch(limited);
    daemon.start();
    ASSERT_TRUE(daemon.wait_taken(records.size() / 2));
    daemon.kill();
    feed.join();
    ASSERT_TRUE(daemon.wait_taken(records.size()));
    EXPECT_EQ(daemon.stop(), 0) << daemon.log();
    EXPECT_EQ(watch.end().first_failure, "");
    state = limited.inspect("poisoned");
  }
  EXPECT_EQ(imbalance_of(state), "");
  for (const auto& reason : state.at("dead_letters").as_object()) {
    EXPECT_EQ(reason.value().to_number<std::size_t>(), expected[reason.key()]) << reason.key();
  }
  // What is no poison is joined as if there were none.
  const json::object clean =
      shop.replay("clean", {}, {"--events", shop.write_file("clean.jsonl", good)});
  EXPECT_EQ(state.at("digest"), clean.at("digest"));

  // Each at least once, with its origin.
  std::set<std::string> origins;
  for (const ReadRecord& letter : read_topic(shop.kafka().address(), shop.topic("dead"), 1)) {
    std::string origin;
    for (const auto& [name, value] : letter.headers) {
      if (name == "__millrace.errors.topic" || name == "__millrace.errors.partition" ||
          name == "__millrace.errors.offset") {
        origin += value.value_or("") + "/";
      }
    }
    origins.insert(origin);
  }
  std::size_t all = 0;
  for (const auto& [reason, count] : expected) all += count;
  EXPECT_EQ(origins.size(), all);
  report_figure("events", records.size());
  report_figure("dead_letters", all);
}

// Two topics without a record, and one that falls silent, hold nothing up.
TEST_F(FaultsStream, SilentTopics) {
  shop.create_topics();
  std::vector<ShopRecord> records;
  for (ShopRecord& record : shop_events_of({.impressions = 4'000})) {
    if (record.topic == "likes" || record.topic == "conversions") continue;
    if (record.topic == "dwell" && record.time > 1'764'000'005'000) continue;
    records.push_back(std::move(record));
  }
  const json::object state = run_killed_once(records, "silent");
  const json::object file =
      shop.replay("file", {}, {"--events", shop.write_file("events.jsonl", records)});
  EXPECT_EQ(state.at("digest"), file.at("digest"));
  EXPECT_GT(state.at("rows").to_number<int>(), 3'000);
}

// A broker of its own, which hangs, dies and comes back, again and again.
struct FaultsBroker : ::testing::Test {
  KafkaServer kafka;
  Shop shop{kafka, test_name(), {"join.allowed_lateness=10s"}};

  void expect_nothing_lost(ShopFeed& feed, ShopDaemon& daemon, ShopWatch& watch) {
    const std::vector<ShopRecord> records = feed.stop();
    ASSERT_TRUE(daemon.wait_taken(records.size()));
    EXPECT_TRUE(daemon.is_up());
    EXPECT_EQ(daemon.stop(), 0) << daemon.log();
    const ShopWatch::Seen seen = watch.end();
    EXPECT_EQ(seen.first_failure, "") << daemon.log();
    EXPECT_GT(seen.answers, 50u);
    const json::object state = shop.inspect(daemon.store());
    const json::object file =
        shop.replay("file", {}, {"--events", shop.write_file("events.jsonl", records)});
    EXPECT_EQ(accounts_of(state), accounts_of(file));
    EXPECT_EQ(state.at("digest"), file.at("digest"));
    report_figure("events", records.size());
    report_figure("scores_answered", seen.answers);
  }
};

TEST_F(FaultsBroker, Flaps) {
  shop.create_topics();
  ShopFeed feed(shop, shop_events_of({.impressions = 400'000, .milliseconds_per_impression = 2}),
                1500);
  ShopDaemon daemon(shop, "flapping");
  daemon.start();
  ASSERT_TRUE(daemon.wait_taken(1'000));
  ShopWatch watch(shop);
  watch.demand_answers(true);
  FaultDice dice(7);
  const auto begin = steady_clock::now();
  int hung = 0, killed = 0;
  while (steady_clock::now() - begin < by_form(14s, 120s)) {
    if (hung <= 2 * killed) {
      kafka.freeze();
      sleep_seconds(0.5 + by_form(1.0, 6.0) * dice.unit());
      kafka.thaw();
      ++hung;
    } else {
      kafka.kill();
      sleep_seconds(by_form(0.5, 4.0) * dice.unit());
      kafka.restart();
      ++killed;
    }
    sleep_seconds(0.5 + 2 * dice.unit());
  }
  report_figure("hung", hung);
  report_figure("killed", killed);
  watch.demand_answers(false);
  expect_nothing_lost(feed, daemon, watch);
}

TEST_F(FaultsBroker, IsSlow) {
  shop.create_topics();
  ShopFeed feed(shop, shop_events_of({.impressions = 200'000, .milliseconds_per_impression = 2}),
                1500);
  ShopDaemon daemon(shop, "slow");
  daemon.start();
  ASSERT_TRUE(daemon.wait_taken(500));
  ShopWatch watch(shop);
  watch.demand_answers(true);
  const auto begin = steady_clock::now();
  while (steady_clock::now() - begin < by_form(2s, 30s)) {
    kafka.freeze();
    std::this_thread::sleep_for(150ms);
    kafka.thaw();
    std::this_thread::sleep_for(50ms);
  }
  watch.demand_answers(false);
  expect_nothing_lost(feed, daemon, watch);
}

}  // namespace
}  // namespace millrace
