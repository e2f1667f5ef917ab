#include "ops/engine/learner_thread.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "learner/base/failpoint.h"
#include "ops/engine/parts.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// How often the report that others read is made anew; making one walks the metrics' histograms.
constexpr std::chrono::milliseconds kReportEvery{500};

}  // namespace

LearnerThread::LearnerThread(Parts parts)
    : parts_(parts), queue_(parts.queue), last_publish_(Clock::now()), last_report_(Clock::now()) {
  unpublished_ = holds_ = parts_.held;
  log_notices();
  refresh_report(true);
  if (parts_.commands != nullptr) parts_.commands->open();
  thread_ = std::thread([this] { work(); });
}

LearnerThread::~LearnerThread() {
  finish();
  close_commands("learning has ended");
}

bool LearnerThread::send(Batch batch) {
  Message message;
  message.batch = std::make_unique<Batch>(std::move(batch));
  return queue_.push(std::move(message));
}

bool LearnerThread::send(Barrier barrier) {
  Message message;
  message.barrier = std::make_unique<Barrier>(std::move(barrier));
  return queue_.push(std::move(message));
}

void LearnerThread::finish() {
  queue_.close();
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<const TrainerReport> LearnerThread::report() const {
  const std::lock_guard lock(report_mutex_);
  return report_;
}

void LearnerThread::work() {
  const auto poll = std::min<std::chrono::milliseconds>(parts_.publish_every, kReportEvery) / 4;
  try {
    while (true) {
      std::optional<Message> message = queue_.pop_for(poll);
      if (parts_.failure.happened()) break;  // nothing of it will ever be committed
      if (message && message->batch) train(*message->batch);
      if (message && message->barrier) complete(*message->barrier);
      carry_out_commands();
      publish_if_due();
      if (Clock::now() - last_report_ >= kReportEvery) refresh_report();
      if (!message && queue_.is_closed() && queue_.size() == 0) break;
    }
    refresh_report(true);
    queue_.close();
    if (parts_.failure.happened()) close_commands(parts_.failure.message());
  } catch (const std::exception& error) {
    parts_.failure.report(std::string("training failed: ") + error.what());
    queue_.close();
    close_commands(parts_.failure.message());
  }
}

void LearnerThread::close_commands(const std::string& reason) {
  if (parts_.commands != nullptr) parts_.commands->close(reason);
}

void LearnerThread::log(std::string_view level, const std::string& message) const {
  if (parts_.log) parts_.log(level, message);
}

void LearnerThread::log_notices() {
  for (const auto& trainer : parts_.trainers) {
    for (const std::string& notice : trainer->take_notices()) {
      log("warning", "model " + trainer->name() + ": " + notice);
    }
  }
}

void LearnerThread::carry_out_commands() {
  if (parts_.commands == nullptr) return;
  const std::size_t done = parts_.commands->work_off(
      [this](const TrainerCommand& command) { return carry_out(command); });
  if (done == 0) return;
  unpublished_ = true;
  log_notices();
}

// Between two steps: every model obeys.
CommandAnswer LearnerThread::carry_out(const TrainerCommand& command) {
  using Status = CommandAnswer::Status;
  if (parts_.failure.happened()) return {Status::kUnavailable, parts_.failure.message()};
  bool any = false;
  for (const auto& trainer : parts_.trainers) {
    std::optional<int> task;
    if (!command.task.empty()) {
      task = trainer->find_task(command.task);
      if (!task) return {Status::kUnknownTask, "there is no task " + command.task};
    }
    if (command.kind == TrainerCommand::Kind::kFreeze) {
      trainer->freeze(task, command.reason);
    } else {
      any |= trainer->resume(task);
    }
  }
  refresh_report();
  const std::string what = command.task.empty() ? "learning" : "task " + command.task;
  if (command.kind == TrainerCommand::Kind::kFreeze) return {Status::kDone, what + " is frozen"};
  return {Status::kDone, any ? what + " goes on" : what + " was not frozen"};
}

void LearnerThread::train(const Batch& batch) {
  const StageTimer training(parts_.stages, Stage::kTrain);
  MILLRACE_FAILPOINT("train.batch");
  const std::uint64_t steps = parts_.trainers.champion().probe().steps;
  parts_.trainers.train(batch);
  unpublished_ |= batch.rows == 0 || parts_.trainers.champion().probe().steps != steps;
  log_notices();
}

void LearnerThread::complete(Barrier& barrier) {
  if (parts_.failure.happened()) return;
  const StageTimer committing(parts_.stages, Stage::kCommit);
  MILLRACE_FAILPOINT("train.barrier");
  for (const auto& trainer : parts_.trainers) {
    barrier.commit.parts.push_back(save_part(*trainer, barrier.commit.sequence, barrier.cleanings));
  }
  parts_.committer.submit(std::move(barrier.commit),
                          [commands = parts_.commands, count = this->commands()] {
                            if (commands != nullptr) commands->committed(count);
                          });
}

void LearnerThread::publish_if_due() {
  if (parts_.publisher == nullptr || !unpublished_ || !parts_.publisher->idle()) return;
  const auto now = Clock::now();
  if (now - last_publish_ < parts_.publish_every) return;
  last_publish_ = now;
  const std::string held(parts_.trainers.champion().held());
  holds_ = !held.empty();
  if (!held.empty()) {
    for (std::size_t r = 0; r < kHeldReasons.size(); ++r)
      held_counts_[r] += kHeldReasons[r] == held;
    if (held != held_) {
      log("warning", "no version leaves (" + held + "); " +
                         (parts_.publisher->has_version() ? "the last good one is served on"
                                                          : "there is none to be served"));
    }
    held_ = held;
    return;
  }
  if (!held_.empty()) log("info", "versions leave again");
  held_.clear();
  unpublished_ = false;
  parts_.publisher->publish(parts_.trainers.champion().publish());
}

void LearnerThread::refresh_report(bool whole) {
  last_report_ = Clock::now();
  auto report = std::make_shared<const TrainerReport>(parts_.trainers.champion().report(whole));
  const std::lock_guard lock(report_mutex_);
  report_ = std::move(report);
}

}  // namespace millrace
