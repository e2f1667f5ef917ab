#include "ingest/source/kafka_positions.h"

#include "ingest/source/source.h"
#include "learner/base/state.h"

namespace millrace {

std::string partition_name(const PartitionKey& key) {
  return "topic " + key.first + ", partition " + std::to_string(key.second);
}

std::optional<std::int64_t> KafkaPositions::find(const PartitionKey& key) const {
  const auto found = positions_.find(key);
  return found == positions_.end() ? std::nullopt : std::optional(found->second);
}

std::string KafkaPositions::save() const {
  ByteWriter writer;
  writer.put(static_cast<std::uint32_t>(positions_.size()));
  for (const auto& [key, position] : positions_) {
    writer.put_text(key.first);
    writer.put(static_cast<std::int32_t>(key.second));
    writer.put(position);
  }
  return writer.take();
}

void KafkaPositions::restore(std::string_view bytes) {
  ByteReader reader(bytes);
  const auto count = reader.get<std::uint32_t>();
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string topic(reader.get_text());
    const auto partition = reader.get<std::int32_t>();
    positions_[{std::move(topic), partition}] = reader.get<std::int64_t>();
  }
  new_ = false;
}

Resumption resume(const PartitionKey& key, std::int64_t position, std::int64_t low,
                  std::int64_t high, OnLost policy) {
  if (low <= position && position <= high) return {position, 0, ""};
  const std::string where = partition_name(key) + ": the stored offset " +
                            std::to_string(position) + " is not there; the broker has " +
                            std::to_string(low) + " to " + std::to_string(high);
  const bool retention = position < low;
  if (policy == OnLost::kFail) {
    throw SourceError(
        "kafka: " + where +
        (retention ? ": " + std::to_string(low - position) + " offsets are lost by retention"
                   : ": the topic was made anew or cut") +
        "; set kafka.on_lost: skip to go on without them");
  }
  const std::int64_t first = retention ? position : high;
  const std::int64_t last = retention ? low : position;
  const auto lost = static_cast<std::uint64_t>(last - first);
  return {low, lost,
          where + "; skipped offsets " + std::to_string(first) + " to " + std::to_string(last - 1) +
              " (" + std::to_string(lost) + " are lost), going on at " + std::to_string(low)};
}

}  // namespace millrace
