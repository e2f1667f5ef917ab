#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ingest/sink/row_file.h"
#include "ops/config/load.h"
#include "ops/config/models.h"
#include "ops/engine/committer.h"
#include "ops/engine/engine.h"
#include "ops/engine/parts.h"
#include "ops/engine/snapshot_schedule.h"
#include "ops/engine/stream_ends.h"
#include "store/free_space.h"

namespace millrace {

/// What an Engine is made of: engine_start.cc is the way to the first version, engine.cc what runs
/// from then on.
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
  VersionNumber first_version;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<LearnerThread> learner;

  std::atomic<std::uint64_t> batches{0};  // handed to the trainer
  JoinQuestions questions;
  std::atomic<std::uint64_t> joins_waited{0};  // times that taking waited for the join's memory
  bool dirty = false;                          // something changed since the last barrier
  std::chrono::steady_clock::time_point last_barrier = std::chrono::steady_clock::now(),
                                        last_tick = last_barrier, last_look{};
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
  void publish_first(VersionNumber version);
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
  bool room_is_doubtful() const;
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

}  // namespace millrace
