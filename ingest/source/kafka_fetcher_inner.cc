#include "ingest/source/kafka_fetcher_inner.h"

#include <algorithm>
#include <set>
#include <utility>

#include "ingest/source/source.h"

namespace millrace {
namespace {

// Half of the budget is for records in queues; librdkafka needs about as much beside them.
constexpr std::int64_t kQueuedPart = 2;
constexpr std::int64_t kLeastShare = 1 << 10, kLeastFetch = 16 << 10, kMostFetch = 4 << 20;

}  // namespace

std::shared_ptr<KafkaClient> open_consumer(const KafkaClient::Properties& properties,
                                           const ClientLog& log) {
  auto client = KafkaClient::open(RD_KAFKA_CONSUMER, properties, log);
  if (!client) throw SourceError("kafka: " + client.error().message);
  return std::move(client).value();
}

KafkaFetcher::KafkaFetcher(KafkaClient::Properties properties, std::int64_t prefetch, ClientLog log,
                           std::function<void()> wake)
    : properties_(std::move(properties)),
      prefetch_(prefetch),
      log_(std::move(log)),
      wake_(std::move(wake)) {}

void KafkaFetcher::add(const std::string& topic, int partition) {
  partitions_.push_back(std::make_unique<KafkaPartition>(topic, partition, wake_, nudge_));
}

// Whether the client was made anew, so that all partitions are to be assigned to it.
bool KafkaFetcher::make_room() {
  const auto count = static_cast<std::int64_t>(std::max<std::size_t>(1, partitions_.size()));
  const std::int64_t fair = std::max(kLeastShare, prefetch_ / kQueuedPart / count);
  if (client_ && share_ <= fair + fair / 4) return false;
  share_ = fair;
  KafkaClient::Properties properties = properties_;
  properties["queued.max.messages.kbytes"] = std::to_string(fair >> 10);
  properties.insert(
      {"fetch.message.max.bytes", std::to_string(std::clamp(fair / 4, kLeastFetch, kMostFetch))});
  client_ = open_consumer(properties, log_);
  return true;
}

void KafkaFetcher::read(const std::vector<std::size_t>& chosen) {
  const std::set<std::size_t> fresh(chosen.begin(), chosen.end());
  const bool replaced = make_room();
  std::vector<std::size_t> to_assign;
  for (std::size_t i = 0; i < partitions_.size(); ++i) {
    KafkaPartition& partition = *partitions_[i];
    if (fresh.contains(i)) {
      if (partition.is_done()) continue;
      partition.read_from(client_, partition.position(), false);
    } else if (replaced && partition.is_read()) {
      partition.read_from(client_, partition.next_fetch(), true);
    } else {
      continue;
    }
    to_assign.push_back(i);
  }
  if (!to_assign.empty()) assign(to_assign);
}

void KafkaFetcher::assign(const std::vector<std::size_t>& chosen) {
  const TopicPartitionList list = make_partition_list(chosen.size());
  for (const std::size_t i : chosen) {
    const KafkaPartition& partition = *partitions_[i];
    rd_kafka_topic_partition_list_add(list.get(), partition.topic().c_str(), partition.partition())
        ->offset = partition.next_fetch();
  }
  if (rd_kafka_error_t* error = rd_kafka_incremental_assign(client_->get(), list.get())) {
    const std::string text = rd_kafka_error_string(error);
    rd_kafka_error_destroy(error);
    throw SourceError("kafka: partitions cannot be assigned: " + text);
  }
}

void KafkaFetcher::stop(std::size_t i) {
  KafkaPartition& partition = *partitions_[i];
  const TopicPartitionList list = make_partition_list(1);
  rd_kafka_topic_partition_list_add(list.get(), partition.topic().c_str(), partition.partition());
  if (rd_kafka_error_t* error = rd_kafka_incremental_unassign(client_->get(), list.get())) {
    rd_kafka_error_destroy(error);  // it was not assigned any more
  }
  partition.stop_reading();
}

}  // namespace millrace
