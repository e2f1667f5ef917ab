#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ingest/event/rejection.h"
#include "ingest/source/source.h"
#include "learner/base/fields.h"
#include "learner/base/state.h"

namespace millrace {

/// The `dead_letters:` section of the configuration.
struct DeadLetterOptions {
  std::string topic = "millrace.dead-letters";
  std::int64_t outbox = 10'000;
  static constexpr auto fields() {
    using D = DeadLetterOptions;
    return std::tuple{
        field("topic", &D::topic, "Where records go that cannot become events."),
        field("outbox", &D::outbox,
              "Dead letters that may wait for their delivery; beyond it, taking pauses.", 1,
              10'000'000)};
  }
};

/// One refused record and where it came from.
struct DeadLetter {
  Input input;
  std::int64_t offset = 0;  ///< In a file: the line, from 1.
  Rejection rejection;
  std::string payload, key;
  std::vector<Header> headers;
};

/// Where dead letters go. Threads: one at a time.
class DeadLetterSink {
 public:
  virtual ~DeadLetterSink() = default;
  virtual void add(DeadLetter letter) = 0;
  /// Whether another letter may be added now; where not, taking pauses.
  virtual bool has_room() = 0;
};

}  // namespace millrace
