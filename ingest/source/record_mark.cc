#include "ingest/source/record_mark.h"

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

std::string print_stamp(const std::optional<EventTime>& stamp) {
  return stamp ? print_rfc3339(*stamp) : std::string("none");
}

}  // namespace

RecordMark mark_of(std::int64_t offset, std::optional<EventTime> timestamp, std::string_view key,
                   std::string_view value) {
  const std::uint64_t present = (key.data() != nullptr ? 1 : 0) | (value.data() != nullptr ? 2 : 0);
  return {offset, timestamp, hash_bytes(value, hash_bytes(key, present))};
}

std::string difference(const RecordMark& was, const RecordMark& is) {
  MILLRACE_CHECK(!(was == is));
  if (was.offset != is.offset) {
    return "there is no record, the next one has offset " + std::to_string(is.offset);
  }
  std::string text;
  if (was.timestamp != is.timestamp) {
    text =
        "its timestamp is " + print_stamp(is.timestamp) + ", and was " + print_stamp(was.timestamp);
  }
  if (was.hash != is.hash) {
    text += std::string(text.empty() ? "" : "; ") + "its key or value is another";
  }
  return text;
}

}  // namespace millrace
