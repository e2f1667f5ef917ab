#include "ops/engine/stream_ends.h"

#include <algorithm>
#include <string>
#include <utility>

#include "ingest/sink/file_dead_letters.h"
#include "ingest/sink/kafka_dead_letters.h"
#include "ops/engine/engine.h"

namespace millrace {
namespace {

std::vector<std::string> topics_of(const EventTypes& types) {
  std::vector<std::string> topics;
  auto add = [&](const std::string& topic) {
    if (!topic.empty() && std::find(topics.begin(), topics.end(), topic) == topics.end()) {
      topics.push_back(topic);
    }
  };
  if (types.has_impressions) add(types.impression_topic);
  add(types.sample_topic);
  for (const OutcomeType& outcome : types.outcomes) add(outcome.topic);
  return topics;
}

KafkaSourceConfig source_config(const EngineOptions& options) {
  KafkaSourceConfig config;
  config.options = options.config.kafka;
  config.topics = topics_of(options.config.events);
  config.group = "millrace-" + options.config.name;
  config.to_present_ends = !options.live;
  config.log = options.log;
  config.stopping = options.stopping;
  return config;
}

}  // namespace

Result<StreamEnds> make_stream_ends(const EngineOptions& options) {
  const Config& config = options.config;
  StreamEnds ends;
  if (!options.files.empty()) {
    ends.files = std::make_unique<FileSource>(options.files);
    ends.source = ends.files.get();
    ends.participants.push_back(ends.files.get());
  } else {
    auto kafka = KafkaSource::make(source_config(options));
    if (!kafka) return kafka.error();
    ends.kafka = std::move(kafka).value();
    ends.source = ends.kafka.get();
    ends.participants.push_back(ends.kafka.get());
  }
  if (options.dead_letters) {
    ends.dead_letters = std::make_unique<FileDeadLetters>(*options.dead_letters);
  } else if (!options.files.empty()) {
    ends.dead_letters = std::make_unique<DroppedDeadLetters>();
  } else {
    auto outbox = KafkaDeadLetters::make({.options = config.dead_letters,
                                          .brokers = config.kafka.brokers,
                                          .properties = config.kafka.properties,
                                          .log = options.log});
    if (!outbox) return outbox.error();
    ends.outbox = outbox->get();
    ends.participants.push_back(outbox->get());
    ends.dead_letters = std::move(outbox).value();
  }
  return ends;
}

}  // namespace millrace
