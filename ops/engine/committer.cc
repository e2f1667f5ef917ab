#include "ops/engine/committer.h"

#include <chrono>
#include <exception>
#include <utility>

namespace millrace {

Committer::Committer(Store& store, Failure& failure, StageTimes& stages,
                     std::function<void(std::uint64_t)> durable)
    : store_(store),
      failure_(failure),
      stages_(stages),
      durable_(std::move(durable)),
      sequence_(store.sequence()),
      next_cleanings_(store.cleanings()),
      thread_([this] { work(); }) {}

Committer::~Committer() {
  queue_.close();
  thread_.join();
}

std::uint64_t Committer::begin() {
  MILLRACE_CHECK(ready());
  in_flight_ = true;
  return ++sequence_;
}

std::vector<Cleaning> Committer::cleanings() { return std::exchange(next_cleanings_, {}); }

void Committer::submit(Commit commit, std::function<void()> then, std::function<void()> before) {
  queue_.push({std::move(commit), std::move(then), std::move(before)});
}

bool Committer::wait() {
  std::unique_lock lock(mutex_);
  // A failure elsewhere wakes nobody here, so it is looked for now and then.
  while (in_flight_ && !failure_.happened()) landed_.wait_for(lock, std::chrono::milliseconds(20));
  return !failure_.happened();
}

void Committer::work() {
  while (std::optional<Submitted> submitted = queue_.pop()) {
    try {
      const StageTimer committing(stages_, Stage::kCommit);
      if (submitted->before) submitted->before();
      store_.write(submitted->commit);
      if (submitted->then) submitted->then();
      next_cleanings_ = store_.cleanings();
      durable_(submitted->commit.sequence);
      const std::lock_guard lock(mutex_);
      in_flight_ = false;
    } catch (const std::exception& error) {
      failure_.report(std::string("the commit failed: ") + error.what());
    }
    landed_.notify_all();
  }
}

}  // namespace millrace
