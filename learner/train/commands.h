#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "learner/base/time.h"

namespace millrace {

/// What an administrator asks of a trainer.
struct TrainerCommand {
  enum class Kind { kFreeze, kResume, kChampion };
  Kind kind = Kind::kFreeze;
  std::string task = {};    ///< Empty: all of learning.
  std::string reason = {};  ///< Of a freeze; for people.
  std::string model = {};   ///< Of kChampion: the one whose scores are to be served.
};

struct CommandAnswer {
  /// kRefused: there is no such task or model, or it may not be; nothing was changed.
  enum class Status { kDone, kRefused, kUnavailable };
  Status status = Status::kDone;
  std::string message;  ///< What was done, or why not.
};

/// A bounded queue of commands that the trainer's thread empties between two steps. What was done
/// is told only when a commit holds it. The queue outlives any trainer: while none takes commands,
/// they are answered with the reason at once.
/// Threads: `run`, `close` and `committed` from any; `open`, `work_off` and `carried_out` on the
/// trainer's.
class TrainerCommands {
 public:
  static constexpr std::size_t kCapacity = 16;

  /// Has the command carried out and gives the answer; kUnavailable where nobody takes commands,
  /// too many wait, it was not taken within `timeout` (then it never will be), or what it did was
  /// not committed within `timeout` (then it may be lost at a restart).
  CommandAnswer run(TrainerCommand command, Duration timeout);

  /// From now on commands are taken.
  void open();
  /// No more: those that are not answered yet, and all that come, are answered with `reason`.
  void close(const std::string& reason);
  /// Carries out all that wait. Returns how many were.
  std::size_t work_off(const std::function<CommandAnswer(const TrainerCommand&)>& carry_out);
  /// How many were carried out, ever.
  std::uint64_t carried_out() const { return carried_out_; }
  /// What the first `count` that were carried out changed is in a durable commit.
  void committed(std::uint64_t count);

 private:
  struct Pending {
    TrainerCommand command;
    CommandAnswer answer;
    std::uint64_t number = 0;  ///< Among those that were carried out.
    bool taken = false, done = false;
  };
  void answer(Pending& pending, CommandAnswer answer);

  std::mutex mutex_;
  std::condition_variable answered_;
  std::deque<std::shared_ptr<Pending>> waiting_;
  std::deque<std::shared_ptr<Pending>> uncommitted_;  ///< Carried out, with the answer to come.
  std::atomic<std::uint64_t> carried_out_{0};
  bool open_ = false;
  std::string closed_because_ = "learning has not started yet";
};

}  // namespace millrace
