#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "ingest/source/kafka_client_inner.h"

namespace millrace {

/// Makes librdkafka fetch again as soon as a queue has room.
///
/// librdkafka 2.0.2 looks at full queues again only when something happens on the connection, or
/// after a second: where all partitions have a backlog, a second's worth of records is then all
/// that `kafka.prefetch` lets through in a second. Any answer of the broker wakes it, so this asks
/// for an offset, on a thread of its own because the call waits for the answer.
/// Threads: any.
class KafkaNudge {
 public:
  KafkaNudge();
  KafkaNudge(const KafkaNudge&) = delete;
  KafkaNudge& operator=(const KafkaNudge&) = delete;
  ~KafkaNudge();

  /// The queue of this partition in `client` runs low while the broker has more.
  void nudge(const std::shared_ptr<KafkaClient>& client, const std::string& topic, int partition);

 private:
  void work();

  std::mutex mutex_;
  // Under the mutex.
  std::condition_variable changed_;
  bool stopping_ = false;
  std::shared_ptr<KafkaClient> client_;
  std::set<std::pair<std::string, int>> low_;
  std::thread thread_;
};

}  // namespace millrace
