#include "ingest/source/kafka_reread_inner.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "ingest/source/kafka_fetcher_inner.h"
#include "ingest/source/kafka_partition_inner.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// Each partition that is asked at once may send this much.
constexpr std::size_t kAtOnce = 64;
constexpr const char* kFetchBytes = "16384";

KafkaClient::Properties for_single_records(KafkaClient::Properties properties) {
  properties["fetch.message.max.bytes"] = kFetchBytes;
  // Of all partitions together: beyond either, librdkafka looks only a second later whether those
  // that have not been fetched yet may be.
  properties["queued.min.messages"] = "100000";
  properties["queued.max.messages.kbytes"] = "4096";
  return properties;
}

using Topic = std::unique_ptr<rd_kafka_topic_t, void (*)(rd_kafka_topic_t*)>;

// Asks for the leaders of a topic's partitions. Where a client does not know them when a partition
// is assigned, it may look for them only a second later. They are known while the topic is held.
Topic find_leaders(rd_kafka_t* client, const std::string& name, int timeout_ms) {
  Topic topic(rd_kafka_topic_new(client, name.c_str(), nullptr), rd_kafka_topic_destroy);
  const rd_kafka_metadata_t* metadata = nullptr;
  if (topic && !rd_kafka_metadata(client, 0, topic.get(), &metadata, timeout_ms)) {
    rd_kafka_metadata_destroy(metadata);
  }
  return topic;
}

}  // namespace

KafkaReread::KafkaReread(const KafkaClient::Properties& properties, const ClientLog& log)
    : client_(open_consumer(for_single_records(properties), log)) {}

KafkaReread::Answers KafkaReread::read(const std::map<Key, std::int64_t>& offsets, int timeout_ms) {
  Answers answers;
  std::map<Key, std::int64_t> some;
  for (const auto& one : offsets) {
    some.insert(one);
    if (some.size() < kAtOnce) continue;
    read_some(std::exchange(some, {}), timeout_ms, answers);
  }
  if (!some.empty()) read_some(std::move(some), timeout_ms, answers);
  return answers;
}

void KafkaReread::read_some(std::map<Key, std::int64_t> wanted, int timeout_ms, Answers& answers) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  const auto left_ms = [&] {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    return static_cast<int>(std::max<std::int64_t>(0, left.count()));
  };
  const TopicPartitionList list = make_partition_list(wanted.size());
  std::vector<Topic> topics;
  std::string_view last;
  for (const auto& [key, offset] : wanted) {
    if (topics.empty() || key.first != last) {
      topics.push_back(find_leaders(client_->get(), key.first, left_ms()));
      last = key.first;
    }
    rd_kafka_topic_partition_list_add(list.get(), key.first.c_str(), key.second)->offset = offset;
  }
  if (rd_kafka_assign(client_->get(), list.get())) return;
  while (!wanted.empty()) {
    const int left = left_ms();
    if (left == 0) break;
    rd_kafka_message_t* message = rd_kafka_consumer_poll(client_->get(), left);
    if (message == nullptr) break;
    if (message->rkt != nullptr) {
      const Key key{rd_kafka_topic_name(message->rkt), message->partition};
      const auto asked = wanted.find(key);
      // What else comes of a partition that has answered is passed over.
      if (asked != wanted.end()) {
        const bool ended = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (ended) answers[key] = std::nullopt;
        if (!message->err) answers[key] = mark_of(message);
        if (ended || !message->err) wanted.erase(asked);
      }
    }
    rd_kafka_message_destroy(message);
  }
  rd_kafka_assign(client_->get(), nullptr);
}

}  // namespace millrace
