#include "ingest/source/kafka_nudge_inner.h"

#include "ingest/source/kafka_watch_inner.h"
#include "learner/base/time.h"

namespace millrace {
namespace {

constexpr int kTimeoutMs = 500;
constexpr Duration kPause{5};

}  // namespace

KafkaNudge::KafkaNudge() : thread_([this] { work(); }) {}

KafkaNudge::~KafkaNudge() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void KafkaNudge::nudge(const std::shared_ptr<KafkaClient>& client, const std::string& topic,
                       int partition) {
  std::lock_guard lock(mutex_);
  if (client_ != client) low_.clear();
  client_ = client;
  low_.insert({topic, partition});
  changed_.notify_all();
}

void KafkaNudge::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !low_.empty(); });
    if (stopping_) return;
    const auto client = std::exchange(client_, nullptr);
    const auto low = std::exchange(low_, {});
    lock.unlock();
    list_offsets(*client, low, RD_KAFKA_OFFSET_END, kTimeoutMs);
    lock.lock();
    changed_.wait_for(lock, kPause, [&] { return stopping_; });
  }
}

}  // namespace millrace
