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
  refresh_report();
  thread_ = std::thread([this] { work(); });
}

LearnerThread::~LearnerThread() { finish(); }

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
      if (message && message->batch) train(*message->batch);
      if (message && message->barrier) complete(*message->barrier);
      publish_if_due();
      if (Clock::now() - last_report_ >= kReportEvery) refresh_report();
      if (!message && queue_.is_closed() && queue_.size() == 0) break;
    }
    refresh_report();
  } catch (const std::exception& error) {
    parts_.failure.report(std::string("training failed: ") + error.what());
    queue_.close();
  }
}

void LearnerThread::train(const Batch& batch) {
  const StageTimer training(parts_.stages, Stage::kTrain);
  MILLRACE_FAILPOINT("train.batch");
  parts_.trainers.train(batch);
  unpublished_ = true;
}

void LearnerThread::complete(Barrier& barrier) {
  if (parts_.failure.happened()) return;
  const StageTimer committing(parts_.stages, Stage::kCommit);
  MILLRACE_FAILPOINT("train.barrier");
  for (const auto& trainer : parts_.trainers) {
    barrier.commit.parts.push_back(save_part(*trainer, barrier.commit.sequence, barrier.cleanings));
  }
  parts_.committer.submit(std::move(barrier.commit));
}

void LearnerThread::publish_if_due() {
  if (parts_.publisher == nullptr || !unpublished_ || !parts_.publisher->idle()) return;
  const auto now = Clock::now();
  if (now - last_publish_ < parts_.publish_every) return;
  last_publish_ = now;
  unpublished_ = false;
  parts_.publisher->publish(parts_.trainers.champion().publish());
}

void LearnerThread::refresh_report() {
  last_report_ = Clock::now();
  auto report = std::make_shared<const TrainerReport>(parts_.trainers.champion().report());
  const std::lock_guard lock(report_mutex_);
  report_ = std::move(report);
}

}  // namespace millrace
