#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "learner/base/time.h"

namespace millrace {

/// By what one record of a partition is known again: its offset, its stamp, and a hash of its key
/// and value.
struct RecordMark {
  std::int64_t offset = 0;
  std::optional<EventTime> timestamp;
  std::uint64_t hash = 0;

  bool operator==(const RecordMark&) const = default;
};

/// A key or value that Kafka does not have is given by a view of null; it is not the same as an
/// empty one.
RecordMark mark_of(std::int64_t offset, std::optional<EventTime> timestamp, std::string_view key,
                   std::string_view value);

/// In what a record that was found differs from the one that was read: "its timestamp is …, and was
/// …", "its key or value is another". Requires: the two differ.
std::string difference(const RecordMark& was, const RecordMark& is);

}  // namespace millrace
