#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "learner/base/fields.h"
#include "learner/base/state.h"
#include "learner/base/time.h"

namespace millrace {

/// When a task counts as worse than its twin (`twins`).
struct TransferAlarmOptions {
  int block = 2'000;
  int blocks = 50;
  double deviations = 4;
  static constexpr auto fields() {
    using T = TransferAlarmOptions;
    return std::tuple{
        field("block", &T::block, "Rows of a task that are one block of the comparison.", 10,
              10'000'000),
        field("blocks", &T::blocks,
              "The comparison is over so many last blocks; it begins with 20.", 20, 10'000),
        field("deviations", &T::deviations,
              "The alarm rises where the task's loss is above its twin's by more than so many "
              "standard errors of the mean difference, and goes out below half of them.",
              0.5, 100.0)};
  }
};

/// What the comparison says now; of the loss (log loss, or squared error in the label's units).
struct TransferReport {
  std::string task, twin;
  int blocks = 0;         ///< That are compared.
  double difference = 0;  ///< Mean over them: the model's loss minus its twin's.
  double margin = 0;      ///< `deviations` standard errors: the interval is difference ± margin.
  bool alarm = false;
  EventTime since = EventTime::before_all();  ///< Of the alarm: when it rose, by due time.
  std::uint64_t alarms = 0;                   ///< Times that it rose, since the store began;
  std::vector<std::pair<std::string, std::uint64_t>> by_model = {};  ///< the same by champion.
};

/// Watches one task of a model for negative transfer: beside it learns a twin, a model of this task
/// alone, from the same rows. Both score each row before they learn from it; the losses are paired
/// by blocks of rows, and the mean difference of the last blocks has an interval from their spread
/// (batch means, so that what neighbouring rows have in common is in it). Fewer than 20 blocks say
/// nothing. Memory: 8 bytes a block. State: a few numbers and the blocks. Threads: one at a time.
class TransferAlarm {
 public:
  /// What both say of the same rows of one batch.
  struct Losses {
    std::uint64_t rows = 0;
    double weight = 0, loss = 0;  ///< Σ of weights, and of weight · loss.
  };

  explicit TransferAlarm(const TransferAlarmOptions& options) : options_(options) {}

  /// Takes in a batch that ended at `due`. One that either of the two passed over is left out.
  void add(const Losses& model, const Losses& twin, EventTime due);
  /// Forgets what was compared, but not how often it rose: the model is another one now.
  void restart();

  /// Without the names.
  TransferReport report() const;
  /// Times that it rose, ever.
  std::uint64_t alarms() const { return alarms_; }
  /// Whether it rose or went out since the last call.
  bool take_change() { return std::exchange(changed_, false); }

  void save(ByteWriter& writer) const;
  void restore(ByteReader& reader);

 private:
  void close_block(EventTime due);

  const TransferAlarmOptions options_;
  std::uint64_t rows_ = 0;  // of the open block
  double weight_ = 0, excess_ = 0;
  std::vector<double> differences_;  // a ring
  std::uint64_t closed_ = 0;
  bool alarm_ = false, changed_ = false;
  EventTime since_ = EventTime::before_all();
  std::uint64_t alarms_ = 0;
};

}  // namespace millrace
