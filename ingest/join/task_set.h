#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace {

/// A set of tasks by index: which labels of an impression are open, which tasks use a type of
/// outcome. Millions are held, so up to 64 tasks take no memory beside the object; any number
/// works. A plain value. Threads: as any value.
class TaskSet {
 public:
  bool has(int task) const { return (word(index(task)) & bit(task)) != 0; }
  void add(int task) {
    const std::size_t w = index(task);
    if (w > rest_.size()) rest_.resize(w);
    (w == 0 ? first_ : rest_[w - 1]) |= bit(task);
  }
  void remove(int task) {
    if (!has(task)) return;
    const std::size_t w = index(task);
    (w == 0 ? first_ : rest_[w - 1]) &= ~bit(task);
  }
  bool empty() const {
    if (first_ != 0) return false;
    for (const std::uint64_t w : rest_) {
      if (w != 0) return false;
    }
    return true;
  }
  /// Whether any task is in both.
  bool intersects(const TaskSet& other) const {
    if ((first_ & other.first_) != 0) return true;
    for (std::size_t w = 1; w <= rest_.size(); ++w) {
      if ((word(w) & other.word(w)) != 0) return true;
    }
    return false;
  }
  /// Bytes of heap memory.
  std::size_t heap_bytes() const { return rest_.capacity() * sizeof(std::uint64_t); }

 private:
  static std::size_t index(int task) { return static_cast<std::size_t>(task) / 64; }
  static std::uint64_t bit(int task) { return std::uint64_t{1} << (task % 64); }
  std::uint64_t word(std::size_t w) const {
    if (w == 0) return first_;
    return w <= rest_.size() ? rest_[w - 1] : 0;
  }

  std::uint64_t first_ = 0;
  std::vector<std::uint64_t> rest_;  // tasks from 64 on
};

}  // namespace millrace
