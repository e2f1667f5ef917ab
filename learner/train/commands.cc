#include "learner/train/commands.h"

#include <algorithm>
#include <utility>

namespace millrace {

using Status = CommandAnswer::Status;

CommandAnswer TrainerCommands::run(TrainerCommand command, Duration timeout) {
  std::unique_lock lock(mutex_);
  if (!open_) return {Status::kUnavailable, closed_because_};
  if (waiting_.size() >= kCapacity) {
    return {Status::kUnavailable, "too many commands wait already; try again later"};
  }
  const auto pending = std::make_shared<Pending>();
  pending->command = std::move(command);
  waiting_.push_back(pending);
  const auto done = [&] { return pending->done; };
  answered_.wait_for(lock, timeout, done);
  // One that was taken is carried out: its answer is worth waiting for.
  if (pending->taken) answered_.wait_for(lock, timeout, done);
  if (pending->done) return pending->answer;
  std::erase(waiting_, pending);
  std::erase(uncommitted_, pending);
  if (pending->number > 0) {
    return {Status::kUnavailable,
            pending->answer.message + ", but no commit holds it yet: a restart may undo it"};
  }
  return {Status::kUnavailable, pending->taken ? "the trainer is busy with it; the status will tell"
                                               : "the trainer was busy; try again later"};
}

void TrainerCommands::open() {
  const std::lock_guard lock(mutex_);
  open_ = true;
}

void TrainerCommands::close(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  open_ = false;
  closed_because_ = reason;
  for (auto* commands : {&waiting_, &uncommitted_}) {
    for (const auto& pending : *commands) answer(*pending, {Status::kUnavailable, reason});
    commands->clear();
  }
}

void TrainerCommands::answer(Pending& pending, CommandAnswer answer) {
  pending.answer = std::move(answer);
  pending.done = true;
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
    CommandAnswer what = carry_out(pending->command);
    const std::lock_guard lock(mutex_);
    if (what.status != Status::kDone) {
      answer(*pending, std::move(what));
      continue;
    }
    pending->answer = std::move(what);
    pending->number = ++carried_out_;
    uncommitted_.push_back(pending);
  }
  return taken.size();
}

void TrainerCommands::committed(std::uint64_t count) {
  const std::lock_guard lock(mutex_);
  while (!uncommitted_.empty() && uncommitted_.front()->number <= count) {
    Pending& pending = *uncommitted_.front();
    answer(pending, std::move(pending.answer));
    uncommitted_.pop_front();
  }
}

}  // namespace millrace
