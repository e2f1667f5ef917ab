#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "learner/base/time.h"
#include "store/free_space.h"
#include "store/options.h"
#include "store/store.h"

namespace millrace {

/// When a daemon takes snapshots of its store: `snapshots.every` after the newest one, after a
/// commit, and before the first commit in which a model's weights are held; none of weights that
/// are held, none where there is no room. Threads: `plan` before the others; `is_due` from any;
/// `take` and `take_last_good` on the committer's.
class SnapshotSchedule {
 public:
  using Log = std::function<void(std::string_view level, const std::string& message)>;

  /// Borrows `space` and `log`.
  SnapshotSchedule(const SnapshotOptions& options, const FreeSpace& space, const Log& log,
                   std::function<EventTime()> clock)
      : options_(options), space_(space), log_(log), clock_(std::move(clock)) {}

  /// The next one is due `every` after the newest of the store; a store's first one early, so that
  /// there soon is something to go back to.
  void plan(const Store& store);
  /// Whether one is to be taken of what is committed now.
  bool is_due(const Store& store) const;
  /// Takes one. `holds`: the weights are held.
  void take(Store& store, bool holds);
  /// The next commit is the first in which a model's weights are held, and the champion's are not
  /// yet: takes one of the last commit in which they were not, as what a later start serves of it,
  /// if it has none. Of what comes and goes often not each time, so that older ones are not pushed
  /// out: not within a tenth of `every`.
  void take_last_good(Store& store);

 private:
  using Clock = std::chrono::steady_clock;
  void take(Store& store);

  const SnapshotOptions options_;
  const FreeSpace& space_;
  const Log& log_;
  const std::function<EventTime()> clock_;
  std::atomic<Clock::time_point> last_{Clock::time_point{}};
  std::optional<Clock::time_point> taken_;  // the newest one
  std::atomic<std::uint64_t> in_last_{0};   // its commit
};

}  // namespace millrace
