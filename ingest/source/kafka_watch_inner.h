#pragma once

#include <chrono>
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
#include "ingest/source/kafka_reread_inner.h"
#include "ingest/source/kafka_resume.h"
#include "learner/base/time.h"

namespace millrace {

/// Asks the brokers, on a thread of its own because answers may take long, which partitions the
/// topics have, from where to where they reach, and whether the records that are remembered are
/// still there: at once, until it was answered in full; then now and then, for new partitions and
/// for topics that were made anew. A partition is reported until its bounds are known.
class KafkaWatch {
 public:
  struct Options {
    std::vector<std::string> topics;
    /// Also asks where this moment stands.
    std::optional<EventTime> moment;
    Duration every{20'000};
    /// Partitions that were read before, and what is remembered of them.
    std::map<PartitionKey, PartitionMarks> remembered;
  };
  struct Bounds {
    PartitionEvidence evidence;  ///< `high` is behind the last record that is committed.
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
  /// The answer about a partition that is being read, asked now and then.
  struct Checked {
    PartitionKey key;
    PartitionEvidence evidence;
  };
  struct News {
    std::vector<Found> found;
    std::vector<Checked> checked;
    std::vector<PartitionKey> vanished;  ///< Read before, and no more there for some seconds.
    std::vector<std::string> missing;    ///< Topics, said once each time they are gone.
    std::string refused;                 ///< Not empty: the broker will never give us a topic.
  };

  /// `wake` is called, from the watch's thread, when there is news.
  KafkaWatch(std::shared_ptr<KafkaClient> client, KafkaReread reread, Options options,
             std::function<void()> wake);
  KafkaWatch(const KafkaWatch&) = delete;
  KafkaWatch& operator=(const KafkaWatch&) = delete;
  /// Waits for the question that is under way: a few seconds where nobody answers.
  ~KafkaWatch();

  News news();
  /// Whether every topic was answered for and every partition's bounds are known.
  bool is_complete() const;
  /// What is remembered of these partitions from now on.
  void remember(const std::map<PartitionKey, PartitionMarks>& marks);
  /// This partition is reported anew, with its bounds and what has become of its last records.
  void ask_again(const PartitionKey& key, const PartitionMarks& marks);

 private:
  using Key = PartitionKey;
  using Clock = std::chrono::steady_clock;
  struct Answers;
  void work();
  bool round();
  bool ask_topic(const std::string& topic);
  void note_partitions(const std::string& topic, const std::vector<int>& partitions);
  bool is_check_due() const;
  Answers ask(const std::map<Key, PartitionMarks>& keys);
  bool report(const std::map<Key, PartitionMarks>& keys, const Answers& answers);

  const std::shared_ptr<KafkaClient> client_;
  const Options options_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  // Under the mutex.
  std::condition_variable changed_;
  bool stopping_ = false, complete_ = false, hurry_ = false;
  News news_;
  std::set<Key> open_;  // known, but their bounds are not
  std::map<Key, PartitionMarks> remembered_;
  // Of the thread.
  KafkaReread reread_;
  std::map<Key, bool> known_;                // whether from the start
  std::map<Key, Clock::time_point> absent_;  // read before, but not in the last answer: since when
  std::set<std::string> missing_;
  bool answered_once_ = false;
  bool check_now_ = false;
  Clock::time_point last_check_ = Clock::now();
  std::thread thread_;
};

/// The answer to one question for many partitions at once. `what` is a timestamp or one of
/// RD_KAFKA_OFFSET_BEGINNING and RD_KAFKA_OFFSET_END. Partitions without an answer are absent.
std::map<std::pair<std::string, int>, std::int64_t> list_offsets(
    const KafkaClient& client, const std::set<std::pair<std::string, int>>& partitions,
    std::int64_t what, int timeout_ms);

}  // namespace millrace
