#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace {

/// What the time of the path from a record to a commit goes into.
enum class Stage : std::uint8_t {
  kFetch,           ///< Taking records out of the source.
  kDecode,          ///< Record → event, features encoded.
  kJoin,            ///< Event → rows.
  kEncode,          ///< Row → batch.
  kTrain,           ///< The trainer's steps.
  kCommit,          ///< Gathering what changed, on both threads, and writing it on a third.
  kWaitForEvents,   ///< The ingest thread has nothing to take.
  kWaitForTrainer,  ///< The ingest thread finds the trainer's queue full.
};
inline constexpr std::array<std::string_view, 8> kStageNames{
    "fetch", "decode", "join", "encode", "train", "commit", "wait_for_events", "wait_for_trainer"};

/// Seconds by stage since the start of the process. Any thread.
class StageTimes {
 public:
  using Clock = std::chrono::steady_clock;

  void add(Stage stage, Clock::duration time, std::uint32_t weight = 1) {
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
    at(stage).fetch_add(static_cast<std::uint64_t>(ns) * weight, std::memory_order_relaxed);
  }
  double seconds(Stage stage) const {
    return static_cast<double>(ns_[static_cast<std::size_t>(stage)].load()) * 1e-9;
  }

 private:
  std::atomic<std::uint64_t>& at(Stage stage) { return ns_[static_cast<std::size_t>(stage)]; }
  std::array<std::atomic<std::uint64_t>, kStageNames.size()> ns_{};
};

/// Adds the time until its end to a stage.
class StageTimer {
 public:
  /// Borrows `times`.
  StageTimer(StageTimes& times, Stage stage) : times_(times), stage_(stage) {}
  ~StageTimer() { times_.add(stage_, StageTimes::Clock::now() - begin_); }
  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  StageTimes& times_;
  const Stage stage_;
  const StageTimes::Clock::time_point begin_ = StageTimes::Clock::now();
};

/// Splits the time of a thread whose items (events) are too short to be timed each: one in `kEvery`
/// is, and counts for all. Threads: one at a time.
class StageSampler {
 public:
  static constexpr std::uint32_t kEvery = 13;

  /// Borrows `times`.
  explicit StageSampler(StageTimes& times) : times_(times) {}

  /// The next item begins with this stage.
  void begin(Stage stage) {
    if (++items_ % kEvery == 0) start(stage, kEvery);
  }
  /// One long item begins, which is timed in any case.
  void begin_long(Stage stage) { start(stage, 1); }
  /// What follows belongs to this stage.
  void go_on(Stage stage) {
    if (weight_ == 0) return;
    const auto now = StageTimes::Clock::now();
    times_.add(stage_, now - since_, weight_);
    since_ = now;
    stage_ = stage;
  }
  /// The item is over.
  void end() {
    go_on(stage_);
    weight_ = 0;
  }

 private:
  void start(Stage stage, std::uint32_t weight) {
    weight_ = weight;
    stage_ = stage;
    since_ = StageTimes::Clock::now();
  }

  StageTimes& times_;
  std::uint64_t items_ = 0;
  std::uint32_t weight_ = 0;  // 0: this item is not timed
  Stage stage_ = Stage::kFetch;
  StageTimes::Clock::time_point since_;
};

}  // namespace millrace
