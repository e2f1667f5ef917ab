#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "learner/base/queue.h"
#include "learner/base/stages.h"
#include "learner/data/batch.h"
#include "learner/train/commands.h"
#include "learner/train/trainer.h"
#include "learner/train/trainers.h"
#include "ops/engine/committer.h"
#include "ops/engine/failure.h"
#include "ops/engine/publisher.h"

namespace millrace {

/// Why a version that was due did not leave (Trainer::held).
inline constexpr std::array<std::string_view, 2> kHeldReasons{"unbounded", "loss"};

/// Travels with the batches: everything before it belongs to its commit.
struct Barrier {
  Commit commit;  ///< With the parts of those who came before the trainer.
  std::vector<Cleaning> cleanings;
};

/// The trainer's thread: takes batches and barriers in their order, trains every model, completes
/// commits, and publishes the champion's changes. The queue before it is the back-pressure on
/// ingest. Threads: `send` on the ingest thread; `report` on any.
class LearnerThread {
 public:
  struct Parts {
    Trainers& trainers;
    Committer& committer;
    Failure& failure;
    StageTimes& stages;
    Publisher* publisher = nullptr;  ///< Null: nothing is published.
    Duration publish_every{500};
    bool publishes_all = false;           ///< Models beside the champion, too (but no twins).
    TrainerCommands* commands = nullptr;  ///< Null: no administrator.
    /// Of what the guardrails do; may be empty.
    std::function<void(std::string_view level, const std::string& message)> log = {};
    /// Called on the committer's thread while the last commit is that before the first one in which
    /// a model that is served is held; may be empty.
    std::function<void()> before_held = {};
    std::size_t queue = 64;  ///< Batches and barriers that may wait.
    bool held = false;       ///< The weights as they are were held; they may leave later.
  };
  explicit LearnerThread(Parts parts);
  /// Works off what was sent, then ends.
  ~LearnerThread();

  /// Waits for room. False where learning has failed.
  bool send(Batch batch);
  bool send(Barrier barrier);
  /// No more will be sent; returns when everything sent has been worked off.
  void finish();

  /// Commands that were carried out, ever; they wait for a commit.
  std::uint64_t commands() const { return parts_.commands ? parts_.commands->carried_out() : 0; }
  /// Whether the last due version was held.
  bool holds() const { return holds_; }
  /// Due publications that were held since the start, by kHeldReasons.
  std::uint64_t held(std::size_t reason) const { return held_counts_[reason]; }

  /// What was known of the models not long ago.
  std::shared_ptr<const TrainerReports> reports() const;
  std::size_t queued() const { return queue_.size(); }
  std::size_t capacity() const { return queue_.capacity(); }

 private:
  /// One of the two.
  struct Message {
    std::unique_ptr<Batch> batch;
    std::unique_ptr<Barrier> barrier;
  };
  void work();
  void train(const Batch& batch);
  void complete(Barrier& barrier);
  bool is_newly_held();
  void publish_if_due();
  std::vector<NamedPublication> others();
  void carry_out_commands();
  void close_commands(const std::string& reason);
  CommandAnswer carry_out(const TrainerCommand& command);
  CommandAnswer freeze_or_resume(const TrainerCommand& command);
  CommandAnswer change_champion(const std::string& name);
  void log_notices();
  void log(std::string_view level, const std::string& message) const;
  void refresh_report(bool whole = false);

  Parts parts_;
  BoundedQueue<Message> queue_;
  bool unpublished_ = false;
  std::vector<bool> held_models_;  ///< By the last barrier.
  std::string held_;               ///< Why the last due publication was held; empty: it left.
  std::atomic<bool> holds_{false};
  std::array<std::atomic<std::uint64_t>, kHeldReasons.size()> held_counts_{};
  std::chrono::steady_clock::time_point last_publish_, last_report_;
  mutable std::mutex report_mutex_;
  std::shared_ptr<const TrainerReports> reports_;
  std::thread thread_;
};

}  // namespace millrace
