#include "ingest/source/kafka_marks.h"

#include <limits>
#include <utility>

#include "learner/base/state.h"

namespace millrace {
namespace {

constexpr std::int64_t kNoStamp = std::numeric_limits<std::int64_t>::min();

void write_mark(ByteWriter& writer, const std::optional<RecordMark>& mark) {
  const RecordMark given = mark.value_or(RecordMark{});
  writer.put(static_cast<std::uint8_t>(mark.has_value()));
  writer.put(given.offset);
  writer.put(given.timestamp ? given.timestamp->ms : kNoStamp);
  writer.put(given.hash);
}

std::optional<RecordMark> read_mark(ByteReader& reader) {
  const bool there = reader.get<std::uint8_t>() != 0;
  RecordMark mark;
  mark.offset = reader.get<std::int64_t>();
  const auto stamp = reader.get<std::int64_t>();
  if (stamp != kNoStamp) mark.timestamp = EventTime{stamp};
  mark.hash = reader.get<std::uint64_t>();
  return there ? std::optional(mark) : std::nullopt;
}

}  // namespace

PartitionMarks KafkaMarks::find(const PartitionKey& key) const {
  const auto found = marks_.find(key);
  return found == marks_.end() ? PartitionMarks{} : found->second;
}

std::string KafkaMarks::save() const {
  ByteWriter writer;
  writer.put(static_cast<std::uint32_t>(marks_.size()));
  for (const auto& [key, marks] : marks_) {
    writer.put_text(key.first);
    writer.put(static_cast<std::int32_t>(key.second));
    write_mark(writer, marks.last);
    write_mark(writer, marks.anchor);
  }
  return writer.take();
}

void KafkaMarks::restore(std::string_view bytes) {
  ByteReader reader(bytes);
  const auto count = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string topic(reader.get_text());
    const auto partition = reader.get<std::int32_t>();
    PartitionMarks marks;
    marks.last = read_mark(reader);
    marks.anchor = read_mark(reader);
    marks_[{std::move(topic), partition}] = marks;
  }
}

}  // namespace millrace
