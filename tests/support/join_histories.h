#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/joined_row.h"
#include "ingest/join/label_source.h"
#include "ingest/join/options.h"
#include "learner/base/random.h"
#include "learner/data/schema.h"

namespace millrace {

/// A source of random choices with a fixed seed.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  std::uint32_t next() { return philox(seed_, 0, counter_++)[0]; }
  /// Uniform in [0, n).
  int below(int n) { return static_cast<int>(next() % static_cast<std::uint32_t>(n)); }
  bool chance(double p) { return to_unit(next()) < p; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[static_cast<std::size_t>(below(static_cast<int>(from.size())))];
  }

 private:
  const std::uint64_t seed_;
  std::uint64_t counter_ = 0;
};

/// What a join is configured with.
struct JoinCase {
  std::vector<Task> tasks;
  EventTypes types;
  std::vector<LabelSource> labels;
  JoinOptions options;

  Schema schema() const { return Schema({}, tasks); }
};

/// Any tasks, chains of conditions, windows, aggregates and policies; small numbers, so that edges
/// and equal times are frequent.
JoinCase random_case(Dice& dice);

struct ClockMove {
  EventTime watermark;
};
struct Flush {};
/// One step of a history.
using Step = std::variant<Event, ClockMove, Flush>;

/// Few ids and times, so that everything meets: repetitions, outcomes before and after their
/// impressions, late ones, edges of windows, samples, moves of the clock, a flush.
std::vector<Step> random_history(Dice& dice, const JoinCase& join_case, int length);

/// Events of a well-behaved stream in the order of their times: an impression's id is used once,
/// repetitions are exact copies, no samples. An outcome lies in its impression's window.
std::vector<Event> orderly_events(Dice& dice, const JoinCase& join_case, int impressions);
/// The same events in an order in which none is late.
std::vector<Event> shuffled_within_lateness(Dice& dice, const JoinCase& join_case,
                                            std::vector<Event> events);

/// Everything of a row, as text to compare and to read; without W where that is not to count.
std::string to_text(const JoinedRow& row, bool with_watermark = true);
std::vector<std::string> to_text(const std::vector<JoinedRow>& rows, bool with_watermark = true);
/// A history to read beside a difference.
std::string to_text(const JoinCase& join_case);
std::string to_text(const std::vector<Step>& history);

}  // namespace millrace
