#pragma once

#include <memory>
#include <vector>

#include "ingest/sink/dead_letters.h"
#include "ingest/source/file_source.h"
#include "ingest/source/kafka_source.h"
#include "learner/base/result.h"
#include "learner/base/state.h"

namespace millrace {

struct EngineOptions;
class KafkaDeadLetters;

/// Where an engine's events come from, and where those go that nothing can be made of.
struct StreamEnds {
  std::unique_ptr<KafkaSource> kafka;  ///< One of these two,
  std::unique_ptr<FileSource> files;
  Source* source = nullptr;  ///< and the same.
  std::unique_ptr<DeadLetterSink> dead_letters;
  KafkaDeadLetters* outbox = nullptr;      ///< The same, where it is one.
  std::vector<Participant*> participants;  ///< Those of them that have state.
};

/// Nothing is opened or connected to yet. Error: a Kafka property that librdkafka refuses.
Result<StreamEnds> make_stream_ends(const EngineOptions& options);

}  // namespace millrace
