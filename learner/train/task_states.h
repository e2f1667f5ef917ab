#pragma once

#include <span>
#include <vector>

#include "learner/base/state.h"
#include "learner/device/memory.h"
#include "learner/model/parameter_block.h"

namespace millrace {

/// The gradient of one task's loss alone, of all dense weights; of what other tasks' losses do not
/// reach nothing is read.
template <class T>
struct TaskGradient {
  int task;
  const T* values;
};

/// Each task's own optimiser state of the dense weights that several tasks' losses reach: AdaTask
/// (Yang et al. 2023, "AdaTask: a task-aware adaptive learning rate approach to multi-task
/// learning"). In
///
///   w ← w − rate Σ_t m̂_t / (√v̂_t + ε)        m_t, v_t: Adam's moments of task t's gradient g_t
///   w ← w − rate Σ_t g_t / (√n_t + ε)         n_t ← n_t + g_t² (Adagrad)
///
/// every task's gradient is divided by its own size, so that none drowns the others in what all
/// share. A task without labels in a step has no part in it, and its state stays; its steps are
/// counted apart, for the bias correction.
///
/// Memory: for each task `states` values a shared weight, at construction. Threads: different
/// weights beside each other.
template <class T>
class TaskStates {
 public:
  /// A stretch [begin, end) of the block that is shared. Its state starts at place `at`.
  struct Run {
    long begin, end, at;
  };

  /// Nothing is shared.
  TaskStates() = default;
  /// What of `slots` is trained and of several tasks; `states`: values beside each weight.
  TaskStates(const std::vector<ParameterSlot>& slots, int tasks, int states);

  int tasks() const { return static_cast<int>(shares_.size()); }
  /// Ascending, apart from each other.
  std::span<const Run> runs() const { return runs_; }
  /// State s of a task, from a run's place `at` on.
  T* state(int task, int s, long at) {
    return memory_.get() + (long{task} * states_ + s) * count_ + at;
  }

  /// A step of a batch that is the share `share` of a full one; returns the task's Σ share.
  double advance(int task, double share) {
    return shares_[static_cast<std::size_t>(task)] += share;
  }

  /// By task its Σ share, then each of its states.
  void save(ByteWriter& writer) const;
  /// Error: throws StateError where the bytes are cut off or of another number of weights.
  void restore(ByteReader& reader);

  /// A task's Σ share so far.
  double steps(int task) const { return shares_[static_cast<std::size_t>(task)]; }
  /// For a migration: state s of a task where its weights stand in a block of `count`, 0 elsewhere,
  std::vector<T> spread(int task, int s, long count) const;
  /// and from there.
  void collect(int task, int s, std::span<const T> block);

 private:
  std::vector<Run> runs_;
  int states_ = 0;
  long count_ = 0;  ///< Shared weights.
  std::vector<double> shares_;
  Buffer<T> memory_ = allocate_host<T>(0);  ///< [tasks, states, count]
};

}  // namespace millrace
