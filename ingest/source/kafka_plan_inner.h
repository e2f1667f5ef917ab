#pragma once

#include <optional>

#include "ingest/source/kafka_client_inner.h"
#include "ingest/source/kafka_source.h"
#include "learner/base/result.h"
#include "learner/base/time.h"

namespace millrace {

/// What follows from a configuration that was found good: where a new store starts, and the
/// properties of every client.
struct KafkaPlan {
  enum class Start { kEarliest, kLatest, kMoment };

  Start start = Start::kEarliest;
  std::optional<EventTime> moment;
  KafkaClient::Properties properties;

  /// Error: `kafka.start` that is no time, a property that is ours, or what librdkafka says against
  /// one or against all of them together.
  static Result<KafkaPlan> make(const KafkaSourceConfig& config);
};

}  // namespace millrace
