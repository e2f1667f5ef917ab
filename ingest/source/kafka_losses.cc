#include "ingest/source/kafka_losses.h"

#include <utility>

#include "learner/base/state.h"

namespace millrace {

std::string print_range(const LostRange& range) {
  if (!range.end) return "offsets from " + std::to_string(range.first) + " on";
  return "offsets " + std::to_string(range.first) + " to " + std::to_string(*range.end - 1) + " (" +
         std::to_string(range.offsets()) + " are lost)";
}

void KafkaLosses::add(const LostRange& range) {
  Count& count = counts_[static_cast<std::size_t>(range.reason)];
  ++count.ranges;
  count.offsets += range.offsets();
  if (last_.size() == kMostRanges) last_.erase(last_.begin());
  last_.push_back(range);
}

std::string KafkaLosses::save() const {
  ByteWriter writer;
  for (const Count& count : counts_) {
    writer.put(count.ranges);
    writer.put(count.offsets);
  }
  writer.put(static_cast<std::uint32_t>(last_.size()));
  for (const LostRange& range : last_) {
    writer.put_text(range.key.first);
    writer.put(static_cast<std::int32_t>(range.key.second));
    writer.put(range.first);
    writer.put(range.end.value_or(-1));
    writer.put(range.reason);
  }
  return writer.take();
}

void KafkaLosses::restore(std::string_view bytes) {
  ByteReader reader(bytes);
  for (Count& count : counts_) {
    count.ranges = reader.get<std::uint64_t>();
    count.offsets = reader.get<std::uint64_t>();
  }
  const auto count = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    LostRange range;
    range.key.first = reader.get_text();
    range.key.second = reader.get<std::int32_t>();
    range.first = reader.get<std::int64_t>();
    const auto end = reader.get<std::int64_t>();
    if (end >= 0) range.end = end;
    range.reason = reader.get<LossReason>();
    if (static_cast<std::size_t>(range.reason) >= kLossReasonNames.size()) {
      throw StateError("a lost range has a reason that is none");
    }
    last_.push_back(std::move(range));
  }
}

}  // namespace millrace
