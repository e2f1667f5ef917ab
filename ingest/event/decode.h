#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "ingest/event/event.h"
#include "ingest/event/rejection.h"
#include "learner/base/result.h"
#include "learner/data/schema.h"

namespace millrace {

/// What decoding counts beside the events themselves; written by the decoder's thread only.
struct DecodeCounts {
  std::uint64_t missing_features = 0;  ///< Features of an event that were missing or null.
  std::uint64_t unknown_features =
      0;                             ///< Fields of `features` that the configuration does not know.
  std::uint64_t unknown_labels = 0;  ///< Labels of samples for tasks that there are not.
};

/// Turns JSON records into events, by the contract's rules. Reads each record once, on demand, with
/// no tree of values, and encodes the features on the way.
/// Never throws on any input. Threads: one decoder per thread (it holds a parser and scratch
/// space).
class Decoder {
 public:
  /// Borrows both.
  Decoder(const Schema& schema, const EventTypes& types);
  ~Decoder();

  /// A record from Kafka: its topic says the type, and `type` in the record is optional, unless
  /// types share the topic. Empty and too large records are refused here too (`max_record` bytes).
  Result<Event, Rejection> decode(std::string_view topic, std::string_view record,
                                  std::size_t max_record);
  /// A line of a file: carries its type.
  Result<Event, Rejection> decode_line(std::string_view line, std::size_t max_record);

  const DecodeCounts& counts() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
