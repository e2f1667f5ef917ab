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
  is_newly_held();
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

std::shared_ptr<const TrainerReports> LearnerThread::reports() const {
  const std::lock_guard lock(report_mutex_);
  return reports_;
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
  parts_.trainers.for_each([&](Trainer& trainer) {
    for (const std::string& notice : trainer.take_notices()) {
      log("warning", "model " + trainer.name() + ": " + notice);
    }
  });
  for (const std::string& notice : parts_.trainers.take_notices()) log("warning", notice);
}

void LearnerThread::carry_out_commands() {
  if (parts_.commands == nullptr) return;
  const std::size_t done = parts_.commands->work_off(
      [this](const TrainerCommand& command) { return carry_out(command); });
  if (done == 0) return;
  unpublished_ = true;
  log_notices();
}

// Between two steps.
CommandAnswer LearnerThread::carry_out(const TrainerCommand& command) {
  using Status = CommandAnswer::Status;
  if (parts_.failure.happened()) return {Status::kUnavailable, parts_.failure.message()};
  CommandAnswer answer = command.kind == TrainerCommand::Kind::kChampion
                             ? change_champion(command.model)
                             : freeze_or_resume(command);
  refresh_report();
  return answer;
}

CommandAnswer LearnerThread::change_champion(const std::string& name) {
  using Status = CommandAnswer::Status;
  const std::string before = parts_.trainers.champion().name();
  if (const auto done = parts_.trainers.set_champion(name); !done) {
    return {Status::kRefused, done.error().message};
  }
  if (before == name) return {Status::kDone, "the model " + name + " was the champion already"};
  log("notice", "the model " + name + " is the champion now, in place of " + before);
  return {Status::kDone, "the model " + name + " is the champion now, in place of " + before};
}

// Every model that has the task obeys.
CommandAnswer LearnerThread::freeze_or_resume(const TrainerCommand& command) {
  using Status = CommandAnswer::Status;
  const bool freezes = command.kind == TrainerCommand::Kind::kFreeze;
  bool any = false, known = command.task.empty();
  parts_.trainers.for_each([&](Trainer& trainer) {
    const std::optional<int> task = trainer.find_task(command.task);
    if (!command.task.empty() && !task) return;
    known = true;
    const std::optional<int> which = command.task.empty() ? std::nullopt : task;
    if (freezes) {
      trainer.freeze(which, command.reason);
    } else {
      any |= trainer.resume(which);
    }
  });
  if (!known) return {Status::kRefused, "there is no task " + command.task};
  const std::string what = command.task.empty() ? "learning" : "task " + command.task;
  const std::string done = what + (freezes ? " is frozen" : any ? " goes on" : " was not frozen");
  log("notice", done + ", as was asked for");
  return {Status::kDone, done};
}

void LearnerThread::train(const Batch& batch) {
  const StageTimer training(parts_.stages, Stage::kTrain);
  MILLRACE_FAILPOINT("train.batch");
  const auto steps_of = [&] {
    std::uint64_t sum = 0;
    for (std::size_t m = 0; m < parts_.trainers.size(); ++m) {
      const bool counts = parts_.publishes_all || m == parts_.trainers.champion_index();
      if (counts) sum += parts_.trainers[m].probe().steps;
    }
    return sum;
  };
  const std::uint64_t steps = steps_of();
  parts_.trainers.train(batch);
  unpublished_ |= batch.rows == 0 || steps_of() != steps;
  log_notices();
}

void LearnerThread::complete(Barrier& barrier) {
  if (parts_.failure.happened()) return;
  const StageTimer committing(parts_.stages, Stage::kCommit);
  MILLRACE_FAILPOINT("train.barrier");
  save_models(parts_.trainers, barrier.cleanings, barrier.commit);
  parts_.committer.submit(
      std::move(barrier.commit),
      [commands = parts_.commands, count = this->commands()] {
        if (commands != nullptr) commands->committed(count);
      },
      is_newly_held() ? parts_.before_held : std::function<void()>());
}

// Whether a model that is served is held, and was not when this was last asked. Not while the
// champion was: snapshots of such weights would push out its last good ones.
bool LearnerThread::is_newly_held() {
  const Trainers& trainers = parts_.trainers;
  const std::vector<bool> before = std::exchange(held_models_, {});
  const bool good = !before.empty() && !before[trainers.champion_index()];
  bool newly = false;
  for (std::size_t m = 0; m < trainers.size(); ++m) {
    const bool is_served =
        m == trainers.champion_index() || (parts_.publishes_all && !trainers.is_twin(m));
    held_models_.push_back(is_served && trainers[m].holds_versions());
    newly |= held_models_[m] && good && !before[m];
  }
  return newly;
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
  Publication champion = parts_.trainers.publish();
  parts_.publisher->publish(std::move(champion), others());
}

// A model whose weights are held is served on as it was.
std::vector<NamedPublication> LearnerThread::others() {
  std::vector<NamedPublication> others;
  for (std::size_t m = 0; parts_.publishes_all && m < parts_.trainers.size(); ++m) {
    const bool twin = parts_.trainers.is_twin(m);
    if (m == parts_.trainers.champion_index() || twin || !parts_.trainers[m].held().empty()) {
      continue;
    }
    others.push_back({parts_.trainers.name_of(m), parts_.trainers.publish(m)});
  }
  return others;
}

void LearnerThread::refresh_report(bool whole) {
  last_report_ = Clock::now();
  auto reports = std::make_shared<const TrainerReports>(parts_.trainers.report(whole));
  const std::lock_guard lock(report_mutex_);
  reports_ = std::move(reports);
}

}  // namespace millrace
