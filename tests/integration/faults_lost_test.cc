// What becomes of the daemon when Kafka no longer has what was to be read: with `kafka.on_lost:
// fail` a start ends and a running daemon stops learning and serves; with `skip` it goes on, and
// what is lost is named and counted. Nothing else is lost, and the accounts balance.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/integration/fault_form.h"
#include "tests/integration/kafka_reader.h"
#include "tests/integration/shop.h"
#include "tests/integration/shop_feed.h"

namespace millrace {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

constexpr int kPartitions = 2;

struct FaultsLost : ::testing::Test {
  const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  Shop shop{KafkaServer::shared(),
            name,
            {"kafka.check_every=300ms", "store.snapshots.every=1h", "store.free_space=0B"},
            kPartitions};
  KafkaServer& kafka = shop.kafka();
  const std::string topic = shop.topic("impressions");
  ShopDaemon failing{shop, "store", {"kafka.on_lost=fail"}};
  ShopDaemon skipping{shop, "store", {"kafka.on_lost=skip"}};
  std::vector<ShopRecord> impressions = only_impressions(6'000);
  std::size_t produced = 0;

  static std::vector<ShopRecord> only_impressions(int count) {
    std::vector<ShopRecord> records = shop_events_of({.impressions = count});
    std::erase_if(records, [](const ShopRecord& r) { return r.topic != "impressions"; });
    return records;
  }

  // The next ones.
  void produce(std::size_t count) {
    const auto begin = impressions.begin() + static_cast<std::ptrdiff_t>(produced);
    ShopFeed(shop, {begin, begin + static_cast<std::ptrdiff_t>(count)}, 0).join();
    produced += count;
  }

  void take_all_and_stop() {
    ASSERT_TRUE(failing.wait_taken(produced));
    ASSERT_EQ(failing.stop(), 0) << failing.log();
  }

  // Deleting goes on for a moment after the broker's answer.
  void create_again() {
    ASSERT_TRUE(wait_until([&] {
      try {
        kafka.create_topic(topic, kPartitions);
        return true;
      } catch (const std::runtime_error&) {
        return false;
      }
    }));
  }

  // A start that ends by the loss, and changes nothing.
  void expect_refusal(const std::string& words) {
    const json::object before = shop.inspect("store");
    failing.start();
    EXPECT_EQ(failing.process().wait(60), 1) << failing.log();
    EXPECT_THAT(failing.log(), HasSubstr(words));
    EXPECT_THAT(failing.log(), HasSubstr("set kafka.on_lost: skip to go on without them"));
    const json::object after = shop.inspect("store");
    EXPECT_EQ(accounts_of(after), accounts_of(before));
    EXPECT_EQ(after.at("digest"), before.at("digest"));
  }

  bool shows(const std::string& series, double value) {
    return wait_until([&] {
      const Metrics metrics = scrape(shop.port());
      const auto found = metrics.find(series);
      return found != metrics.end() && found->second == value;
    });
  }

  // A running daemon that the loss has stopped serves on, until a person ends it.
  void expect_stopped_and_serving() {
    EXPECT_TRUE(shows("millrace_learning_state{state=\"stopped\"}", 1)) << failing.log();
    EXPECT_THAT(failing.log(), HasSubstr("learning has stopped: kafka: "));
    EXPECT_EQ(imbalance_of(scrape(shop.port())), "");
    EXPECT_TRUE(failing.is_up());
    EXPECT_EQ(failing.stop(), 1) << failing.log();
  }

  static std::uint64_t offsets_in(const json::array& lost) {
    std::uint64_t offsets = 0;
    for (const json::value& range : lost) {
      if (range.at("to").is_null()) continue;
      offsets += static_cast<std::uint64_t>(range.at("to").to_number<std::int64_t>() -
                                            range.at("from").to_number<std::int64_t>() + 1);
    }
    return offsets;
  }

  // Until the daemon says that it has seen it.
  void delete_topic_under(ShopDaemon& daemon) {
    auto times_told = [&] {
      const std::string log = daemon.log(), words = "topic " + topic + " does not exist";
      int times = 0;
      for (std::size_t at = 0; (at = log.find(words, at)) != std::string::npos; ++at) ++times;
      return times;
    };
    const int before = times_told();
    kafka.delete_topic(topic);
    EXPECT_TRUE(wait_until([&] { return times_told() > before; })) << daemon.log();
    EXPECT_TRUE(daemon.is_up());
    EXPECT_TRUE(shows("millrace_learning_state{state=\"running\"}", 1)) << "it is waited for";
  }

  // A process that hangs while the newest records of a partition come and go by retention. The
  // first record answers the fetch that may be under way.
  void lose_while_it_hangs(ShopDaemon& daemon) {
    daemon.process().signal(SIGSTOP);
    produce(20);
    produce(600);
    kafka.delete_records(topic, 1, kafka.offsets(topic, 1).second - 50);
    daemon.process().signal(SIGCONT);
  }
};

TEST_F(FaultsLost, RetentionPassesThePositionWhileTheDaemonIsDown) {
  shop.create_topics();
  produce(1'000);
  take_all_and_stop();
  const std::int64_t position = kafka.offsets(topic, 1).second;
  produce(1'000);
  const std::int64_t first = kafka.offsets(topic, 1).second - 100;
  kafka.delete_records(topic, 1, first);
  expect_refusal("partition 1: the stored offset " + std::to_string(position) +
                 " is not there; the broker has " + std::to_string(first));

  ShopWatch watch(shop);
  const std::size_t lost = static_cast<std::size_t>(first - position);
  ASSERT_TRUE(skipping.wait_taken(produced - lost));
  EXPECT_TRUE(shows("millrace_lost_ranges_total{reason=\"retention\"}", 1));
  EXPECT_TRUE(
      shows("millrace_lost_offsets_total{reason=\"retention\"}", static_cast<double>(lost)));
  EXPECT_EQ(skipping.stop(), 0) << skipping.log();
  EXPECT_EQ(watch.end().first_failure, "");
  const json::object state = shop.inspect("store");
  EXPECT_EQ(imbalance_of(state), "");
  EXPECT_EQ(state.at("lost"), (json::array{{{"topic", topic},
                                            {"partition", 1},
                                            {"from", position},
                                            {"to", first - 1},
                                            {"reason", "retention"}}}));
  // All that is not lost has counted, once.
  std::int64_t offset = 0;
  std::vector<ShopRecord> kept(impressions.begin(),
                               impressions.begin() + static_cast<std::ptrdiff_t>(produced));
  std::erase_if(kept, [&](const ShopRecord& record) {
    if (shop.record(record).partition != 1) return false;
    const std::int64_t own = offset++;
    return position <= own && own < first;
  });
  const json::object file =
      shop.replay("file", {}, {"--events", shop.write_file("kept.jsonl", kept)});
  EXPECT_EQ(accounts_of(state), accounts_of(file));
  EXPECT_EQ(state.at("digest"), file.at("digest"));
}

TEST_F(FaultsLost, RetentionPassesThePositionOfARunningDaemon) {
  shop.create_topics();
  produce(1'000);
  ASSERT_TRUE(failing.wait_taken(produced));
  lose_while_it_hangs(failing);
  ShopWatch watch(shop);
  watch.demand_answers(true);
  EXPECT_TRUE(shows("millrace_learning_state{state=\"stopped\"}", 1)) << failing.log();
  watch.demand_answers(false);
  expect_stopped_and_serving();
  expect_refusal("is not there; the broker has");

  // The same store goes on without them, and so it does when that happens to it while it runs.
  skipping.start();
  ASSERT_TRUE(shows("millrace_lost_ranges_total{reason=\"retention\"}", 1)) << skipping.log();
  ASSERT_TRUE(shows("millrace_partition_lag{topic=\"" + topic + "\",partition=\"1\"}", 0));
  lose_while_it_hangs(skipping);
  watch.demand_answers(true);
  ASSERT_TRUE(shows("millrace_lost_ranges_total{reason=\"retention\"}", 2)) << skipping.log();
  EXPECT_TRUE(shows("millrace_learning_state{state=\"running\"}", 1));
  const Metrics metrics = scrape(shop.port());
  const auto lost = metrics.at("millrace_lost_offsets_total{reason=\"retention\"}");
  ASSERT_TRUE(skipping.wait_taken(produced - static_cast<std::size_t>(lost)));
  watch.demand_answers(false);
  EXPECT_EQ(skipping.stop(), 0) << skipping.log();
  const ShopWatch::Seen seen = watch.end();
  EXPECT_EQ(seen.first_failure, "");
  EXPECT_GT(seen.answers, 0u);
  const json::object state = shop.inspect("store");
  EXPECT_EQ(imbalance_of(state), "");
  EXPECT_EQ(state.at("lost").as_array().size(), 2u);
  EXPECT_EQ(static_cast<double>(offsets_in(state.at("lost").as_array())), lost);
  EXPECT_EQ(state.at("events").to_number<std::size_t>(), produced - static_cast<std::size_t>(lost));
  report_figure("offsets_lost", lost);
  report_figure("scores_answered", seen.answers);
}

struct FaultsLostTopic : FaultsLost {
  // With fewer records than were read, or with more.
  void expect_made_anew(std::size_t records) {
    shop.create_topics();
    produce(1'000);
    take_all_and_stop();
    kafka.delete_topic(topic);
    create_again();
    produce(records);
    expect_refusal("the topic was made anew");

    ShopWatch watch(shop);
    ASSERT_TRUE(skipping.wait_taken(produced)) << "all of the new topic is read";
    EXPECT_TRUE(shows("millrace_lost_ranges_total{reason=\"made_anew\"}", kPartitions));
    EXPECT_EQ(skipping.stop(), 0) << skipping.log();
    EXPECT_EQ(watch.end().first_failure, "");
    const json::object state = shop.inspect("store");
    EXPECT_EQ(imbalance_of(state), "");
    EXPECT_EQ(state.at("events").to_number<std::size_t>(), produced);
    EXPECT_EQ(state.at("lost").as_array().size(), std::size_t{kPartitions});
    for (const json::value& range : state.at("lost").as_array()) {
      EXPECT_EQ(range.at("reason"), "made_anew");
      EXPECT_TRUE(range.at("to").is_null());
    }
  }
};

TEST_F(FaultsLostTopic, IsMadeAnewShorterWhileTheDaemonIsDown) { expect_made_anew(100); }
TEST_F(FaultsLostTopic, IsMadeAnewLongerWhileTheDaemonIsDown) { expect_made_anew(3'000); }

TEST_F(FaultsLost, ATopicIsDeletedUnderTheDaemonAndComesBack) {
  shop.create_topics();
  produce(1'000);
  ASSERT_TRUE(failing.wait_taken(produced));
  ShopWatch watch(shop);
  watch.demand_answers(true);
  delete_topic_under(failing);
  create_again();
  produce(100);
  EXPECT_TRUE(shows("millrace_learning_state{state=\"stopped\"}", 1)) << failing.log();
  watch.demand_answers(false);
  expect_stopped_and_serving();
  expect_refusal("the topic was made anew");

  ASSERT_TRUE(skipping.wait_taken(produced));
  watch.demand_answers(true);
  delete_topic_under(skipping);
  create_again();
  produce(1'500);
  ASSERT_TRUE(skipping.wait_taken(produced));
  EXPECT_TRUE(shows("millrace_lost_ranges_total{reason=\"made_anew\"}", 2 * kPartitions));
  watch.demand_answers(false);
  EXPECT_EQ(skipping.stop(), 0) << skipping.log();
  const ShopWatch::Seen seen = watch.end();
  EXPECT_EQ(seen.first_failure, "");
  EXPECT_GT(seen.answers, 0u);
  const json::object state = shop.inspect("store");
  EXPECT_EQ(imbalance_of(state), "");
  EXPECT_EQ(state.at("events").to_number<std::size_t>(), produced);
  report_figure("scores_answered", seen.answers);
}

// A daemon that ends while its topic is gone ends, though librdkafka would wait for ever.
TEST_F(FaultsLost, ADaemonEndsWhileItsTopicIsGone) {
  shop.create_topics();
  produce(200);
  ASSERT_TRUE(failing.wait_taken(produced));
  delete_topic_under(failing);
  EXPECT_EQ(failing.stop(), 0) << failing.log();
  EXPECT_EQ(shop.inspect("store").at("events").to_number<std::size_t>(), produced);
}

}  // namespace
}  // namespace millrace
