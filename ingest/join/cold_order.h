#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "learner/base/time.h"

namespace millrace {

/// The blocks of cold impressions by the due times of their first entries: a heap, and before it
/// those few that are read ahead. A block that is gone is passed over when its turn comes.
/// Memory: 16 bytes a block. Threads: one at a time.
class ColdOrder {
 public:
  struct Due {
    EventTime due;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
  };

  /// Cost: O(1) where blocks come in the order of their due times, else O(log n).
  void push(Due due) {
    heap_.push_back(due);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  /// The first one for which `is_there(due)` holds; drops those before it. Null: none.
  template <class IsThere>
  const Due* first(IsThere&& is_there) {
    while (!heap_.empty() && !is_there(heap_.front())) pop_heap();
    while (!ahead_.empty() && !is_there(ahead_.back())) ahead_.pop_back();
    if (ahead_.empty()) return heap_.empty() ? nullptr : &heap_.front();
    if (heap_.empty() || !later(ahead_.back(), heap_.front())) return &ahead_.back();
    return &heap_.front();
  }

  /// Takes out the one that `first` gave.
  void pop_first() {
    if (!ahead_.empty() && (heap_.empty() || !later(ahead_.back(), heap_.front()))) {
      ahead_.pop_back();
    } else {
      pop_heap();
    }
  }

  /// Moves the next `count` of the heap to those that are read ahead, which are returned: all, the
  /// first at the back.
  const std::vector<Due>& go_ahead(std::size_t count) {
    for (; count > 0 && !heap_.empty(); --count) {
      ahead_.push_back(heap_.front());
      pop_heap();
    }
    std::sort(ahead_.begin(), ahead_.end(), later);
    return ahead_;
  }

  std::uint64_t memory_bytes() const {
    return (heap_.capacity() + ahead_.capacity()) * sizeof(Due);
  }

 private:
  // The heap's top is the first.
  static bool later(const Due& a, const Due& b) {
    return a.due != b.due ? a.due > b.due : a.slot > b.slot;
  }
  void pop_heap() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
  }

  std::vector<Due> heap_, ahead_;
};

}  // namespace millrace
