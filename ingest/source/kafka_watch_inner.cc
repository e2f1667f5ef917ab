#include "ingest/source/kafka_watch_inner.h"

#include <chrono>
#include <utility>

namespace millrace {
namespace {

constexpr int kTimeoutMs = 3000;
constexpr Duration kRetry{500};

// The broker's answer for one topic.
struct TopicAnswer {
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::vector<int> partitions;
};

TopicAnswer ask_metadata(rd_kafka_t* client, const std::string& topic) {
  TopicAnswer answer;
  rd_kafka_topic_t* handle = rd_kafka_topic_new(client, topic.c_str(), nullptr);
  if (handle == nullptr) return {rd_kafka_last_error(), {}};
  const rd_kafka_metadata_t* metadata = nullptr;
  answer.error = rd_kafka_metadata(client, 0, handle, &metadata, kTimeoutMs);
  if (!answer.error) {
    answer.error = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    for (int i = 0; i < metadata->topic_cnt; ++i) {
      const rd_kafka_metadata_topic& found = metadata->topics[i];
      if (topic != found.topic) continue;
      answer.error = found.err;
      for (int p = 0; p < found.partition_cnt; ++p) {
        answer.partitions.push_back(found.partitions[p].id);
      }
    }
    rd_kafka_metadata_destroy(metadata);
  }
  rd_kafka_topic_destroy(handle);
  return answer;
}

bool is_missing(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
         error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

bool is_refusal(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
         error == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
}

}  // namespace

std::map<std::pair<std::string, int>, std::int64_t> list_offsets(
    const KafkaClient& client, const std::set<std::pair<std::string, int>>& partitions,
    std::int64_t what, int timeout_ms) {
  std::map<std::pair<std::string, int>, std::int64_t> offsets;
  const TopicPartitionList list = make_partition_list(partitions.size());
  for (const auto& [topic, partition] : partitions) {
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = what;
  }
  if (rd_kafka_offsets_for_times(client.get(), list.get(), timeout_ms)) return offsets;
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& answer = list->elems[i];
    if (!answer.err) offsets[{answer.topic, answer.partition}] = answer.offset;
  }
  return offsets;
}

KafkaWatch::KafkaWatch(std::shared_ptr<KafkaClient> client, Options options,
                       std::function<void()> wake)
    : client_(std::move(client)), options_(std::move(options)), wake_(std::move(wake)) {
  thread_ = std::thread([this] { work(); });
}

KafkaWatch::~KafkaWatch() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

KafkaWatch::News KafkaWatch::news() {
  std::lock_guard lock(mutex_);
  return std::exchange(news_, {});
}

bool KafkaWatch::is_complete() const {
  std::lock_guard lock(mutex_);
  return complete_;
}

void KafkaWatch::ask_again(const std::string& topic, int partition) {
  std::lock_guard lock(mutex_);
  open_.insert({topic, partition});
  complete_ = false;
  hurry_ = true;
  changed_.notify_all();
}

void KafkaWatch::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const bool answered = round();
    lock.lock();
    complete_ = answered && open_.empty();
    lock.unlock();
    wake_();
    lock.lock();
    const bool soon = !complete_ || !missing_.empty();
    const Duration pause = soon ? std::min(kRetry, options_.every) : options_.every;
    changed_.wait_for(lock, pause, [&] { return stopping_ || hurry_; });
    hurry_ = false;
  }
}

// True where every topic was answered for; its partitions may still be open.
bool KafkaWatch::round() {
  bool answered = true;
  for (const std::string& topic : options_.topics) {
    if (!ask_topic(topic)) answered = false;
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
  }
  if (answered) answered_once_ = true;
  std::set<Key> open;
  {
    std::lock_guard lock(mutex_);
    open = open_;
  }
  return (open.empty() || ask_bounds(open)) && answered;
}

bool KafkaWatch::ask_topic(const std::string& topic) {
  const TopicAnswer answer = ask_metadata(client_->get(), topic);
  std::lock_guard lock(mutex_);
  if (is_missing(answer.error)) {
    if (missing_.insert(topic).second) news_.missing.push_back(topic);
    return true;
  }
  if (is_refusal(answer.error)) {
    news_.refused = "topic " + topic + ": " + rd_kafka_err2str(answer.error);
  }
  if (answer.error) return false;
  missing_.erase(topic);
  for (const int partition : answer.partitions) {
    const Key key{topic, partition};
    if (!known_.insert({key, !answered_once_}).second) continue;
    open_.insert(key);
    news_.found.push_back({topic, partition, !answered_once_, std::nullopt});
  }
  return true;
}

bool KafkaWatch::ask_bounds(const std::set<Key>& keys) {
  const auto low = list_offsets(*client_, keys, RD_KAFKA_OFFSET_BEGINNING, kTimeoutMs);
  const auto high = list_offsets(*client_, keys, RD_KAFKA_OFFSET_END, kTimeoutMs);
  std::map<Key, std::int64_t> moment;
  if (options_.moment) moment = list_offsets(*client_, keys, options_.moment->ms, kTimeoutMs);
  bool all = true;
  std::lock_guard lock(mutex_);
  for (const Key& key : keys) {
    if (!low.contains(key) || !high.contains(key) || (options_.moment && !moment.contains(key))) {
      all = false;
      continue;
    }
    Bounds bounds{low.at(key), high.at(key), std::nullopt};
    if (options_.moment && moment.at(key) >= 0) bounds.at_moment = moment.at(key);
    news_.found.push_back({key.first, key.second, known_.at(key), bounds});
    open_.erase(key);
  }
  return all;
}

}  // namespace millrace
