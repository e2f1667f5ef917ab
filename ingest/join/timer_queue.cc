#include "ingest/join/timer_queue.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "learner/base/check.h"

namespace millrace {
namespace {

// Unsigned and in the same order.
std::uint64_t order_key(EventTime time) {
  return static_cast<std::uint64_t>(time.ms) ^ (std::uint64_t{1} << 63);
}

}  // namespace

std::size_t TimerQueue::bucket_of(EventTime due) const {
  return static_cast<std::size_t>(std::bit_width(order_key(due) ^ order_key(floor_)));
}

void TimerQueue::set(Timer timer) {
  if (size_ == 0) {
    floor_ = EventTime::before_all();
    earliest_ = timer.due;
  } else if (timer.due < floor_) {
    rebuild(EventTime::before_all());
  }
  earliest_ = std::min(earliest_, timer.due);
  buckets_[bucket_of(timer.due)].push_back(timer);
  ++size_;
}

void TimerQueue::take_earliest(std::vector<Timer>& taken) {
  MILLRACE_CHECK(size_ > 0);
  if (earliest_ != floor_) {
    std::size_t bucket = 1;
    while (buckets_[bucket].empty()) ++bucket;
    floor_ = earliest_;
    spread(bucket);
  }
  taken.clear();
  std::swap(taken, buckets_[0]);
  size_ -= taken.size();
  find_earliest();
}

// Every bucket below is empty, and the new floor is the smallest due time in this one, so all its
// timers agree with the floor in the bucket's highest bit and move down.
void TimerQueue::spread(std::size_t bucket) {
  std::vector<Timer> timers;
  timers.swap(buckets_[bucket]);
  for (const Timer& timer : timers) buckets_[bucket_of(timer.due)].push_back(timer);
  // The memory is kept for the bucket's next filling, unless it is large.
  constexpr std::size_t kKeep = 4096;
  if (timers.capacity() > kKeep) return;
  timers.clear();
  timers.swap(buckets_[bucket]);
}

void TimerQueue::rebuild(EventTime floor) {
  std::vector<Timer> all;
  all.reserve(size_);
  for (std::vector<Timer>& bucket : buckets_) {
    all.insert(all.end(), bucket.begin(), bucket.end());
    bucket.clear();
  }
  floor_ = floor;
  for (const Timer& timer : all) buckets_[bucket_of(timer.due)].push_back(timer);
}

void TimerQueue::find_earliest() {
  earliest_ = EventTime::after_all();
  for (const std::vector<Timer>& bucket : buckets_) {
    if (bucket.empty()) continue;
    for (const Timer& timer : bucket) earliest_ = std::min(earliest_, timer.due);
    return;
  }
}

void TimerQueue::take_latest(std::size_t count, std::vector<Timer>& taken) {
  MILLRACE_CHECK(size_ > 0 && count > 0);
  count = std::min(count, size_);
  size_ -= count;
  for (std::size_t b = buckets_.size(); count > 0;) {
    std::vector<Timer>& bucket = buckets_[--b];
    if (bucket.empty()) continue;
    const std::size_t some = std::min(count, bucket.size());
    const auto from = bucket.end() - static_cast<std::ptrdiff_t>(some);
    if (some < bucket.size()) {
      std::nth_element(bucket.begin(), from, bucket.end(),
                       [](const Timer& x, const Timer& y) { return x.due < y.due; });
    }
    taken.insert(taken.end(), from, bucket.end());
    bucket.erase(from, bucket.end());
    count -= some;
  }
  find_earliest();
}

std::uint64_t TimerQueue::memory_bytes() const {
  std::uint64_t bytes = 0;
  for (const std::vector<Timer>& bucket : buckets_) bytes += bucket.capacity() * sizeof(Timer);
  return bytes;
}

}  // namespace millrace
