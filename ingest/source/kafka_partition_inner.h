#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "ingest/source/kafka_client_inner.h"
#include "ingest/source/kafka_nudge_inner.h"
#include "ingest/source/record_mark.h"
#include "ingest/source/source.h"

namespace millrace {

/// By what a record is known again.
RecordMark mark_of(const rd_kafka_message_t* message);

/// One partition as the source reads it: its queue, the batch that was taken out of it, and where
/// it stands. An offset of −1 is not known.
/// Threads: one at a time; `wake` is called from librdkafka's.
class KafkaPartition {
 public:
  /// What a partition says instead of a record.
  struct Trouble {
    rd_kafka_resp_err_t error;
    std::string text;
  };

  /// `wake` is called when something came into the queue; `nudge` is borrowed.
  KafkaPartition(std::string topic, int partition, std::function<void()> wake, KafkaNudge& nudge);
  KafkaPartition(const KafkaPartition&) = delete;
  KafkaPartition& operator=(const KafkaPartition&) = delete;
  ~KafkaPartition();

  const std::string& topic() const { return topic_; }
  int partition() const { return partition_; }

  /// From `offset` on, by `client`; the caller assigns it there. What was read before stays only
  /// with `keep_batch`, which is for another client that goes on where this one stands.
  void read_from(std::shared_ptr<KafkaClient> client, std::int64_t offset, bool keep_batch);
  /// Where a client must begin so that nothing is missed after the records held here.
  std::int64_t next_fetch() const { return next_fetch_; }
  bool is_read() const { return queue_ != nullptr; }
  /// The position is doubtful: nothing is read until `read_from`. Where it stood at its end it
  /// still does.
  void stop_reading();

  /// Not beyond `end`: the partition is at its end there for good.
  void stop_at(std::int64_t end) { end_ = end; }
  bool is_done() const { return end_ && position_ >= *end_; }

  /// The head. `trouble` is set where librdkafka reports an error of this partition; the next call
  /// goes on behind it.
  Head peek(Record& record, std::optional<Trouble>& trouble);
  void take();
  const rd_kafka_message_t* head() const { return batch_[next_]; }

  std::int64_t position() const { return position_; }
  void set_position(std::int64_t position) { position_ = position; }

  /// The last record that was taken; its bytes are hashed only when somebody asks.
  std::optional<RecordMark> mark();
  void set_mark(const std::optional<RecordMark>& mark);
  /// The broker's end as last heard, here or by a question.
  void heard_end(std::int64_t end) { end_of_log_ = end; }
  std::int64_t lag() const;

  /// Makes the next `peek` look into the queue, whatever librdkafka said.
  void look_again() { ready_.store(true, std::memory_order_release); }
  /// Batches that came since the partition is read.
  std::uint64_t batches() const { return batches_; }

 private:
  bool fetch();
  bool stands_at_end() const;
  void pass_event(const rd_kafka_message_t& message, std::optional<Trouble>& trouble);
  void drop_batch();
  void drop_taken();
  void ask_for_more();
  void close_queue();

  const std::string topic_;
  const int partition_;
  const std::function<void()> wake_;
  KafkaNudge& nudge_;
  std::shared_ptr<KafkaClient> client_;
  rd_kafka_queue_t* queue_ = nullptr;
  std::atomic<bool> ready_{false};  // librdkafka's threads put something into the queue

  std::array<rd_kafka_message_t*, 512> batch_{};
  std::size_t next_ = 0, size_ = 0;
  rd_kafka_message_t* taken_ = nullptr;        // the last that was taken, while its batch lasts
  std::optional<RecordMark> mark_;             // of the last that was taken, where taken_ is null
  std::shared_ptr<KafkaClient> batch_client_;  // the messages belong to it
  std::int64_t position_ = -1, next_fetch_ = -1;
  std::int64_t end_of_log_ = -1;  // the high watermark
  std::int64_t end_seen_ = -1;    // where the last "end of partition" was said
  std::optional<std::int64_t> end_;
  bool stopped_at_end_ = false;
  std::uint64_t batches_ = 0;
  std::size_t most_queued_ = 0;  // records in the queue at its fullest, lately
};

}  // namespace millrace
