#include "ingest/source/kafka_reread_inner.h"

#include <algorithm>
#include <chrono>

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
  properties["queued.min.messages"] = "1";
  properties["queued.max.messages.kbytes"] = "1024";
  return properties;
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
  const TopicPartitionList list = make_partition_list(wanted.size());
  for (const auto& [key, offset] : wanted) {
    rd_kafka_topic_partition_list_add(list.get(), key.first.c_str(), key.second)->offset = offset;
  }
  if (rd_kafka_assign(client_->get(), list.get())) return;
  const auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  while (!wanted.empty()) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) break;
    rd_kafka_message_t* message = rd_kafka_consumer_poll(client_->get(), static_cast<int>(left));
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
