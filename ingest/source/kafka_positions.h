#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

/// A topic and one of its partitions.
using PartitionKey = std::pair<std::string, int>;

/// "topic clicks, partition 2", as messages name it.
std::string partition_name(const PartitionKey& key);

/// The next offset of every partition that a store has ever read, also of those that are not
/// configured now, so that they go on where they were when they come back.
class KafkaPositions {
 public:
  /// Whether nothing was restored: `kafka.start` says where to begin.
  bool is_new() const { return new_; }
  bool is_empty() const { return positions_.empty(); }
  std::optional<std::int64_t> find(const PartitionKey& key) const;
  const std::map<PartitionKey, std::int64_t>& all() const { return positions_; }
  void set(const PartitionKey& key, std::int64_t position) { positions_[key] = position; }

  /// count (u32), then for each partition in order: topic (text), partition (i32), offset (i64).
  std::string save() const;
  /// Throws StateError on damage.
  void restore(std::string_view bytes);

 private:
  std::map<PartitionKey, std::int64_t> positions_;
  bool new_ = true;
};

}  // namespace millrace
