#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ingest/source/kafka_losses.h"
#include "ingest/source/kafka_marks.h"
#include "ingest/source/kafka_options.h"

namespace millrace {

/// What the broker has of a partition now, and of the records that are remembered.
struct PartitionEvidence {
  std::int64_t low = 0, high = 0;  ///< The first offset that is there, and behind the last one.
  PartitionMarks marks;            ///< Those that were looked for.
  /// What stands at the offsets of `marks` now, or the first record behind; nothing: none.
  std::optional<RecordMark> at_last, at_anchor;
};

/// Where to go on, and with what in memory.
struct Resumption {
  std::int64_t position = 0;
  PartitionMarks marks;           ///< Those that still hold.
  std::optional<LostRange> lost;  ///< What is skipped.
  std::string message;            ///< What was found, for the log; empty if all is as it was.
};

/// Whether everything read so far is still what the broker has, as far as it can be known; a record
/// that retention has deleted says nothing. Otherwise `resume` says what to do.
bool is_unchanged(std::int64_t position, const PartitionEvidence& evidence);

/// Goes on from `position`, the next offset, once it is known that the log is the one that was read
/// (contract/README.md, Start).
///
/// - The position is there, and the records remembered are the same: it goes on there. Where
///   retention has deleted them they say nothing, and the log's bounds alone decide.
/// - Below `low`: retention passed it. skip: goes on at `low`.
/// - No record that is remembered is there any more: the topic was made anew, longer than the
///   position or shorter. skip: goes on at its start, since nothing of it was read.
/// - The last record is another one or is gone, but an older one is the same: the log was cut, and
///   may have grown again. skip: goes on at the position, or at `high` where that is less, since
///   everything below was read; what replaced the part that was cut off is skipped.
/// - The last record is the same, but an older one is another: the topic was made anew while it was
///   read, and librdkafka went on in it. skip: goes on at the position; what lies before the part
///   that was read is skipped.
/// So with `skip` nothing is ever read twice. Throws LostError where something is lost and the
/// policy is `fail`.
Resumption resume(const PartitionKey& key, std::int64_t position, const PartitionEvidence& evidence,
                  OnLost policy);

/// A partition that was read is not there, though its topic is: the topic was made anew with fewer.
/// Throws LostError where the policy is `fail`.
Resumption resume_vanished(const PartitionKey& key, std::int64_t position, OnLost policy);

}  // namespace millrace
