#include "ops/engine/engine.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

#include "ingest/sink/kafka_dead_letters.h"
#include "ingest/sink/row_file.h"
#include "learner/base/failpoint.h"
#include "learner/train/trainers.h"
#include "ops/config/load.h"
#include "ops/config/models.h"
#include "ops/engine/committer.h"
#include "ops/engine/parts.h"
#include "ops/engine/snapshot_schedule.h"
#include "ops/engine/stream_ends.h"
#include "store/free_space.h"
#include "store/side_file.h"

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

struct Engine::Parts {
  explicit Parts(EngineOptions o)
      : options(std::move(o)),
        schema(options.config.schema()),
        started(options.clock()),
        service(config_identity(options.config), print_config(options.config), started),
        decoder(schema, options.config.events),
        joiner(schema, options.config.events, options.config.labels, options.config.join),
        dead_letter_watch(options.config.learner.guardrails.dead_letters),
        batcher(schema, options.config.learner.train.batch,
                options.config.learner.train.batch_span),
        sampling(schema, options.config.learner.train),
        user_cap(options.config.learner.guardrails.user_cap),
        trainers(model_plans(options.config), options.config.twins.alarm),
        space(options.config.store.path,
              static_cast<std::uint64_t>(options.config.store.free_space.value)),
        snapshots(options.config.store.snapshots, space, options.log, options.clock),
        questions(static_cast<std::size_t>(options.config.serve.max_join_queue)) {}

  EngineOptions options;
  const Schema schema;
  const EventTime started;
  Failure failure;
  std::unique_ptr<Store> store;
  ServiceState service;

  StreamEnds ends;
  Decoder decoder;
  std::unique_ptr<Merge> merge;
  Joiner joiner;
  DeadLetterWatch dead_letter_watch;
  Batcher batcher;
  Sampling sampling;
  UserCap user_cap;
  std::unique_ptr<RowFile> rows;
  std::unique_ptr<Pipeline> pipeline;
  std::vector<Participant*> before_trainer;  // in the order of the commit

  StageTimes stages;
  StageSampler sampler{stages};
  Trainers trainers;
  const FreeSpace space;
  SnapshotSchedule snapshots;
  std::unique_ptr<Committer> committer;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<LearnerThread> learner;

  std::atomic<std::uint64_t> batches{0};  // handed to the trainer
  JoinQuestions questions;
  std::atomic<std::uint64_t> joins_waited{0};  // times that taking waited for the join's memory
  bool dirty = false;                          // something changed since the last barrier
  Clock::time_point last_barrier = Clock::now(), last_tick = Clock::now(), last_look{};
  std::uint64_t positions_published = 0;
  std::uint64_t commands = 0;  // that were seen to be carried out
  bool hurried = false;        // somebody waits for the next commit

  StatusBoard board;

  bool from_files() const { return !options.files.empty(); }
  void check_identity() const;
  void restore();
  void follow_models();
  void make_merge();
  Commit commit_without_trainer(std::uint64_t sequence, std::span<const Cleaning> cleanings);
  void first_commit();
  void serve_a_snapshot(std::uint64_t sequence, const std::string& held);
  void landed();
  bool snapshot_is_due() const { return options.live && snapshots.is_due(*store); }
  void look_for_commands();
  void commit_commands();
  bool holds() const {
    return learner->holds() || !learner->reports()->champion().guardrails.held.empty();
  }
  void start_threads();
  void barrier();
  bool barrier_is_due() const;
  void wait_for_room();
  bool room_is_doubtful() const { return Clock::now() - last_look >= kTickEvery; }
  bool has_room();
  bool send(std::vector<Batch>& closed);
  CommittedCounts counts() const {
    return {joiner.accounts(), sampling.dropped(), user_cap.counts(), joiner.label_delays()};
  }
  void note_status();
  void tick(const std::function<void(const Progress&)>& tell);
  Progress progress() const;
  bool flush(const std::function<bool()>& stop, const std::function<void(const Progress&)>& tell);
};

