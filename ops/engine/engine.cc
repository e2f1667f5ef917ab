#include "ops/engine/engine.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "ingest/sink/kafka_dead_letters.h"
#include "learner/base/failpoint.h"
#include "ops/engine/engine_inner.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

// Events between two looks at the clock: a few milliseconds at full speed.
constexpr std::size_t kEventsPerStep = 512;
constexpr std::chrono::milliseconds kTickEvery{200};
// Where the join's memory asks for barriers.
constexpr std::chrono::milliseconds kLeastBetweenBarriers{20};
constexpr std::chrono::milliseconds kLookForRoomEvery{100};

}  // namespace

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Engine::~Engine() {
  // Threads first, in the direction of the data; what they borrow goes with the parts. A commit
  // that lands meanwhile still asks the learner whether its weights are held.
  if (parts_->learner) parts_->learner->finish();
  parts_->publisher.reset();
  parts_->committer.reset();
  parts_->learner.reset();
}

Commit Engine::Parts::commit_without_trainer(std::uint64_t sequence,
                                             std::span<const Cleaning> cleanings) {
  Commit commit;
  commit.sequence = sequence;
  for (Participant* participant : before_trainer) {
    commit.parts.push_back(save_part(*participant, sequence, cleanings));
  }
  return commit;
}

// On the committer's thread, after each commit.
void Engine::Parts::landed() {
  board.committed();
  if (snapshot_is_due()) snapshots.take(*store, holds());
}

bool Engine::Parts::room_is_doubtful() const { return Clock::now() - last_look >= kTickEvery; }

bool Engine::Parts::barrier_is_due() const {
  if (!dirty || !committer->ready()) return false;
  if (hurried) return true;
  const auto since = Clock::now() - last_barrier;
  if (joiner.pressure() != JoinState::Pressure::kNone) return since >= kLeastBetweenBarriers;
  return options.config.store.commit_every && since >= *options.config.store.commit_every;
}

// Who gave a command waits for its commit.
void Engine::Parts::look_for_commands() {
  const std::uint64_t now = learner->commands();
  if (std::exchange(commands, now) != now) dirty = hurried = true;
}

// While the start waits for the broker.
void Engine::Parts::commit_commands() {
  if (!learner || failure.happened()) return;
  look_for_commands();
  if (hurried && barrier_is_due() && has_room()) barrier();
}

// Memory has no room for further events before what the join gives to the store is there.
void Engine::Parts::wait_for_room() {
  const StageTimer committing(stages, Stage::kCommit);
  joins_waited.fetch_add(1, std::memory_order_relaxed);
  if (committer->ready()) {
    barrier();
  } else {
    committer->wait();
  }
}

// Looked at before each barrier, and now and then; says so once.
bool Engine::Parts::has_room() {
  last_look = Clock::now();
  const bool enough = space.enough();
  const std::string complaint = enough ? "" : space.complaint();
  board.change([&](EngineStatus& status) {
    if (enough != status.paused.empty()) {
      options.log(enough ? "info" : "error", enough ? "there is room on the disk; learning goes on"
                                                    : "learning pauses: " + complaint);
    }
    status.paused = complaint;
  });
  return enough;
}

void Engine::Parts::barrier() {
  last_barrier = Clock::now();
  dirty = hurried = false;
  MILLRACE_FAILPOINT("barrier.begin");
  const std::uint64_t sequence = committer->begin();
  const StageTimer committing(stages, Stage::kCommit);
  Barrier barrier;
  barrier.cleanings = committer->cleanings();
  barrier.commit = commit_without_trainer(sequence, barrier.cleanings);
  board.at_barrier(counts());
  if (rows) rows->flush();
  learner->send(std::move(barrier));
}

bool Engine::Parts::send(std::vector<Batch>& closed) {
  if (closed.empty()) return true;
  const StageTimer waiting(stages, Stage::kWaitForTrainer);
  for (Batch& batch : closed) {
    if (!learner->send(std::move(batch))) return false;
    batches.fetch_add(1, std::memory_order_relaxed);
  }
  closed.clear();
  return true;
}

bool Engine::run(const std::function<bool()>& stop,
                 const std::function<void(const Progress&)>& tick) {
  Parts& p = *parts_;
  const JoinOptions& join = p.options.config.join;
  const QuietOptions quiet{.quiet_after = join.quiet_after.value_or(Duration{0}),
                           .allowed_lateness = join.allowed_lateness,
                           .live_within = join.live_within};
  std::vector<Batch> closed;
  bool ended = false;
  while (!stop() && !p.failure.happened()) {
    if ((p.barrier_is_due() || p.room_is_doubtful()) && !p.has_room()) {
      if (!p.options.live) throw StoreFullError(p.space.complaint());
      std::this_thread::sleep_for(kLookForRoomEvery);
      if (tick) tick(p.progress());
      continue;
    }
    if (p.barrier_is_due()) p.barrier();
    p.questions.answer_all([&](const std::string& id) { return p.joiner.explain(id); });
    if (p.joiner.pressure() == JoinState::Pressure::kStop) {
      p.wait_for_room();
      continue;
    }
    MILLRACE_FAILPOINT("source.step");
    const PipelineProbe& probe = p.pipeline->probe();
    const std::uint64_t before = probe.events + probe.rows + probe.clock_steps;
    const Pipeline::Step step = p.pipeline->step(kEventsPerStep, closed);
    const bool at_end = step == Pipeline::Step::kAtEnd;
    if (at_end && p.options.live && join.quiet_after) {
      p.pipeline->at_end(p.options.clock(), quiet, closed);
    }
    p.look_for_commands();
    p.dirty |= probe.events + probe.rows + probe.clock_steps != before;
    if (!p.send(closed)) break;
    if (at_end && !p.options.live) {
      ended = true;
      break;
    }
    p.tick(tick);
    if (step != Pipeline::Step::kWorked) {
      const StageTimer waiting(p.stages, Stage::kWaitForEvents);
      p.ends.source->wait(Duration{20});
    }
  }
  p.questions.close();
  if (p.options.flush && ended && !p.failure.happened()) ended = p.flush(stop, tick);
  if (tick) tick(p.progress());
  return ended;
}

