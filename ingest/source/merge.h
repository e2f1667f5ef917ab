#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ingest/event/decode.h"
#include "ingest/event/event.h"
#include "ingest/event/rejection.h"
#include "ingest/source/source.h"
#include "learner/base/stages.h"
#include "learner/base/time.h"

namespace millrace {

struct MergeOptions {
  /// How long a partition that is behind its end is waited for; nothing: for ever (`replay`).
  std::optional<Duration> idle_after;
  Duration max_skew{10'000};
  std::size_t max_record = 1 << 20;
  /// The wall clock, asked once for each record that carries a stamp from the future and for
  /// `idle_after`. Of files: a clock that always says when the store was first started.
  std::function<EventTime()> clock;
  /// Files carry the type in each line; in Kafka the topic says it.
  bool lines = false;
  /// Where the time of taking goes; may be null. Borrowed.
  StageSampler* stages = nullptr;
};

/// A record that was taken: what it is, and where it came from.
struct Taken {
  std::size_t input = 0;
  std::int64_t offset = 0;
  std::optional<EventTime> timestamp;
  Result<Event, Rejection> event;
  /// For a rejection only: the original record and its headers. Kafka's records may have no payload
  /// or no key, which is not the same as an empty one.
  std::optional<std::string> payload, key;
  std::vector<Header> headers;
};

/// Makes one order out of many inputs: always takes the head with the smallest (event time, topic,
/// partition, offset), passes over inputs at their end, and waits for those behind it. Records that
/// are no valid event are taken the moment they are a head. (contract/join.md, Taking)
/// Memory: one decoded event an input. Threads: one at a time.
class Merge {
 public:
  /// Borrows both.
  Merge(Source& source, Decoder& decoder, MergeOptions options);
  ~Merge();

  /// The next record in order; nothing while some input is waited for (call `source.wait`) or when
  /// all stand at their ends (`all_at_end`).
  std::optional<Taken> next();

  /// Whether at the last call of `next` every input stood at its end.
  bool all_at_end() const;

  /// Inputs that were left out since the start because they were behind and silent for
  /// `idle_after`.
  std::uint64_t left_out() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
