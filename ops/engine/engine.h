#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "ingest/pipeline.h"
#include "learner/base/stages.h"
#include "learner/publish/served_models.h"
#include "learner/publish/serving_model.h"
#include "learner/train/trainers.h"
#include "ops/config/config.h"
#include "ops/engine/engine_status.h"
#include "ops/engine/failure.h"
#include "ops/engine/join_questions.h"
#include "ops/engine/learner_thread.h"
#include "ops/engine/publisher.h"
#include "store/store.h"

namespace millrace {

/// The store was made with another configuration of what may not change; the message names it.
struct IdentityError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Something outside failed and stopped learning; the message says what.
struct LearningError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using EngineLog = std::function<void(std::string_view level, const std::string& message)>;

struct EngineOptions {
  Config config;
  /// `run`: follows the stream and the clock, and publishes to scorers. Otherwise `replay`: goes up
  /// to the present ends and stops.
  bool live = false;
  ServingModel* serving = nullptr;  ///< Of `run`: where versions are published; outlives engines.
  ServedModels* served = nullptr;   ///< As that, for models beside the champion; null: no others.
  std::vector<std::string> files = {};                      ///< Replay of files; none: Kafka.
  bool flush = false;                                       ///< Decide all that waits at the end.
  std::optional<std::string> rows = {}, dead_letters = {};  ///< Paths.
  std::function<EventTime()> clock = {};
  EngineLog log = {};
  /// Is shown the models before they learn; they outlive what it makes them call.
  std::function<void(Trainers&)> observe = {};
  TrainerCommands* commands = nullptr;  ///< Of an administrator; outlives the engine.
  std::function<bool()> stopping = {};  ///< Asked while the start waits for the broker.
};

/// Progress of a replay, in bytes (files) or records (Kafka).
struct Progress {
  std::uint64_t events = 0;
  std::uint64_t done = 0, in_all = 0;
};

/// The whole path in one object: source, join, trainer, commits and versions, each on its thread.
///
/// Life: make → open → connect → run → finish. After a failure an engine is of no more use: it
/// goes, and a new one restores the last commit. Threads: these from one thread; what is read from
/// outside (`status`, `report`, the probes) from any, once `open` has returned.
class Engine {
 public:
  /// Error: the configuration asks for something that only a library can judge (a Kafka property).
  static Result<std::unique_ptr<Engine>> make(EngineOptions options);
  ~Engine();

  /// Opens the store, restores everything, commits a higher sequence and publishes the first
  /// version of every model that is served; of those whose weights the guardrails hold, their last
  /// good ones (StartVersions). Throws IdentityError, StoreError (StoreFullError where less than
  /// `store.free_space` is free).
  void open();

  /// Instead of `open`: publishes what the last commit holds and can tell of it all that an engine
  /// tells; writes nothing but the number that the version is named by. For a start that waits for
  /// room on the disk. Returns whether there is a store; without one nothing may be read. Throws as
  /// `open`.
  bool show();

  /// Goes to the source: files, or the broker, which it waits for. What is published is served
  /// meanwhile. Throws SourceError.
  void connect();

  /// Takes events until `stop` says so, the end is reached (replay) or learning fails. `tick` is
  /// called a few times a second. Returns whether the end was reached. While less than
  /// `store.free_space` is free a daemon takes nothing (`paused`); a replay ends by StoreFullError.
  bool run(const std::function<bool()>& stop, const std::function<void(const Progress&)>& tick);

  /// Commits what is there and ends all threads; waits for dead letters at most so long. Throws
  /// LearningError if learning failed.
  void finish(Duration deliver_within = Duration{10'000});

  EventTime started() const;  ///< When the object was made, by the wall clock.
  const Config& config() const;
  const Failure& failure() const;
  Store& store();
  const Store& store() const;
  const Schema& schema() const;

  EngineStatus status() const;
  /// Whether the guardrails hold the weights as they are, as far as was seen: a snapshot of them
  /// would be none to go back to.
  bool holds() const;
  std::shared_ptr<const TrainerReport> report() const;  ///< Of the champion.
  std::shared_ptr<const TrainerReports> reports() const;
  const PipelineProbe& pipeline() const;
  const PublisherProbe& publisher() const;
  const TrainerProbe& trainer(std::size_t model) const;  ///< By its place in `reports`.
  const StageTimes& stages() const;
  std::uint64_t held(std::size_t reason) const;  ///< Publications held, by kHeldReasons.
  std::uint64_t batches() const;                 ///< Handed to the trainer since the start.
  /// What the join knows of one impression; nothing where that is nothing. Answered between two
  /// steps. Error: no answer within serve.join_timeout, or none will come.
  JoinQuestions::Answer explain(std::string_view impression_id) const;
  std::uint64_t joins_waited() const;  ///< Times that taking waited for the join's memory.
  std::size_t queued() const;
  std::size_t queue_capacity() const;

 private:
  struct Parts;
  explicit Engine(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
