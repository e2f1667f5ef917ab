#include "ingest/source/kafka_plan_inner.h"

#include <string>
#include <utility>

#include "ingest/source/kafka_properties.h"

namespace millrace {
namespace {

KafkaClient::Properties make_properties(const KafkaSourceConfig& config) {
  KafkaClient::Properties all{
      {"client.id", "millrace"},
      {"group.id", config.group},
      {"fetch.wait.max.ms", "50"},  // the end of a partition is said when a fetch ends
      {"fetch.error.backoff.ms", "100"},
      {"reconnect.backoff.max.ms", "2000"},
      {"socket.keepalive.enable", "true"},
      {"socket.nagle.disable", "true"},
      {"topic.metadata.refresh.interval.ms", "60000"},
      // Only the size of what is queued counts, not the number of records.
      {"queued.min.messages", "10000000"},
      // One batch may be larger than everything that is asked for.
      {"receive.message.max.bytes", std::to_string(512 << 20)},
  };
  for (const auto& [name, value] : config.options.properties) all[name] = value;
  const KafkaClient::Properties ours{
      {"bootstrap.servers", config.options.brokers},
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      {"isolation.level", "read_committed"},
      {"auto.offset.reset", "error"},
      {"enable.partition.eof", "true"},
      {"check.crcs", "true"},
      {"allow.auto.create.topics", "false"},
  };
  for (const auto& [name, value] : ours) all[name] = value;
  return all;
}

}  // namespace

Result<KafkaPlan> KafkaPlan::make(const KafkaSourceConfig& config) {
  KafkaPlan plan;
  const std::string& start = config.options.start;
  if (start == "latest") {
    plan.start = Start::kLatest;
  } else if (start != "earliest") {
    plan.start = Start::kMoment;
    plan.moment = parse_rfc3339(start);
    if (!plan.moment) {
      return Error{"kafka.start: \"" + start +
                   "\" is neither earliest, latest nor an RFC 3339 time with an offset"};
    }
  }
  for (const auto& [name, value] : config.options.properties) {
    if (auto reason = why_refused(name, value)) return Error{*reason};
  }
  plan.properties = make_properties(config);
  // librdkafka judges the whole when a client is made; without an address it stays by itself.
  KafkaClient::Properties trial = plan.properties;
  trial.erase("bootstrap.servers");
  const auto client = KafkaClient::open(RD_KAFKA_CONSUMER, trial, nullptr);
  if (!client) return Error{"kafka.properties." + client.error().message};
  return plan;
}

}  // namespace millrace
