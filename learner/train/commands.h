#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "learner/base/time.h"

namespace millrace {

/// What an administrator asks of a trainer.
struct TrainerCommand {
  enum class Kind { kFreeze, kResume };
  Kind kind = Kind::kFreeze;
  std::string task;    ///< Empty: all of learning.
  std::string reason;  ///< Of a freeze; for people.
};

struct CommandAnswer {
  enum class Status { kDone, kUnknownTask, kUnavailable };
  Status status = Status::kDone;
  std::string message;  ///< What was done, or why not.
};

/// A bounded queue of commands that the trainer's thread empties between two steps. It outlives any
/// trainer: while none takes commands, they are answered with the reason at once.
/// Threads: `run` from any; `open`, `close` and `work_off` on the trainer's.
class TrainerCommands {
 public:
  static constexpr std::size_t kCapacity = 16;

  /// Has the command carried out and gives the answer; kUnavailable where nobody takes commands,
  /// too many wait, or it was not taken within `timeout` (then it never will be).
  CommandAnswer run(TrainerCommand command, Duration timeout);

  /// From now on commands are taken.
  void open();
  /// No more: those that wait, and all that come, are answered with `reason`.
  void close(const std::string& reason);
  /// Carries out all that wait. Returns how many were.
  std::size_t work_off(const std::function<CommandAnswer(const TrainerCommand&)>& carry_out);

 private:
  struct Pending {
    TrainerCommand command;
    CommandAnswer answer;
    bool taken = false, done = false;
  };

  std::mutex mutex_;
  std::condition_variable answered_;
  std::deque<std::shared_ptr<Pending>> waiting_;
  bool open_ = false;
  std::string closed_because_ = "learning has not started yet";
};

}  // namespace millrace
