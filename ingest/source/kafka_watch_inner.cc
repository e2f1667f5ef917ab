#include "ingest/source/kafka_watch_inner.h"

#include <chrono>
#include <utility>

namespace millrace {
namespace {

constexpr int kTimeoutMs = 3000;
constexpr Duration kRetry{500};
constexpr Duration kVanishedAfter{5'000};

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

struct KafkaWatch::Answers {
  std::map<Key, std::int64_t> low, high, moment;
  KafkaReread::Answers last, anchor;
};

KafkaWatch::KafkaWatch(std::shared_ptr<KafkaClient> client, KafkaReread reread, Options options,
                       std::function<void()> wake)
    : client_(std::move(client)),
      options_(std::move(options)),
      wake_(std::move(wake)),
      remembered_(options_.remembered),
      reread_(std::move(reread)) {
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

void KafkaWatch::remember(const std::map<PartitionKey, PartitionMarks>& marks) {
  std::lock_guard lock(mutex_);
  for (const auto& [key, of] : marks) remembered_[key] = of;
}

void KafkaWatch::ask_again(const PartitionKey& key, const PartitionMarks& marks) {
  std::lock_guard lock(mutex_);
  remembered_[key] = marks;
  open_.insert(key);
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
    const bool soon = !complete_ || !missing_.empty() || !absent_.empty();
    const Duration pause = soon ? std::min(kRetry, options_.every) : options_.every;
    changed_.wait_for(lock, pause, [&] { return stopping_ || hurry_; });
    hurry_ = false;
  }
}

bool KafkaWatch::is_check_due() const {
  return check_now_ || Clock::now() - last_check_ >= options_.every;
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
  std::map<Key, PartitionMarks> keys;
  const bool check = is_check_due();
  bool none_missing = true;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, from_the_start] : known_) {
      if (!open_.contains(key) && !check) continue;
      // Nobody answers for a topic that is gone, and for others in the same question.
      if (missing_.contains(key.first) || absent_.contains(key)) {
        none_missing = none_missing && !open_.contains(key);
        continue;
      }
      const auto marks = remembered_.find(key);
      const bool has_marks = marks != remembered_.end() && marks->second.last;
      if (open_.contains(key) || has_marks) {
        keys[key] = marks == remembered_.end() ? PartitionMarks{} : marks->second;
      }
    }
  }
  if (check) {
    last_check_ = Clock::now();
    check_now_ = false;
  }
  return (keys.empty() || report(keys, ask(keys))) && answered && none_missing;
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
  if (missing_.erase(topic) > 0) check_now_ = true;  // it may be another one
  note_partitions(topic, answer.partitions);
  return true;
}

// One answer without a partition says little: brokers learn of new ones at different times.
void KafkaWatch::note_partitions(const std::string& topic, const std::vector<int>& partitions) {
  for (const int partition : partitions) {
    const Key key{topic, partition};
    absent_.erase(key);
    if (!known_.insert({key, !answered_once_}).second) continue;
    open_.insert(key);
    news_.found.push_back({topic, partition, !answered_once_, std::nullopt});
  }
  const std::set<int> there(partitions.begin(), partitions.end());
  for (auto it = remembered_.lower_bound({topic, 0});
       it != remembered_.end() && it->first.first == topic;) {
    const Key key = (it++)->first;
    if (there.contains(key.second)) continue;
    const auto [since, is_new] = absent_.insert({key, Clock::now()});
    if (is_new || Clock::now() - since->second < kVanishedAfter) continue;
    absent_.erase(since);
    remembered_.erase(key);
    known_.erase(key);
    open_.erase(key);
    news_.vanished.push_back(key);
  }
}

// Two questions for records, since one assignment has one offset of a partition.
KafkaWatch::Answers KafkaWatch::ask(const std::map<Key, PartitionMarks>& keys) {
  Answers answers;
  std::set<Key> names;
  for (const auto& [key, marks] : keys) names.insert(key);
  answers.low = list_offsets(*client_, names, RD_KAFKA_OFFSET_BEGINNING, kTimeoutMs);
  answers.high = list_offsets(*client_, names, RD_KAFKA_OFFSET_END, kTimeoutMs);
  if (options_.moment) {
    answers.moment = list_offsets(*client_, names, options_.moment->ms, kTimeoutMs);
  }
  std::map<Key, std::int64_t> last, anchor;
  auto is_there = [&](const Key& key, const std::optional<RecordMark>& mark) {
    return mark && answers.low.contains(key) && answers.high.contains(key) &&
           answers.low.at(key) <= mark->offset && mark->offset < answers.high.at(key);
  };
  for (const auto& [key, marks] : keys) {
    if (is_there(key, marks.last)) last[key] = marks.last->offset;
    if (marks.anchor != marks.last && is_there(key, marks.anchor)) {
      anchor[key] = marks.anchor->offset;
    }
  }
  answers.last = reread_.read(last, kTimeoutMs);
  answers.anchor = reread_.read(anchor, kTimeoutMs);
  for (const auto& [key, offset] : last) {
    if (!answers.last.contains(key)) answers.high.erase(key);
  }
  for (const auto& [key, offset] : anchor) {
    if (!answers.anchor.contains(key)) answers.high.erase(key);
  }
  return answers;
}

// Partitions that were not answered for in full are left for the next round. False where an open
// one was not.
bool KafkaWatch::report(const std::map<Key, PartitionMarks>& keys, const Answers& answers) {
  bool all = true;
  std::lock_guard lock(mutex_);
  for (const auto& [key, marks] : keys) {
    const bool is_open = open_.contains(key);
    if (!answers.low.contains(key) || !answers.high.contains(key) ||
        (options_.moment && !answers.moment.contains(key))) {
      all = all && !is_open;
      continue;
    }
    auto found_at = [&key = key](const KafkaReread::Answers& found) {
      const auto it = found.find(key);
      return it == found.end() ? std::nullopt : it->second;
    };
    PartitionEvidence evidence{answers.low.at(key), answers.high.at(key), marks,
                               found_at(answers.last), found_at(answers.anchor)};
    if (marks.anchor == marks.last) evidence.at_anchor = evidence.at_last;
    if (!is_open) {
      news_.checked.push_back({key, evidence});
      continue;
    }
    Bounds bounds{evidence, std::nullopt};
    if (options_.moment && answers.moment.at(key) >= 0) bounds.at_moment = answers.moment.at(key);
    news_.found.push_back({key.first, key.second, known_.at(key), bounds});
    open_.erase(key);
  }
  return all;
}

}  // namespace millrace
