// What the source promises on a real Kafka: every committed record once and in order, whatever the
// compression and the transactions; going on from saved positions; lost offsets said, never read
// over; ends that are known for sure; and brokers, topics and partitions that come and go.

#include "ingest/source/kafka_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/integration/kafka_reader.h"

namespace millrace {
namespace {

using std::chrono::steady_clock;
using ::testing::HasSubstr;

struct KafkaSourceTest : ::testing::Test {
  KafkaServer& kafka = KafkaServer::shared();
  TestProducer producer{kafka.address()};
};

TEST_F(KafkaSourceTest, ReadsEveryRecordOnceAndInOrderWhateverTheCompression) {
  std::vector<std::string> topics;
  std::multiset<std::string> expected;
  for (const std::string codec : {"none", "gzip", "snappy", "lz4", "zstd"}) {
    topics.push_back("codec-" + codec);
    kafka.create_topic(topics.back());
    TestProducer compressing(kafka.address(), {{"compression.codec", codec}});
    expected.merge(fill(compressing, topics.back(), 3000, codec + std::string(200, 'x')));
  }
  Reader reader(kafka.address(), topics);
  reader.start();
  EXPECT_EQ(reader.source->inputs().size(), 15u);
  const auto got = reader.read(expected.size());
  EXPECT_EQ(values_of(got), expected);
  std::map<std::pair<std::string, int>, std::int64_t> next;
  for (const Got& record : got) {
    EXPECT_EQ(record.offset, (next[{record.topic, record.partition}]++));
  }
  EXPECT_TRUE(reader.source->confirm_ends());
  for (std::size_t i = 0; i < 15; ++i) EXPECT_EQ(reader.source->lag(i), 0);
}

TEST_F(KafkaSourceTest, GivesKeyTimestampAndHeadersAsTheyWere) {
  kafka.create_topic("whole", 1);
  producer.send({.topic = "whole",
                 .value = std::string("a\0b", 3),
                 .key = "k",
                 .headers = {{"h", "1"}, {"h", "2"}, {"none", std::nullopt}, {"empty", ""}},
                 .timestamp = 1764000040123});
  producer.send({.topic = "whole", .value = std::nullopt});
  producer.flush();
  Reader reader(kafka.address(), {"whole"});
  reader.start();
  Record record;
  ASSERT_TRUE(wait_until([&] {
    reader.source->wait(Duration{10});
    return reader.source->peek(0, record) == Head::kRecord;
  }));
  EXPECT_EQ(record.payload, std::string_view("a\0b", 3));
  EXPECT_EQ(record.key, "k");
  EXPECT_EQ(record.timestamp, EventTime{1764000040123});
  const auto headers = reader.source->headers(0);
  ASSERT_EQ(headers.size(), 4u);
  EXPECT_EQ(headers[1].name, "h");
  EXPECT_EQ(headers[1].value, "2");
  EXPECT_EQ(headers[2].value, std::nullopt);
  EXPECT_EQ(headers[3].value, "");
  reader.source->take(0);
  ASSERT_TRUE(wait_until([&] {
    reader.source->wait(Duration{10});
    return reader.source->peek(0, record) == Head::kRecord;
  }));
  EXPECT_EQ(record.payload, "");
}

TEST_F(KafkaSourceTest, SeesOnlyCommittedRecordsAndTheEndBehindControlRecords) {
  kafka.create_topic("transactions", 1);
  TestProducer first(kafka.address(), {{"transactional.id", "first"}});
  TestProducer second(kafka.address(), {{"transactional.id", "second"}});
  auto put = [&](TestProducer& by, const std::string& value) {
    by.send({.topic = "transactions", .value = value});
    by.flush();
  };
  first.begin();
  put(first, "a");
  put(first, "b");
  first.commit();
  second.begin();
  put(second, "never");
  second.abort();

  Reader reader(kafka.address(), {"transactions"});
  reader.start();
  EXPECT_THAT(values_of(reader.read(2)), ::testing::ElementsAre("a", "b"));
  // a, b, commit, never, abort
  ASSERT_TRUE(wait_until([&] {
    reader.source->wait(Duration{10});
    Record record;
    return reader.source->peek(0, record) == Head::kAtEnd && reader.source->position(0) == 5;
  })) << reader.source->position(0);
  EXPECT_TRUE(reader.source->confirm_ends());

  // An open transaction hides itself and all behind it, and is not waited for.
  first.begin();
  put(first, "c");
  producer.send({.topic = "transactions", .value = "d"});
  producer.flush();
  EXPECT_TRUE(reader.read(0).empty());
  EXPECT_TRUE(reader.source->confirm_ends());
  EXPECT_EQ(reader.source->lag(0), 0);
  first.commit();
  EXPECT_THAT(values_of(reader.read(2)), ::testing::ElementsAre("c", "d"));
}

TEST_F(KafkaSourceTest, GoesOnFromSavedPositions) {
  kafka.create_topic("resume");
  auto expected = fill(producer, "resume", 900);
  std::vector<Got> all;
  StateChanges saved;
  {
    Reader reader(kafka.address(), {"resume"});
    reader.start();
    // One partition is read in part, one not at all, one whole.
    ASSERT_TRUE(wait_until([&] {
      reader.source->wait(Duration{10});
      for (std::size_t input : {0u, 2u}) {
        Record record;
        while (reader.source->position(input) < (input == 0 ? 100 : 300) &&
               reader.source->peek(input, record) == Head::kRecord) {
          all.push_back(
              {"resume", static_cast<int>(input), record.offset, std::string(record.payload)});
          reader.source->take(input);
        }
      }
      return all.size() == 400;
    }));
    saved = reader.save();
  }
  expected.merge(fill(producer, "resume", 30, "later"));
  Reader reader(kafka.address(), {"resume"},
                [](auto& config) { config.options.start = "latest"; });  // for new stores only
  reader.restore(saved);
  reader.start();
  const auto rest = reader.read(530);
  all.insert(all.end(), rest.begin(), rest.end());
  EXPECT_EQ(all.size(), 930u);
  EXPECT_EQ(values_of(all), expected);
}

TEST_F(KafkaSourceTest, NewStoreStartsWhereItIsTold) {
  kafka.create_topic("start", 1);
  for (int i = 0; i < 10; ++i) {
    producer.send(
        {.topic = "start", .value = std::to_string(i), .timestamp = 1764000000000 + i * 1000});
  }
  producer.flush();
  auto first_from = [&](const std::string& start) {
    Reader reader(kafka.address(), {"start"}, [&](auto& config) { config.options.start = start; });
    reader.start();
    return reader.source->position(0);
  };
  EXPECT_EQ(first_from("earliest"), 0);
  EXPECT_EQ(first_from("latest"), 10);
  EXPECT_EQ(first_from("2025-11-24T16:00:03Z"), 3);
  EXPECT_EQ(first_from(print_rfc3339(EventTime{1764000006500})), 7);
  EXPECT_EQ(first_from("2025-11-24T17:00:00+01:00"), 0);
  EXPECT_EQ(first_from("2025-11-25T00:00:00Z"), 10);
}

// A daemon commits before it starts to read.
TEST_F(KafkaSourceTest, ACommitBeforeTheStartLeavesTheStoreNew) {
  kafka.create_topic("commit-first", 1);
  fill(producer, "commit-first", 10, "v", 1);
  auto latest = [](auto& config) { config.options.start = "latest"; };
  StateChanges saved;
  {
    Reader reader(kafka.address(), {"commit-first"}, latest);
    saved = reader.save();
    EXPECT_TRUE(saved.values.empty());
  }
  {
    Reader reader(kafka.address(), {"commit-first"}, latest);
    reader.restore(saved);
    reader.start();
    EXPECT_EQ(reader.source->position(0), 10);
    saved = reader.save();
  }
  fill(producer, "commit-first", 10, "w", 1);
  Reader reader(kafka.address(), {"commit-first"}, latest);
  reader.restore(saved);
  reader.start();
  EXPECT_EQ(reader.source->position(0), 10);
}

TEST_F(KafkaSourceTest, WaitsForATopicThatIsMissingAndFindsNewPartitions) {
  kafka.create_topic("there", 1);
  fill(producer, "there", 5, "t", 1);
  Reader reader(kafka.address(), {"there", "missing"},
                [](auto& config) { config.options.start = "latest"; });
  reader.start();
  EXPECT_EQ(reader.source->inputs().size(), 1u);
  EXPECT_THAT(reader.log(), HasSubstr("topic missing does not exist yet"));
  EXPECT_TRUE(reader.read(0).empty());

  kafka.create_topic("missing", 2);
  fill(producer, "missing", 20, "m", 2);
  EXPECT_EQ(reader.read(20).size(), 20u);  // from its start, though the store starts at the latest
  EXPECT_EQ(reader.source->inputs().size(), 3u);
  kafka.grow_topic("missing", 7);
  TestProducer wider(kafka.address());  // learns of the new partitions
  fill(wider, "missing", 70, "n", 7);
  EXPECT_EQ(reader.read(70).size(), 70u);
  EXPECT_EQ(reader.source->inputs().size(), 8u);
}

TEST_F(KafkaSourceTest, NewPartitionsDoNotDisturbHeads) {
  kafka.create_topic("head", 1);
  auto expected = fill(producer, "head", 2000, "h", 1);
  Reader reader(kafka.address(), {"head"});
  reader.start();
  Record record;
  ASSERT_TRUE(wait_until([&] {
    reader.source->wait(Duration{10});
    return reader.source->peek(0, record) == Head::kRecord;
  }));
  kafka.grow_topic("head", 9);
  ASSERT_TRUE(wait_until([&] {
    reader.source->wait(Duration{10});
    return reader.source->inputs().size() == 9;
  }));
  EXPECT_EQ(record.payload, "h0");  // the view still holds
  TestProducer wider(kafka.address());
  expected.merge(fill(wider, "head", 900, "i", 9));
  EXPECT_EQ(values_of(reader.read(2900)), expected);
}

TEST_F(KafkaSourceTest, ReplayStopsAtTheEndsOfItsStart) {
  kafka.create_topic("ends");
  const auto expected = fill(producer, "ends", 300);
  Reader reader(kafka.address(), {"ends", "no-such-topic"},
                [](auto& config) { config.to_present_ends = true; });
  reader.start();
  EXPECT_THAT(reader.log(), HasSubstr("topic no-such-topic does not exist; taken as empty"));
  fill(producer, "ends", 300, "later");
  EXPECT_EQ(values_of(reader.read(300)), expected);
  reader.source->wait(Duration{100});
  EXPECT_TRUE(reader.read(0).empty());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(reader.source->position(i), 100);
}

TEST_F(KafkaSourceTest, ShowsItsPositionsToLagDashboards) {
  kafka.create_topic("dashboards", 1);
  fill(producer, "dashboards", 10, "v", 1);
  Reader reader(kafka.address(), {"dashboards"}, [](auto& config) { config.group = "lag-group"; });
  reader.start();
  reader.read(10);
  reader.source->publish_positions();
  EXPECT_TRUE(wait_until([&] {
    reader.source->wait(Duration{50});
    return kafka.committed("lag-group", "dashboards", 0) == 10;
  }));
  EXPECT_EQ(reader.source->failed_publications(), 0u);
}

TEST_F(KafkaSourceTest, WakesUpWhenARecordComes) {
  kafka.create_topic("wake", 3);
  Reader reader(kafka.address(), {"wake"});
  reader.start();
  reader.read(0);
  std::vector<double> delays;
  for (int i = 0; i < 40; ++i) {
    producer.send({.topic = "wake", .partition = i % 3, .value = "x"});
    producer.flush();
    const auto sent = steady_clock::now();
    while (reader.read(0).empty()) reader.source->wait(Duration{2000});
    delays.push_back(std::chrono::duration<double>(steady_clock::now() - sent).count());
  }
  std::sort(delays.begin(), delays.end());
  EXPECT_LT(delays[20], 0.05);
  EXPECT_LT(delays[38], 0.5);
}

TEST(KafkaSourceBroker, GoesOnWhenTheBrokerComesBack) {
  KafkaServer own;
  own.create_topic("broker");
  auto producer = std::make_unique<TestProducer>(own.address());
  auto expected = fill(*producer, "broker", 300);
  Reader reader(own.address(), {"broker"});
  reader.start();
  auto got = reader.read(300);
  producer.reset();
  own.kill();
  EXPECT_FALSE(reader.source->confirm_ends());
  for (int i = 0; i < 20; ++i) {
    reader.source->wait(Duration{50});
    Record record;
    for (std::size_t input = 0; input < 3; ++input) {
      EXPECT_NE(reader.source->peek(input, record), Head::kRecord);
    }
  }
  own.restart();
  producer = std::make_unique<TestProducer>(own.address());
  expected.merge(fill(*producer, "broker", 300, "again"));
  const auto rest = reader.read(300);
  got.insert(got.end(), rest.begin(), rest.end());
  EXPECT_EQ(values_of(got), expected);
  EXPECT_TRUE(wait_until([&] { return reader.source->confirm_ends(); }));
  EXPECT_THAT(reader.log(), HasSubstr("warning kafka: "));

  // A replay gives up when nothing comes any more, at its start and in the middle; a daemon does
  // not.
  Reader replay(own.address(), {"broker"}, [](auto& config) {
    config.to_present_ends = true;
    config.replay_patience = Duration{1'500};
  });
  replay.start();
  const StateChanges saved = reader.save();
  own.kill();
  Record record;
  auto wait_out = [&](Reader& by) {
    for (int i = 0; i < 30; ++i) {
      for (std::size_t input = 0; input < 3; ++input) {
        while (by.source->peek(input, record) == Head::kRecord) by.source->take(input);
      }
      by.source->wait(Duration{100});
    }
  };
  EXPECT_NO_THROW(wait_out(reader));
  Reader late(own.address(), {"broker"}, [](auto& config) {
    config.to_present_ends = true;
    config.replay_patience = Duration{500};
  });
  try {
    late.start();
    ADD_FAILURE() << "started without a broker";
  } catch (const SourceError& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("the broker at " + own.address() + " did not answer for 500ms"));
  }
  Reader daemon(own.address(), {"broker"},
                [](auto& config) { config.start_patience = Duration{500}; });
  daemon.restore(saved);
  daemon.start();
  EXPECT_THAT(daemon.log(), HasSubstr("did not answer for 500ms"));
  EXPECT_FALSE(daemon.source->confirm_ends());
  own.restart();
  fill(*producer, "broker", 30, "last");
  EXPECT_EQ(daemon.read(30).size(), 30u);
}

// librdkafka's own end hangs then.
TEST_F(KafkaSourceTest, EndsThoughATopicWasDeletedUnderIt) {
  kafka.create_topic("deleted", 1);
  fill(producer, "deleted", 10, "v", 1);
  auto reader = std::make_unique<Reader>(kafka.address(), std::vector<std::string>{"deleted"});
  reader->start();
  reader->read(10);
  kafka.delete_topic("deleted");
  EXPECT_TRUE(wait_until([&] {
    reader->source->wait(Duration{100});
    Record record;
    EXPECT_NE(reader->source->peek(0, record), Head::kRecord);
    return reader->log().find("topic deleted does not exist") != std::string::npos;
  }));
  EXPECT_FALSE(reader->source->confirm_ends());
  EXPECT_EQ(reader->source->position(0), 10);
  const auto begin = steady_clock::now();
  reader.reset();
  EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(20));
}

// A daemon under full load never waits; what it must hear of comes with its records.
TEST_F(KafkaSourceTest, FindsNewPartitionsAndPublishesWithoutEverWaiting) {
  kafka.create_topic("busy", 1);
  fill(producer, "busy", 10, "v", 1);
  Reader reader(kafka.address(), {"busy"}, [](auto& config) { config.group = "busy-group"; });
  reader.start();
  Record record;
  ASSERT_TRUE(wait_until([&] { return reader.source->peek(0, record) == Head::kRecord; }));
  reader.source->take(0);
  kafka.grow_topic("busy", 2);
  EXPECT_TRUE(wait_until([&] {
    reader.source->peek(0, record);
    return reader.source->inputs().size() == 2;
  }));
  for (std::int64_t position = 2; position <= 4; ++position) {
    ASSERT_EQ(reader.source->peek(0, record), Head::kRecord);
    reader.source->take(0);
    EXPECT_TRUE(wait_until([&] {
      reader.source->publish_positions();
      return kafka.committed("busy-group", "busy", 0) == position;
    }));
  }
}

}  // namespace
}  // namespace millrace
