#include "learner/train/commands.h"

#include <algorithm>
#include <utility>

namespace millrace {

CommandAnswer TrainerCommands::run(TrainerCommand command, Duration timeout) {
  using Status = CommandAnswer::Status;
  std::unique_lock lock(mutex_);
  if (!open_) return {Status::kUnavailable, closed_because_};
  if (waiting_.size() >= kCapacity) {
    return {Status::kUnavailable, "too many commands wait already; try again later"};
  }
  const auto pending = std::make_shared<Pending>();
  pending->command = std::move(command);
  waiting_.push_back(pending);
  answered_.wait_for(lock, timeout, [&] { return pending->done; });
  // One that was taken is carried out: its answer is worth waiting for.
  if (!pending->done && pending->taken) answered_.wait(lock, [&] { return pending->done; });
  if (pending->done) return pending->answer;
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), pending));
  return {Status::kUnavailable, "the trainer was busy; try again later"};
}

void TrainerCommands::open() {
  const std::lock_guard lock(mutex_);
  open_ = true;
}

void TrainerCommands::close(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  open_ = false;
  closed_because_ = reason;
  for (const auto& pending : waiting_) {
    pending->answer = {CommandAnswer::Status::kUnavailable, reason};
    pending->done = true;
  }
  waiting_.clear();
  answered_.notify_all();
}

std::size_t TrainerCommands::work_off(
    const std::function<CommandAnswer(const TrainerCommand&)>& carry_out) {
  std::deque<std::shared_ptr<Pending>> taken;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return 0;
    taken.swap(waiting_);
    for (const auto& pending : taken) pending->taken = true;
  }
  for (const auto& pending : taken) {
    CommandAnswer answer = carry_out(pending->command);
    const std::lock_guard lock(mutex_);
    pending->answer = std::move(answer);
    pending->done = true;
    answered_.notify_all();
  }
  return taken.size();
}

}  // namespace millrace
