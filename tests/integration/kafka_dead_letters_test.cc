// Dead letters on a real Kafka: the original record as it was, its origin in headers, and at least
// once through broker failures and restarts of ours.

#include "ingest/sink/kafka_dead_letters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/support/servers.h"

namespace millrace {
namespace {

std::unique_ptr<KafkaDeadLetters> open(const std::string& brokers, const std::string& topic,
                                       std::int64_t outbox = 10'000) {
  KafkaDeadLettersConfig config;
  config.options.topic = topic;
  config.options.outbox = outbox;
  config.brokers = brokers;
  auto made = KafkaDeadLetters::make(config);
  if (!made) throw std::runtime_error(made.error().message);
  return std::move(made).value();
}

DeadLetter letter(std::string payload) {
  return {.input = {"clicks", 2, ""},
          .offset = 17,
          .rejection = {Reason::kMissingField, "field \"time\" is missing"},
          .payload = std::move(payload),
          .key = "key",
          .headers = {{"own", "1"}, {"none", std::nullopt}}};
}

std::set<std::string> values_of(const std::vector<ReadRecord>& records) {
  std::set<std::string> values;
  for (const ReadRecord& record : records) values.insert(record.value);
  return values;
}

TEST(KafkaDeadLettersTest, KeepTheRecordAndSayWhereItCameFrom) {
  KafkaServer& kafka = KafkaServer::shared();
  const auto sink = open(kafka.address(), "dead-whole");  // the topic does not exist yet
  sink->add(letter(std::string("a\0b", 3)));
  ASSERT_TRUE(sink->flush(Duration{30'000}));
  EXPECT_EQ(sink->probe().delivered, 1u);
  EXPECT_EQ(sink->probe().waiting, 0u);
  const auto records = read_topic(kafka.address(), "dead-whole", 1);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].value, std::string("a\0b", 3));
  EXPECT_EQ(records[0].key, "key");
  using Header = std::pair<std::string, std::optional<std::string>>;
  EXPECT_THAT(
      records[0].headers,
      ::testing::ElementsAre(
          Header{"own", "1"}, Header{"none", std::nullopt},
          Header{"__millrace.errors.topic", "clicks"}, Header{"__millrace.errors.partition", "2"},
          Header{"__millrace.errors.offset", "17"}, Header{"__millrace.errors.stage", "decode"},
          Header{"__millrace.errors.reason", "missing_field"},
          Header{"__millrace.errors.message", "field \"time\" is missing"}));
}

TEST(KafkaDeadLettersTest, ARecordThatIsTooLargeForTheTopicIsSentCut) {
  KafkaServer& kafka = KafkaServer::shared();
  kafka.create_topic("dead-large", 1);  // with the broker's limit of a MiB
  const auto sink = open(kafka.address(), "dead-large");
  const std::string large(3 << 20, 'x');
  sink->add(letter(large));
  ASSERT_TRUE(sink->flush(Duration{30'000}));
  const auto records = read_topic(kafka.address(), "dead-large", 1);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].value, large.substr(0, 64 << 10));
  EXPECT_EQ(records[0].headers.back().first, "__millrace.errors.size");
  EXPECT_EQ(records[0].headers.back().second, std::to_string(large.size()));

  // A topic that the sink made itself takes it whole.
  const auto whole = open(kafka.address(), "dead-larger");
  whole->add(letter(large));
  ASSERT_TRUE(whole->flush(Duration{30'000}));
  EXPECT_EQ(values_of(read_topic(kafka.address(), "dead-larger", 1)), std::set{large});
}

TEST(KafkaDeadLettersTest, WaitInTheCommitWhileTheBrokerIsAway) {
  KafkaServer own;
  own.create_topic("dead", 1);
  auto sink = open(own.address(), "dead", 3);
  sink->add(letter("first"));
  ASSERT_TRUE(sink->flush(Duration{30'000}));
  sink->save(1, {});
  own.kill();
  sink->add(letter("a"));
  sink->add(letter("b"));
  EXPECT_TRUE(sink->has_room());
  sink->add(letter("c"));
  EXPECT_FALSE(sink->has_room());
  const StateChanges saved = sink->save(2, {});
  ASSERT_EQ(saved.values.size(), 1u);
  EXPECT_FALSE(saved.values[0].in_digest);
  EXPECT_TRUE(sink->save(3, {}).values.empty());  // nothing changed
  EXPECT_FALSE(sink->flush(Duration{200}));

  // A crash: another process goes on from the commit.
  sink = open(own.address(), "dead", 3);
  sink->restore_value(saved.values[0].name, saved.values[0].bytes);
  sink->restored();
  EXPECT_FALSE(sink->has_room());
  own.restart();
  ASSERT_TRUE(sink->flush(Duration{60'000}));
  EXPECT_TRUE(sink->has_room());
  EXPECT_EQ(values_of(read_topic(own.address(), "dead", 1)),
            (std::set<std::string>{"first", "a", "b", "c"}));
  const StateChanges after = sink->save(4, {});
  ASSERT_EQ(after.values.size(), 1u);

  // What was delivered is not sent again.
  sink = open(own.address(), "dead", 3);
  sink->restore_value(after.values[0].name, after.values[0].bytes);
  sink->restored();
  EXPECT_EQ(sink->probe().waiting, 0u);
}

TEST(KafkaDeadLettersTest, ABadPropertyIsRefusedByName) {
  KafkaDeadLettersConfig config;
  config.brokers = "127.0.0.1:1";
  config.properties = {{"compression.codec", "lzma"}};
  const auto made = KafkaDeadLetters::make(config);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, ::testing::HasSubstr("kafka.properties.compression.codec"));
  // What only a consumer knows, and what the source owns, does not disturb.
  config.properties = {{"fetch.wait.max.ms", "20"}, {"isolation.level", "read_committed"}};
  EXPECT_TRUE(KafkaDeadLetters::make(config));
}

}  // namespace
}  // namespace millrace