// A flush that is stopped half-way has decided a part of what waits; the next one decides the rest.
bool Engine::Parts::flush(const std::function<bool()>& stop,
                          const std::function<void(const Progress&)>& tell) {
  std::vector<Batch> closed;
  bool more = true;
  while (more && !stop() && !failure.happened()) {
    if (barrier_is_due()) {
      if (!has_room()) throw StoreFullError(space.complaint());
      barrier();
    }
    more = pipeline->flush(closed);
    dirty = true;
    if (!send(closed)) break;
    tick(tell);
  }
  return !more;
}

void Engine::finish(Duration deliver_within) {
  Parts& p = *parts_;
  if (p.learner && !p.failure.happened() && p.committer->wait() && p.has_room()) {
    // What is not delivered by then waits in the commit.
    if (!p.ends.dead_letters->flush(deliver_within)) {
      p.options.log("warning",
                    "some dead letters wait for their delivery; the next start sends them");
    }
    p.barrier();
    p.learner->finish();
    p.committer->wait();
  }
  if (p.learner) p.learner->finish();
  p.note_status();
  if (p.failure.happened()) throw LearningError(p.failure.message());
}

void Engine::Parts::tick(const std::function<void(const Progress&)>& tell) {
  const auto now = Clock::now();
  if (now - last_tick < kTickEvery) return;
  last_tick = now;
  note_status();
  dirty |= snapshot_is_due();  // it is taken after a commit
  if (ends.kafka && options.live && store->sequence() != positions_published) {
    positions_published = store->sequence();
    ends.kafka->publish_positions();
  }
  if (tell) tell(progress());
}

void Engine::Parts::note_status() {
  std::vector<PartitionStatus> now;
  for (std::size_t input = 0; ends.kafka && input < ends.kafka->inputs().size(); ++input) {
    now.push_back(
        {ends.kafka->inputs()[input], ends.kafka->position(input), ends.kafka->lag(input)});
  }
  board.change([&](EngineStatus& status) {
    status.partitions = std::move(now);
    if (ends.kafka) status.losses = ends.kafka->losses().counts();
    status.left_out = merge->left_out();
    status.dead_letters_waiting = ends.outbox != nullptr ? ends.outbox->probe().waiting.load() : 0;
    status.decoded = decoder.counts();
  });
}

Progress Engine::Parts::progress() const {
  Progress progress;
  progress.events = pipeline->probe().events;
  if (ends.files) {
    progress.done = ends.files->bytes_read();
    progress.in_all = ends.files->bytes_in_all();
  } else {
    progress.done = progress.in_all = progress.events;
    for (std::size_t input = 0; ends.kafka && input < ends.kafka->inputs().size(); ++input) {
      progress.in_all +=
          static_cast<std::uint64_t>(std::max<std::int64_t>(0, ends.kafka->lag(input)));
    }
  }
  return progress;
}

EventTime Engine::started() const { return parts_->started; }
const Config& Engine::config() const { return parts_->options.config; }
const Failure& Engine::failure() const { return parts_->failure; }
Store& Engine::store() { return *parts_->store; }
const Store& Engine::store() const { return *parts_->store; }
const Schema& Engine::schema() const { return parts_->schema; }

EngineStatus Engine::status() const { return parts_->board.read(); }
bool Engine::holds() const { return parts_->holds(); }
std::shared_ptr<const TrainerReport> Engine::report() const {
  const auto reports = parts_->learner->reports();
  return {reports, &reports->champion()};
}
std::shared_ptr<const TrainerReports> Engine::reports() const { return parts_->learner->reports(); }
const PipelineProbe& Engine::pipeline() const { return parts_->pipeline->probe(); }
const PublisherProbe& Engine::publisher() const { return parts_->publisher->probe(); }
const TrainerProbe& Engine::trainer(std::size_t model) const {
  return parts_->trainers[model].probe();
}
const StageTimes& Engine::stages() const { return parts_->stages; }
std::uint64_t Engine::held(std::size_t reason) const { return parts_->learner->held(reason); }
std::uint64_t Engine::batches() const { return parts_->batches; }
JoinQuestions::Answer Engine::explain(std::string_view impression_id) const {
  return parts_->questions.ask(impression_id, parts_->options.config.serve.join_timeout);
}

std::uint64_t Engine::joins_waited() const { return parts_->joins_waited; }
std::size_t Engine::queued() const { return parts_->learner->queued(); }
std::size_t Engine::queue_capacity() const { return parts_->learner->capacity(); }

}  // namespace millrace
