#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/time.h"

namespace millrace {

/// What went wrong outside: a broker, a file, a position that is gone.
struct SourceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Records that were to be read, or that were read, are not what the broker has now, and the
/// configuration says to fail then (`kafka.on_lost`): trying again mends nothing, a decision does.
struct LostError : SourceError {
  using SourceError::SourceError;
};

/// One partition of one topic, or one file (the partitions 0, 1, … of a topic).
struct Input {
  std::string topic;  ///< Of files: "file".
  int partition = 0;
  std::string path;  ///< Of files.
};

/// A header of a record; in Kafka its value may be absent, which is not the same as empty.
struct Header {
  std::string name;
  std::optional<std::string> value;
};

/// The record at the head of an input; views are good until the source's next call. Where Kafka has
/// no payload or no key, `data()` is null.
struct Record {
  std::string_view payload;
  std::string_view key;
  std::int64_t offset = 0;             ///< In a file: the line's number, from 1.
  std::optional<EventTime> timestamp;  ///< Kafka's stamp, where there is one.
};

/// What stands at the head of an input.
enum class Head {
  kRecord,  ///< A record.
  kAtEnd,   ///< Nothing, and the consumer stands at the end: not waited for.
  kBehind,  ///< Nothing yet, but there is more: waited for.
};

/// Records of several inputs, each in its order, read ahead within a bound of memory.
///
/// Everything that fails outside (the broker is gone, a file cannot be read) is thrown as
/// SourceError. Threads: one at a time.
class Source {
 public:
  virtual ~Source() = default;

  /// Grows at the end when new partitions are found; never shrinks or reorders.
  virtual const std::vector<Input>& inputs() const = 0;

  /// What stands at the head of `input`. The record stays there until `take`.
  virtual Head peek(std::size_t input, Record& record) = 0;

  /// The head is done with; `position` moves behind it.
  virtual void take(std::size_t input) = 0;

  /// The offset of the next record that will be the head, once `take` was called for the last one.
  virtual std::int64_t position(std::size_t input) const = 0;

  /// The headers of the record at the head (Kafka; for dead letters).
  virtual std::vector<Header> headers(std::size_t input) = 0;

  /// Waits until something may have changed, at most `timeout`.
  virtual void wait(Duration timeout) = 0;

  /// Whether every input stood at its end when the broker answered just now; asks it anew (files:
  /// at their ends). False where anything did not answer.
  virtual bool confirm_ends() = 0;
};

}  // namespace millrace
