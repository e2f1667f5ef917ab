// Which properties of librdkafka a configuration may set: what our promises rest on is refused by
// name, everything else goes to librdkafka, which judges it before anything is opened.

#include "ingest/source/kafka_properties.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/source/kafka_source.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::map<std::string, std::string>& properties,
                    const std::string& start = "earliest") {
  KafkaSourceConfig config;
  config.options.properties = properties;
  config.options.start = start;
  config.topics = {"clicks"};
  const auto made = KafkaSource::make(config);
  return made ? "" : made.error().message;
}

TEST(KafkaProperties, WhatIsOursIsRefusedByName) {
  for (const char* name :
       {"bootstrap.servers", "metadata.broker.list", "enable.auto.commit", "auto.commit.enable",
        "enable.auto.offset.store", "isolation.level", "auto.offset.reset", "enable.partition.eof",
        "check.crcs", "queued.max.messages.kbytes", "allow.auto.create.topics", "log.queue"}) {
    EXPECT_THAT(refusal({{name, "true"}}), HasSubstr("kafka.properties." + std::string(name)));
    EXPECT_THAT(refusal({{name, "true"}}), HasSubstr("Millrace sets it itself"));
  }
}

TEST(KafkaProperties, OidcIsRefusedWithAReason) {
  EXPECT_THAT(refusal({{"sasl.oauthbearer.method", "oidc"}}),
              HasSubstr("kafka.properties.sasl.oauthbearer.method: OIDC is not built"));
  EXPECT_THAT(refusal({{"sasl.oauthbearer.token.endpoint.url", "https://example.org"}}),
              HasSubstr("OIDC"));
  EXPECT_EQ(why_refused("sasl.oauthbearer.method", "default"), std::nullopt);
}

TEST(KafkaProperties, LibrdkafkaJudgesTheRest) {
  EXPECT_THAT(refusal({{"no.such.property", "1"}}),
              HasSubstr("kafka.properties.no.such.property: No such configuration property"));
  EXPECT_THAT(refusal({{"fetch.wait.max.ms", "soon"}}),
              HasSubstr("kafka.properties.fetch.wait.max.ms: "));
  // Two that do not go together are found when a client is made.
  EXPECT_THAT(refusal({{"max.poll.interval.ms", "1000"}, {"session.timeout.ms", "30000"}}),
              HasSubstr("max.poll.interval.ms"));
}

TEST(KafkaProperties, EverythingElsePasses) {
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal({{"client.id", "me"},
                     {"group.id", "mine"},
                     {"fetch.wait.max.ms", "10"},
                     {"security.protocol", "plaintext"},
                     {"compression.codec", "lz4"},
                     {"statistics.interval.ms", "0"}}),
            "");
}

TEST(KafkaStart, IsAWordOrATimeWithAnOffset) {
  for (const char* start : {"earliest", "latest", "2025-11-24T16:00:40Z"}) {
    EXPECT_EQ(refusal({}, start), "") << start;
  }
  for (const char* start : {"", "Earliest", "newest", "2025-11-24", "2025-11-24T16:00:40"}) {
    EXPECT_THAT(refusal({}, start), HasSubstr("kafka.start: \"" + std::string(start) + "\""));
  }
}

}  // namespace
}  // namespace millrace
