#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>

#include "ops/engine/engine.h"
#include "serve/learning_status.h"
#include "store/rollback.h"

namespace millrace {

/// Keeps learning alive while scores are served: what fails outside (the disk, a commit, the
/// source, a training step) costs the engine, not the process. The engine goes, the database is
/// closed, and after a pause a new engine restores the last commit and goes on; the first commit of
/// each makes versions rise. Where a policy says to stop (another configuration, lost positions,
/// the store is another's) learning stays down with its reason. What is served is not touched until
/// the next engine publishes.
///
/// Threads: `start` and `run` on one; the rest from any.
class Supervisor {
 public:
  struct Options {
    EngineOptions engine;  ///< With `live` and `serving`.
    Duration least_pause{1'000}, most_pause{60'000};
    /// Called before an engine goes, while nobody else reads it.
    std::function<void(const Engine&)> before_end = {};
  };
  explicit Supervisor(Options options);
  ~Supervisor();

  /// Opens the first engine, which publishes the first version. Where there is too little room on
  /// the disk, what was committed is published, and `run` waits for room.
  /// Throws as Engine::open: a start that cannot serve ends.
  void start();

  /// Learns until `stop` is set, whatever fails in between. `tick` is called a few times a second.
  /// Throws what a policy says of the first engine's source: such a start ends, too.
  void run(const std::atomic<bool>& stop, const std::function<void(const Progress&)>& tick);

  /// The last commit. Returns whether learning ended well. The engine stays readable.
  bool finish();

  LearningStatus status() const;

  /// Calls `reader` with the engine, which stays until it returns; with null while there is none.
  void read(const std::function<void(const Engine*)>& reader) const;

  /// The same for what the engine answers on its own threads; not called while there is none.
  void ask(const std::function<void(Engine&)>& question) const;

  /// A snapshot of the last commit. Error: why none was made.
  Result<SnapshotInfo> snapshot();

  /// Goes back to a snapshot: learning stops, the store is rolled back, learning starts again and
  /// publishes. Waits for all of it. Error: why not; before the store was touched nothing stopped.
  Result<RolledBack, RollbackRefusal> roll_back(const std::string& snapshot, Offsets offsets);

  /// Rollbacks that were asked for here since the process began, by Offsets.
  struct Rollbacks {
    std::atomic<std::uint64_t> done{0}, refused{0};
  };
  const std::array<Rollbacks, 2>& rollbacks() const { return rollbacks_; }

  /// Commits and snapshots that failed in engines that are gone.
  std::uint64_t past_failures() const { return past_failures_; }

 private:
  struct Request {
    std::string snapshot;
    Offsets offsets;
    std::optional<Result<RolledBack, RollbackRefusal>> answer;  // under mutex_
  };
  using Stop = std::function<bool()>;
  using Tick = std::function<void(const Progress&)>;

  std::unique_ptr<Engine> make_engine() const;
  void open();
  void end_engine();
  void learn(const Stop& stop, const Tick& tick);
  void wait(const Stop& stop, const Tick& tick);
  void open_again();
  void failed(const std::exception& error, bool is_policy);
  void serve_request();
  Result<RolledBack, RollbackRefusal> ask_for_rollback(const std::string& snapshot,
                                                       Offsets offsets);
  Result<Ok, RollbackRefusal> check_snapshot(const std::string& name) const;
  void set_state(LearningStatus::State state, const std::string& reason);
  bool has_room() const;

  const Options options_;
  const EngineLog& log_;
  std::unique_ptr<Engine> engine_;  // changed by the running thread, under engine_mutex_
  bool connected_ = false, ever_connected_ = false;
  Duration pause_;
  std::atomic<std::uint64_t> past_failures_{0};
  std::array<Rollbacks, 2> rollbacks_;
  mutable std::shared_mutex engine_mutex_;

  mutable std::mutex mutex_;
  std::condition_variable answered_;
  LearningStatus status_;       // under mutex_
  Request* request_ = nullptr;  // under mutex_
  bool ended_ = false;          // under mutex_: nobody answers requests any more
  std::atomic<bool> requested_{false};
};

}  // namespace millrace
