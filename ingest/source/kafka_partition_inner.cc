#include "ingest/source/kafka_partition_inner.h"

#include <algorithm>
#include <utility>

#include "learner/base/check.h"

namespace millrace {
namespace {

std::string_view view_of(const void* bytes, std::size_t size) {
  return {static_cast<const char*>(bytes), size};
}

std::optional<EventTime> stamp_of(const rd_kafka_message_t* message) {
  rd_kafka_timestamp_type_t type;
  const std::int64_t timestamp = rd_kafka_message_timestamp(message, &type);
  if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || timestamp < 0) return std::nullopt;
  return EventTime{timestamp};
}

}  // namespace

RecordMark mark_of(const rd_kafka_message_t* message) {
  return mark_of(message->offset, stamp_of(message), view_of(message->key, message->key_len),
                 view_of(message->payload, message->len));
}

KafkaPartition::KafkaPartition(std::string topic, int partition, std::function<void()> wake,
                               KafkaNudge& nudge)
    : topic_(std::move(topic)), partition_(partition), wake_(std::move(wake)), nudge_(nudge) {}

KafkaPartition::~KafkaPartition() {
  drop_batch();
  close_queue();
}

void KafkaPartition::close_queue() {
  if (queue_ == nullptr) return;
  // After this librdkafka calls back no more.
  rd_kafka_queue_cb_event_enable(queue_, nullptr, nullptr);
  rd_kafka_queue_destroy(queue_);
  queue_ = nullptr;
}

void KafkaPartition::drop_batch() {
  drop_taken();
  for (; next_ < size_; ++next_) rd_kafka_message_destroy(batch_[next_]);
  next_ = size_ = 0;
  batch_client_.reset();
}

// What it was is kept, its bytes are not.
void KafkaPartition::drop_taken() {
  if (taken_ == nullptr) return;
  mark_ = mark_of(taken_);
  rd_kafka_message_destroy(std::exchange(taken_, nullptr));
}

std::optional<RecordMark> KafkaPartition::mark() {
  return taken_ != nullptr ? mark_of(taken_) : mark_;
}

void KafkaPartition::set_mark(const std::optional<RecordMark>& mark) {
  MILLRACE_CHECK(taken_ == nullptr);
  mark_ = mark;
}

void KafkaPartition::read_from(std::shared_ptr<KafkaClient> client, std::int64_t offset,
                               bool keep_batch) {
  if (keep_batch) {
    MILLRACE_CHECK(offset == next_fetch_);
  } else {
    drop_batch();
    position_ = offset;
  }
  close_queue();
  client_ = std::move(client);
  next_fetch_ = offset;
  end_seen_ = -1;
  queue_ = rd_kafka_queue_get_partition(client_->get(), topic_.c_str(), partition_);
  MILLRACE_CHECK(queue_ != nullptr);
  // Before the assignment, so that no record goes to the queue of all partitions.
  rd_kafka_queue_forward(queue_, nullptr);
  rd_kafka_queue_cb_event_enable(
      queue_,
      [](rd_kafka_t*, void* self) {
        auto* partition = static_cast<KafkaPartition*>(self);
        partition->ready_.store(true, std::memory_order_release);
        partition->wake_();
      },
      this);
}

void KafkaPartition::stop_reading() {
  stopped_at_end_ = stands_at_end();
  drop_batch();
  close_queue();
  client_.reset();
}

// The flag falls before the queue is emptied: what comes in between raises it again.
bool KafkaPartition::fetch() {
  if (queue_ == nullptr || !ready_.exchange(false, std::memory_order_acq_rel)) return false;
  const ssize_t count = rd_kafka_consume_batch_queue(queue_, 0, batch_.data(), batch_.size());
  if (count <= 0) return false;
  next_ = 0;
  size_ = static_cast<std::size_t>(count);
  batch_client_ = client_;
  if (size_ == batch_.size()) ready_.store(true, std::memory_order_release);
  ++batches_;
  const rd_kafka_message_t* last = batch_[size_ - 1];
  if (!last->err) next_fetch_ = last->offset + 1;
  std::int64_t low = -1, high = -1;
  rd_kafka_get_watermark_offsets(client_->get(), topic_.c_str(), partition_, &low, &high);
  if (high >= 0) end_of_log_ = high;
  ask_for_more();
  return true;
}

void KafkaPartition::ask_for_more() {
  const std::size_t left = rd_kafka_queue_length(queue_);
  most_queued_ = std::max(left + size_, most_queued_ - most_queued_ / 64);
  const bool more = next_fetch_ + static_cast<std::int64_t>(left) < end_of_log_;
  if (more && left < most_queued_ / 2) nudge_.nudge(client_, topic_, partition_);
}

Head KafkaPartition::peek(Record& record, std::optional<Trouble>& trouble) {
  if (end_ && position_ >= *end_) return Head::kAtEnd;
  while (true) {
    if (next_ == size_ && !fetch()) return stands_at_end() ? Head::kAtEnd : Head::kBehind;
    const rd_kafka_message_t* message = batch_[next_];
    if (message->err) {
      pass_event(*message, trouble);
      rd_kafka_message_destroy(batch_[next_++]);
      if (next_ == size_) drop_taken();
      if (trouble) return Head::kBehind;
      continue;
    }
    if (end_ && message->offset >= *end_) {
      position_ = *end_;
      return Head::kAtEnd;
    }
    record.payload = view_of(message->payload, message->len);
    record.key = view_of(message->key, message->key_len);
    record.offset = message->offset;
    record.timestamp = stamp_of(message);
    return Head::kRecord;
  }
}

// Control records and aborted ones have offsets but are never delivered: only the event says that
// nothing else is left before the end.
void KafkaPartition::pass_event(const rd_kafka_message_t& message,
                                std::optional<Trouble>& trouble) {
  if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    end_seen_ = message.offset;
    position_ = std::max(position_, message.offset);
    next_fetch_ = std::max(next_fetch_, message.offset);
    return;
  }
  trouble = Trouble{message.err, rd_kafka_message_errstr(&message)};
}

bool KafkaPartition::stands_at_end() const {
  if (!is_read()) return stopped_at_end_;
  return position_ == end_seen_ || (end_of_log_ >= 0 && position_ >= end_of_log_);
}

void KafkaPartition::take() {
  MILLRACE_CHECK(next_ < size_);
  position_ = batch_[next_]->offset + 1;
  if (taken_ != nullptr) rd_kafka_message_destroy(taken_);
  taken_ = batch_[next_++];
  if (next_ < size_) return;
  drop_taken();
  batch_client_.reset();
}

std::int64_t KafkaPartition::lag() const {
  if (position_ < 0 || position_ == end_seen_) return 0;
  return std::max<std::int64_t>(0, end_of_log_ - position_);
}

}  // namespace millrace
