#pragma once

// The one place that includes librdkafka: a client with its settings, its log and its end.

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "learner/base/result.h"

namespace millrace {

using ClientLog = std::function<void(std::string_view level, const std::string& message)>;

/// One librdkafka client. Everything that belongs to it (queues, messages, topics) must be gone
/// before it goes. Threads: any; the log is called from librdkafka's own threads.
class KafkaClient {
 public:
  using Properties = std::map<std::string, std::string>;

  /// Opens no connection before it is used. Error: what librdkafka says against a property, as
  /// `NAME: …`.
  static Result<std::unique_ptr<KafkaClient>> open(rd_kafka_type_t type,
                                                   const Properties& properties, ClientLog log);
  KafkaClient(const KafkaClient&) = delete;
  KafkaClient& operator=(const KafkaClient&) = delete;
  /// Waits for librdkafka's end at most 5 s: rd_kafka_destroy of 2.0.2 never returns after an
  /// assigned topic was deleted. It is then left to itself.
  ~KafkaClient();

  rd_kafka_t* get() const { return client_; }

  /// The last thing that librdkafka complained about; empty if nothing.
  std::string last_complaint() const;

  /// Called for each delivery report of a producer while it is polled.
  void on_delivery(std::function<void(const rd_kafka_message_t&)> seen);
  /// Called with the result of each commit of offsets while a consumer is polled.
  void on_commit(std::function<void(rd_kafka_resp_err_t)> seen);

 private:
  // What callbacks reach; outlives the client where its end hangs.
  struct Shared {
    std::mutex mutex;
    ClientLog log;
    std::string last_complaint;
    std::function<void(const rd_kafka_message_t&)> delivered;
    std::function<void(rd_kafka_resp_err_t)> committed;
  };
  KafkaClient() = default;
  static void log_line(const rd_kafka_t* client, int level, const char* facility,
                       const char* message);
  static void delivery_report(rd_kafka_t* client, const rd_kafka_message_t* message, void* opaque);
  static void commit_result(rd_kafka_t* client, rd_kafka_resp_err_t error,
                            rd_kafka_topic_partition_list_t* offsets, void* opaque);

  rd_kafka_t* client_ = nullptr;
  std::shared_ptr<Shared> shared_;
};

struct TopicPartitionListDeleter {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using TopicPartitionList =
    std::unique_ptr<rd_kafka_topic_partition_list_t, TopicPartitionListDeleter>;

inline TopicPartitionList make_partition_list(std::size_t capacity) {
  return TopicPartitionList(rd_kafka_topic_partition_list_new(static_cast<int>(capacity)));
}

}  // namespace millrace
