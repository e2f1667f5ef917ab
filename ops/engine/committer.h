#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "learner/base/queue.h"
#include "learner/base/stages.h"
#include "ops/engine/failure.h"
#include "store/store.h"

namespace millrace {

/// Writes commits on a thread of its own, off the trainer's path. At most one commit is between its
/// barrier and the disk: the next barrier starts when `ready` says so, which is the back-pressure
/// of a slow disk. Threads: `begin` and `cleanings` on the thread that makes barriers, `submit` on
/// the trainer's.
class Committer {
 public:
  /// Borrows all three. `durable` is called on the committer's thread after each written commit.
  Committer(Store& store, Failure& failure, StageTimes& stages,
            std::function<void(std::uint64_t sequence)> durable);
  /// Writes what was submitted, then ends.
  ~Committer();

  /// Whether a new barrier may start: the last one's commit is on disk.
  bool ready() const { return !in_flight_; }
  /// A barrier starts. Requires: ready(). Returns its sequence.
  std::uint64_t begin();
  /// What the owners should put again at the barrier that was just begun.
  std::vector<Cleaning> cleanings();

  /// The barrier's commit is complete; on the committer's thread `before` is called while the
  /// commit before it is the last, and `then` when it is written, before `durable`.
  void submit(Commit commit, std::function<void()> then = {}, std::function<void()> before = {});

  /// Waits until nothing is in flight. False where learning failed first.
  bool wait();

 private:
  struct Submitted {
    Commit commit;
    std::function<void()> then, before;
  };
  void work();

  Store& store_;
  Failure& failure_;
  StageTimes& stages_;
  const std::function<void(std::uint64_t)> durable_;
  std::uint64_t sequence_;
  std::vector<Cleaning> next_cleanings_;  // handed over by in_flight_
  std::atomic<bool> in_flight_{false};
  std::mutex mutex_;
  std::condition_variable landed_;
  BoundedQueue<Submitted> queue_{1};
  std::thread thread_;
};

}  // namespace millrace
