#pragma once

#include <cstdint>
#include <memory>
#include <optional>
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
  std::optional<std::string> payload, key;  ///< Absent is not the same as empty.
  std::vector<Header> headers;
};

/// Where dead letters go. Threads: one at a time.
class DeadLetterSink {
 public:
  virtual ~DeadLetterSink() = default;
  /// Throws SourceError where the surroundings fail.
  virtual void add(DeadLetter letter) = 0;
  /// Whether another letter may be added now; where not, taking pauses. Called before each event,
  /// so it is cheap; also does what is to be done now and then.
  virtual bool has_room() = 0;
  /// Waits, `timeout` at most, until every letter is where it belongs, and says whether it is.
  virtual bool flush(Duration timeout) = 0;
};

/// For a replay that has no place for dead letters: they are counted elsewhere, and dropped here.
class DroppedDeadLetters final : public DeadLetterSink {
 public:
  void add(DeadLetter) override {}
  bool has_room() override { return true; }
  bool flush(Duration) override { return true; }
};

}  // namespace millrace
