#include "learner/train/task_states.h"

#include <algorithm>

#include "learner/base/check.h"

namespace millrace {

template <class T>
TaskStates<T>::TaskStates(const std::vector<ParameterSlot>& slots, int tasks, int states)
    : states_(states), shares_(static_cast<std::size_t>(tasks)) {
  MILLRACE_CHECK(tasks > 0 && states > 0);
  std::vector<Run> rows;
  for (const ParameterSlot& slot : shared_slots(slots)) {
    for (int r = 0; r < slot.rows; ++r) {
      const long begin = slot.offset + r * slot.stride;
      rows.push_back({begin, begin + slot.cols, 0});
    }
  }
  std::sort(rows.begin(), rows.end(), [](Run a, Run b) { return a.begin < b.begin; });
  for (Run row : rows) {
    row.at = count_;
    count_ += row.end - row.begin;
    if (!runs_.empty() && runs_.back().end == row.begin) {
      runs_.back().end = row.end;
    } else {
      runs_.push_back(row);
    }
  }
  memory_ = allocate_host<T>(long{tasks} * states * count_);
}

template <class T>
void TaskStates<T>::save(ByteWriter& writer) const {
  for (int task = 0; task < tasks(); ++task) {
    writer.put(shares_[static_cast<std::size_t>(task)]);
    for (int s = 0; s < states_; ++s) {
      const T* from = memory_.get() + (long{task} * states_ + s) * count_;
      writer.put_all(std::span<const T>(from, static_cast<std::size_t>(count_)));
    }
  }
}

template <class T>
void TaskStates<T>::restore(ByteReader& reader) {
  for (int task = 0; task < tasks(); ++task) {
    shares_[static_cast<std::size_t>(task)] = reader.get<double>();
    for (int s = 0; s < states_; ++s) {
      const std::vector<T> saved = reader.get_all<T>();
      if (static_cast<long>(saved.size()) != count_) {
        throw StateError("the saved optimiser of each task is of another number of weights");
      }
      std::copy(saved.begin(), saved.end(), state(task, s, 0));
    }
  }
}

template <class T>
std::vector<T> TaskStates<T>::spread(int task, int s, long count) const {
  std::vector<T> block(static_cast<std::size_t>(count));
  const T* from = memory_.get() + (long{task} * states_ + s) * count_;
  for (const Run& run : runs_) {
    std::copy_n(from + run.at, run.end - run.begin, block.begin() + run.begin);
  }
  return block;
}

template <class T>
void TaskStates<T>::collect(int task, int s, std::span<const T> block) {
  for (const Run& run : runs_) {
    std::copy_n(block.begin() + run.begin, run.end - run.begin, state(task, s, run.at));
  }
}

template class TaskStates<float>;
template class TaskStates<double>;

}  // namespace millrace
