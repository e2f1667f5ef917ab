#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "ingest/source/kafka_positions.h"
#include "ingest/source/record_mark.h"

namespace millrace {

/// What is remembered of a partition so that a topic which was made anew, or cut, is noticed.
struct PartitionMarks {
  /// The last record that was taken.
  std::optional<RecordMark> last;
  /// An older one: the last one at the time when the broker was last asked whether it still has
  /// what was read. Everything up to it came from one and the same log.
  std::optional<RecordMark> anchor;

  bool operator==(const PartitionMarks&) const = default;
};

/// The marks of every partition that a store has ever read from.
class KafkaMarks {
 public:
  PartitionMarks find(const PartitionKey& key) const;
  const std::map<PartitionKey, PartitionMarks>& all() const { return marks_; }
  void set(const PartitionKey& key, const PartitionMarks& marks) { marks_[key] = marks; }

  /// count (u32), then for each partition in order: topic (text), partition (i32), then the last
  /// record and the anchor, each: whether there is one (u8), offset (i64), timestamp (i64, the
  /// smallest number: none), hash (u64).
  std::string save() const;
  /// Throws StateError on damage.
  void restore(std::string_view bytes);

 private:
  std::map<PartitionKey, PartitionMarks> marks_;
};

}  // namespace millrace
