#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingest/source/kafka_client_inner.h"
#include "ingest/source/kafka_nudge_inner.h"
#include "ingest/source/kafka_partition_inner.h"

namespace millrace {

/// The client that reads, and the partitions that are assigned to it; they share one budget.
///
/// librdkafka's limit of a queue is a property of the client. So where there are many more
/// partitions than it was made for, another client replaces it: what was taken out of the queues
/// stays, the rest is fetched again.
/// Threads: one at a time.
class KafkaFetcher {
 public:
  /// `wake` is called from librdkafka's threads when some partition got records.
  KafkaFetcher(KafkaClient::Properties properties, std::int64_t prefetch, ClientLog log,
               std::function<void()> wake);

  /// Appends a partition that is not read yet.
  void add(const std::string& topic, int partition);
  std::size_t size() const { return partitions_.size(); }
  KafkaPartition& operator[](std::size_t i) { return *partitions_[i]; }
  const KafkaPartition& operator[](std::size_t i) const { return *partitions_[i]; }

  /// Begins to read these partitions at their positions. Throws SourceError.
  void read(const std::vector<std::size_t>& chosen);
  /// Stops one whose position is doubtful.
  void stop(std::size_t i);

  /// Null before the first `read`.
  const KafkaClient* client() const { return client_.get(); }

 private:
  bool make_room();
  void assign(const std::vector<std::size_t>& chosen);

  const KafkaClient::Properties properties_;
  const std::int64_t prefetch_;
  const ClientLog log_;
  const std::function<void()> wake_;
  // A client outlives what was made of it: the partitions stand last.
  std::shared_ptr<KafkaClient> client_;
  std::int64_t share_ = 0;  // bytes that a partition may queue in `client_`
  KafkaNudge nudge_;
  std::vector<std::unique_ptr<KafkaPartition>> partitions_;
};

/// Opens a consumer. Throws SourceError.
std::shared_ptr<KafkaClient> open_consumer(const KafkaClient::Properties& properties,
                                           const ClientLog& log);

}  // namespace millrace
