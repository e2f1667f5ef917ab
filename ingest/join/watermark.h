#pragma once

#include <algorithm>

#include "learner/base/time.h"

namespace millrace {

/// W and F (contract/join.md, Watermark): how far event time has come. Neither ever falls. W is
/// where labels are decided, F where rows at once are due; without moves by the clock W is F less
/// the lateness.
struct Watermark {
  EventTime value = EventTime::before_all();   ///< W: what is due before it is decided.
  EventTime newest = EventTime::before_all();  ///< F: the largest event time taken.

  /// An event is being taken: F includes it, for the rows that it causes at once.
  void see(EventTime time) { newest = std::max(newest, time); }
  /// The event was judged: W follows it at the distance of the lateness.
  void follow(EventTime time, Duration allowed_lateness) {
    value = std::max(value, time - allowed_lateness);
  }
  /// All is quiet: time goes on by the clock.
  void follow_clock(EventTime watermark, Duration allowed_lateness) {
    value = std::max(value, watermark);
    newest = std::max(newest, value + allowed_lateness);
  }
};

}  // namespace millrace
