#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ingest/source/kafka_client_inner.h"
#include "ingest/source/record_mark.h"

namespace millrace {

/// Reads single records again, to see whether they are still the same, by a client of its own, so
/// that what is being fetched is not disturbed.
/// Memory: a few MiB. Threads: one at a time.
class KafkaReread {
 public:
  using Key = std::pair<std::string, int>;
  /// The first committed record at or behind the offset that was asked for; nothing where the
  /// partition ends before one comes.
  using Answers = std::map<Key, std::optional<RecordMark>>;

  /// Throws SourceError where no client can be made.
  KafkaReread(const KafkaClient::Properties& properties, const ClientLog& log);

  /// Partitions that do not answer within `timeout_ms` are absent.
  Answers read(const std::map<Key, std::int64_t>& offsets, int timeout_ms);

 private:
  void read_some(std::map<Key, std::int64_t> wanted, int timeout_ms, Answers& answers);

  std::shared_ptr<KafkaClient> client_;
};

}  // namespace millrace
