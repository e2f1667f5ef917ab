#include "ingest/source/kafka_positions.h"

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

}  // namespace millrace
