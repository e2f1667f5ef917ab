#include "ingest/source/kafka_properties.h"

#include <array>
#include <utility>

namespace millrace {
namespace {

using Refusal = std::pair<std::string_view, std::string_view>;

constexpr std::array kOurs{
    Refusal{"bootstrap.servers", "set kafka.brokers instead"},
    Refusal{"metadata.broker.list", "set kafka.brokers instead"},
    Refusal{"queued.max.messages.kbytes", "it follows from kafka.prefetch"},
    Refusal{"enable.auto.commit", "positions are part of Millrace's own commit"},
    Refusal{"auto.commit.enable", "positions are part of Millrace's own commit"},
    Refusal{"enable.auto.offset.store", "positions are part of Millrace's own commit"},
    Refusal{"isolation.level", "it is always read_committed"},
    Refusal{"auto.offset.reset", "kafka.start and kafka.on_lost decide this"},
    Refusal{"enable.partition.eof", "the merge of the partitions needs it"},
    Refusal{"check.crcs", "it is always on"},
    Refusal{"allow.auto.create.topics", "a missing topic is waited for"},
    Refusal{"log.queue", "logs go to Millrace's own log"},
};

constexpr std::array<std::string_view, 6> kOidc{
    "sasl.oauthbearer.client.id",  "sasl.oauthbearer.client.secret",      "sasl.oauthbearer.scope",
    "sasl.oauthbearer.extensions", "sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.method",
};

}  // namespace

std::optional<std::string> why_refused(std::string_view property, std::string_view value) {
  for (const auto& [name, reason] : kOurs) {
    if (property == name) {
      return "kafka.properties." + std::string(property) +
             ": Millrace sets it itself: " + std::string(reason);
    }
  }
  for (const std::string_view name : kOidc) {
    if (property != name || (name == "sasl.oauthbearer.method" && value == "default")) continue;
    return "kafka.properties." + std::string(property) +
           ": OIDC is not built into this version's librdkafka; use another SASL mechanism";
  }
  return std::nullopt;
}

}  // namespace millrace
