#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ingest/source/kafka_client_inner.h"
#include "learner/base/time.h"

namespace millrace {

/// Asks the brokers, on a thread of its own because answers may take long, which partitions the
/// topics have and from where to where they reach: at once, until it was answered in full; then
/// now and then, for new partitions. A partition is reported until its bounds are known.
class KafkaWatch {
 public:
  struct Options {
    std::vector<std::string> topics;
    /// Also asks where this moment stands.
    std::optional<EventTime> moment;
    Duration every{20'000};
  };
  struct Bounds {
    std::int64_t low = 0;
    std::int64_t high = 0;  ///< Behind the last record that is committed.
    /// The first record at or after the moment; nothing if there is none.
    std::optional<std::int64_t> at_moment;
  };
  /// A partition that was found, and when it could be asked, its bounds.
  struct Found {
    std::string topic;
    int partition = 0;
    /// It was there when the broker answered for the first time.
    bool from_the_start = false;
    std::optional<Bounds> bounds;
  };
  struct News {
    std::vector<Found> found;
    std::vector<std::string> missing;  ///< Topics, said once each time they are gone.
    std::string refused;               ///< Not empty: the broker will never give us a topic.
  };

  /// `wake` is called, from the watch's thread, when there is news.
  KafkaWatch(std::shared_ptr<KafkaClient> client, Options options, std::function<void()> wake);
  KafkaWatch(const KafkaWatch&) = delete;
  KafkaWatch& operator=(const KafkaWatch&) = delete;
  /// Waits for the question that is under way: a few seconds where nobody answers.
  ~KafkaWatch();

  News news();
  /// Whether every topic was answered for and every partition's bounds are known.
  bool is_complete() const;
  /// The bounds of this partition are to be asked again.
  void ask_again(const std::string& topic, int partition);

 private:
  using Key = std::pair<std::string, int>;
  void work();
  bool round();
  bool ask_topic(const std::string& topic);
  bool ask_bounds(const std::set<Key>& keys);

  const std::shared_ptr<KafkaClient> client_;
  const Options options_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  // Under the mutex.
  std::condition_variable changed_;
  bool stopping_ = false, complete_ = false, hurry_ = false;
  News news_;
  std::set<Key> open_;  // known, but their bounds are not
  // Of the thread.
  std::map<Key, bool> known_;  // whether from the start
  std::set<std::string> missing_;
  bool answered_once_ = false;
  std::thread thread_;
};

/// The answer to one question for many partitions at once. `what` is a timestamp or one of
/// RD_KAFKA_OFFSET_BEGINNING and RD_KAFKA_OFFSET_END. Partitions without an answer are absent.
std::map<std::pair<std::string, int>, std::int64_t> list_offsets(
    const KafkaClient& client, const std::set<std::pair<std::string, int>>& partitions,
    std::int64_t what, int timeout_ms);

}  // namespace millrace
