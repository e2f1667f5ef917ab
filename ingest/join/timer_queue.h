#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "learner/base/time.h"

namespace millrace {

/// Something to be looked at when event time has passed `due`.
struct Timer {
  EventTime due;
  std::uint32_t slot = 0;        ///< Whose timer it is.
  std::uint32_t generation = 0;  ///< Tells a later owner of the same slot from this one.
};

/// Timers in the order of their due times: a radix heap (Ahuja, Mehlhorn, Orlin and Tarjan 1990).
///
/// Event time only goes on, so a timer set is never before one taken; timers lie in buckets by the
/// highest bit in which they differ from the last one taken, and each moves down a few times in its
/// life, always in sequential memory. Setting one before the last taken is allowed too, and then
/// costs O(size).
/// Cost: O(1) to set, O(log of the span of due times) amortised to take. Threads: one at a time.
class TimerQueue {
 public:
  void set(Timer timer);
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  /// The smallest due time; after_all() if empty.
  EventTime earliest() const { return size_ == 0 ? EventTime::after_all() : earliest_; }
  /// Removes all timers of the smallest due time and puts them into `taken` (overwritten), in no
  /// particular order. Requires: not empty.
  void take_earliest(std::vector<Timer>& taken);
  /// Removes about `count` timers (at most, and at least one) of the largest due times and appends
  /// them to `taken`, in no particular order. Of equal due times any. Requires: not empty, count >
  /// 0. Cost: O(timers of the buckets that are touched).
  void take_latest(std::size_t count, std::vector<Timer>& taken);
  std::uint64_t memory_bytes() const;

 private:
  std::size_t bucket_of(EventTime due) const;
  void spread(std::size_t bucket);
  void rebuild(EventTime floor);
  void find_earliest();

  // Bucket 0: due == floor_; bucket b: the highest bit that differs from floor_ is b − 1.
  std::array<std::vector<Timer>, 65> buckets_;
  EventTime floor_ = EventTime::before_all();
  EventTime earliest_ = EventTime::after_all();
  std::size_t size_ = 0;
};

}  // namespace millrace
