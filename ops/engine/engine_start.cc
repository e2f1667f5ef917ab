#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "learner/base/failpoint.h"
#include "ops/engine/engine_inner.h"
#include "ops/engine/start_versions.h"
#include "store/side_file.h"

// The way of an engine to its first version: what is stored comes back, a higher sequence is
// committed, and the weights are published.
namespace millrace {

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
  p.publish_first(version);
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
  publish_first({sequence, 0});
}

void Engine::Parts::publish_first(VersionNumber version) {
  first_version = version;
  const std::string held =
      StartVersions(options.config, *options.serving, options.served, options.log)
          .publish(trainers, version);
  board.change([&](EngineStatus& status) { status.held_at_start = held; });
}

void Engine::Parts::start_threads() {
  committer =
      std::make_unique<Committer>(*store, failure, stages, [this](std::uint64_t) { landed(); });
  if (options.live) {
    publisher = std::make_unique<Publisher>(
        *options.serving, options.served, first_version, failure,
        [this] { return store->sequence(); }, options.clock);
  }
  std::function<void()> before_held;
  if (options.live) before_held = [this] { snapshots.take_last_good(*store); };
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
                           .before_held = std::move(before_held),
                           .queue = static_cast<std::size_t>(options.config.learner.train.queue),
                           .held = !board.read().held_at_start.empty()});
}

}  // namespace millrace