Result<std::unique_ptr<Engine>> Engine::make(EngineOptions options) {
  if (options.live && !options.config.store.commit_every) {
    return Error{"store.commit_every: off is for `replay`; expected a duration"};
  }
  if (options.live) {
    const std::vector<ModelPlan> plans = model_plans(options.config);
    const auto may_serve = [](const ModelPlan& plan) { return plan.projection.has_all_tasks(); };
    if (std::none_of(plans.begin(), plans.end(), may_serve)) {
      return Error{"models: none has every task; expected one whose scores can be served"};
    }
  }
  auto parts = std::make_unique<Parts>(std::move(options));
  parts->options.stopping = [p = parts.get(), asked = std::move(parts->options.stopping)] {
    p->commit_commands();
    return asked && asked();
  };
  auto ends = make_stream_ends(parts->options);
  if (!ends) return ends.error();
  parts->ends = std::move(ends).value();
  parts->before_trainer = parts->ends.participants;
  parts->before_trainer.push_back(&parts->joiner);
  parts->before_trainer.push_back(&parts->dead_letter_watch);
  parts->before_trainer.push_back(&parts->batcher);
  parts->before_trainer.push_back(&parts->sampling);
  parts->before_trainer.push_back(&parts->user_cap);
  parts->before_trainer.push_back(&parts->service);
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Engine::~Engine() {
  // Threads first, in the direction of the data; what they borrow goes with the parts. A commit
  // that lands meanwhile still asks the learner whether its weights are held.
  if (parts_->learner) parts_->learner->finish();
  parts_->publisher.reset();
  parts_->committer.reset();
  parts_->learner.reset();
}

void Engine::Parts::check_identity() const {
  if (service.stored_identity().empty()) return;
  const std::string difference =
      identity_difference(service.stored_identity(), config_identity(options.config));
  if (!difference.empty()) throw IdentityError(difference);
}

void Engine::Parts::restore() {
  store->restore(service);
  check_identity();
  for (Participant* participant : before_trainer) {
    if (participant != &service) store->restore(*participant);
  }
  trainers.for_each([&](Trainer& trainer) { store->restore(trainer); });
  store->restore(trainers);
}

// Models come and go with the configuration: one that came begins anew, one that went leaves
// nothing behind. Requires: nothing was written yet.
void Engine::Parts::follow_models() {
  if (service.stored_identity().empty()) return;
  std::set<std::string> before, now;
  for (const std::string& name : identity_models(service.stored_identity())) before.insert(name);
  trainers.for_each([&](const Trainer& trainer) {
    now.insert(trainer.name());
    if (!before.contains(trainer.name())) {
      options.log("info", "model " + trainer.name() + " is new to the store and begins anew");
    }
  });
  for (const std::string& name : before) {
    if (now.contains(name)) continue;
    store->forget("model/" + name);
    options.log("warning", "model " + name +
                               " is not in the configuration any more: what it had learned is "
                               "removed from the store");
  }
  if (const auto& lost = trainers.lost_champion()) {
    options.log("warning", "the champion was " + *lost +
                               ", which is none of the models now; it is " +
                               trainers.champion().name());
  }
}

void Engine::open() {
  Parts& p = *parts_;
  if (!p.space.enough()) throw StoreFullError(p.space.complaint());
  p.store = Store::open(p.options.config.store.path, Store::Access::kWrite);
  if (const auto lost = p.store->lost()) {
    p.options.log("error", "the commits " + std::to_string(lost->recovered + 1) + " to " +
                               std::to_string(lost->acknowledged) +
                               " were acknowledged and are lost (the end of the write-ahead log is "
                               "damaged); going on from commit " +
                               std::to_string(lost->recovered) + ", its events are taken again");
  }
  if (p.store->acknowledged_damaged()) {
    p.options.log("warning", p.options.config.store.path +
                                 "/acknowledged cannot be read: whether commits after commit " +
                                 std::to_string(p.store->sequence()) +
                                 " are lost is not known; the next commit writes it anew");
  }
  p.restore();
  p.follow_models();
  MILLRACE_FAILPOINT("recovery.restored");

  if (p.options.rows) p.rows = std::make_unique<RowFile>(*p.options.rows, p.schema);
  if (p.options.observe) p.options.observe(p.trainers);
  p.make_merge();
  p.snapshots.plan(*p.store);
  p.first_commit();
  p.start_threads();
}

bool Engine::show() {
  Parts& p = *parts_;
  const std::string& path = p.options.config.store.path;
  VersionNumber version;
  if (Store::exists(path)) {
    p.store = Store::open(path, Store::Access::kRead);
    p.restore();
    version.commit = name_without_commit(path, p.store->sequence());
  }
  p.options.serving->apply(p.trainers.publish(), version);
  if (!p.store) return false;
  p.make_merge();
  p.board.at_barrier(p.counts());
  p.board.committed();
  p.start_threads();
  return true;
}

void Engine::connect() {
  if (parts_->ends.kafka) parts_->ends.kafka->start();
  if (parts_->ends.files) parts_->ends.files->start();
}

void Engine::Parts::make_merge() {
  MergeOptions merge_options;
  if (options.live) merge_options.idle_after = options.config.join.idle_after;
  merge_options.max_skew = options.config.join.max_skew;
  merge_options.max_record = static_cast<std::size_t>(options.config.kafka.max_record.value);
  merge_options.lines = from_files();
  merge_options.clock = options.clock;
  merge_options.stages = &sampler;
  if (from_files()) {
    merge_options.clock = [first = service.first_start()] { return first; };
  }
  merge = std::make_unique<Merge>(*ends.source, decoder, merge_options);
  Pipeline::Parts pipeline_parts{*ends.source,      *merge, joiner,   batcher,  *ends.dead_letters,
                                 dead_letter_watch, {},     sampling, user_cap, sampler};
  if (rows) pipeline_parts.row_seen = [this](const JoinedRow& row) { rows->write(row); };
  pipeline = std::make_unique<Pipeline>(std::move(pipeline_parts));
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

// Each start commits a higher sequence before the first version, so that a version never names two
// sets of weights.
void Engine::Parts::first_commit() {
  const std::uint64_t sequence = store->sequence() + 1;
  Commit commit = commit_without_trainer(sequence, {});
  save_models(trainers, {}, commit);
  MILLRACE_FAILPOINT("recovery.before_first_commit");
  store->write(commit);
  MILLRACE_FAILPOINT("recovery.after_first_commit");
  board.at_barrier(counts());
  board.committed();
  if (!options.live) return;
  const std::string held(trainers.champion().held());
  board.change([&](EngineStatus& status) { status.held_at_start = held; });
  if (!held.empty()) {
    serve_a_snapshot(sequence, held);
    return;
  }
  options.serving->apply(trainers.publish(), {sequence, 0});
}

// The weights of a start are held: something else is served. Its number names nothing else, as no
// version of this commit's own weights leaves under it.
void Engine::Parts::serve_a_snapshot(std::uint64_t sequence, const std::string& held) {
  const std::string what = "the store's weights are not served (" + held + "); ";
  const std::string advice = ". Roll back to a snapshot, or resume learning to serve them anyway";
  if (options.serving->has_version()) {
    options.log("error", what + "the last good version is served on" + advice);
    return;
  }
  const SnapshotFolder folder(options.config.store.path + "/snapshots");
  const std::vector<SnapshotInfo> snapshots = folder.list();
  for (auto snapshot = snapshots.rbegin(); snapshot != snapshots.rend(); ++snapshot) {
    try {
      const auto copy = Store::open(folder.folder_of(*snapshot).string(), Store::Access::kRead);
      Trainers old(model_plans(options.config));
      copy->restore(old);
      copy->restore(old.champion());
      if (!old.champion().held().empty()) continue;
      options.serving->apply(old.publish(), {sequence, 0});
      options.log("error", what + "those of the snapshot " + snapshot->name + " are" + advice);
      return;
    } catch (const std::exception& error) {
      options.log("warning",
                  "the snapshot " + snapshot->name + " cannot be served: " + error.what());
    }
  }
  options.log("error", what + "no snapshot is good either, so nothing is served" + advice);
}

void Engine::Parts::start_threads() {
  committer =
      std::make_unique<Committer>(*store, failure, stages, [this](std::uint64_t) { landed(); });
  if (options.live) {
    publisher = std::make_unique<Publisher>(
        *options.serving, options.served, failure, [this] { return store->sequence(); },
        options.clock);
  }
  learner = std::make_unique<LearnerThread>(
      LearnerThread::Parts{.trainers = trainers,
                           .committer = *committer,
                           .failure = failure,
                           .stages = stages,
                           .publisher = publisher.get(),
                           .publish_every = options.config.serve.publish_every,
                           .publishes_all = options.served != nullptr,
                           .commands = options.commands,
                           .log = options.log,
                           .queue = static_cast<std::size_t>(options.config.learner.train.queue),
                           .held = !board.read().held_at_start.empty()});
}

// On the committer's thread, after each commit.
void Engine::Parts::landed() {
  board.committed();
  if (snapshot_is_due()) snapshots.take(*store, holds());
}

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
