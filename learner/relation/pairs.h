#pragma once

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "learner/base/state.h"

namespace millrace {

/// One value for each unordered pair of tasks, a task with itself included.
template <class V>
class Pairs {
 public:
  explicit Pairs(int tasks)
      : tasks_(tasks),
        values_(static_cast<std::size_t>(tasks) * (static_cast<std::size_t>(tasks) + 1) / 2) {}

  int tasks() const { return tasks_; }
  V& operator()(int i, int j) { return values_[index(i, j)]; }
  const V& operator()(int i, int j) const { return values_[index(i, j)]; }
  std::vector<V>& values() { return values_; }
  const std::vector<V>& values() const { return values_; }

 private:
  static std::size_t index(int i, int j) {
    if (i < j) std::swap(i, j);
    const auto larger = static_cast<std::size_t>(i);
    return larger * (larger + 1) / 2 + static_cast<std::size_t>(j);
  }
  int tasks_;
  std::vector<V> values_;
};

/// The next value of saved relations. Error: throws StateError where it is not finite.
inline double read_relation(ByteReader& reader) {
  const auto value = reader.get<double>();
  if (!std::isfinite(value)) throw StateError("the saved relations are not finite");
  return value;
}

}  // namespace millrace
