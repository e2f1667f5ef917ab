#include "ops/engine/snapshot_schedule.h"

#include <algorithm>
#include <exception>
#include <vector>

namespace millrace {

void SnapshotSchedule::plan(const Store& store) {
  const Duration every = options_.every;
  const std::vector<SnapshotInfo> snapshots = store.snapshots();
  Duration age = every * 9 / 10;
  if (!snapshots.empty()) {
    age = std::clamp(clock_() - snapshots.back().taken, Duration{0}, every);
    taken_ = Clock::now() - age;
  }
  last_ = Clock::now() - age;
}

bool SnapshotSchedule::is_due(const Store& store) const {
  return store.sequence() != in_last_ && Clock::now() - last_.load() >= options_.every;
}

void SnapshotSchedule::take(Store& store, bool holds) {
  last_ = Clock::now();
  // Good ones are not pushed out by what nobody would go back to.
  if (holds) {
    log_("warning", "no snapshot: no version leaves");
    return;
  }
  take(store);
}

void SnapshotSchedule::take_last_good(Store& store) {
  if (store.sequence() == in_last_) return;
  if (taken_ && Clock::now() - *taken_ < options_.every / 10) return;
  take(store);
}

void SnapshotSchedule::take(Store& store) {
  if (!space_.enough()) {
    log_("warning", "no snapshot: " + space_.complaint());
    return;
  }
  try {
    const SnapshotInfo taken = store.snapshot(clock_(), options_.keep);
    in_last_ = taken.commit;
    taken_ = Clock::now();
    log_("info", "snapshot " + taken.name);
  } catch (const std::exception& error) {  // the commit is safe; learning goes on
    log_("error", std::string("no snapshot: ") + error.what());
  }
}

}  // namespace millrace
