#pragma once

#include <algorithm>
#include <cstdint>

#include "learner/base/state.h"
#include "learner/base/time.h"

namespace millrace {

/// The rule of the first day (algorithms 2.2, Cold start). Unclicked rows arrive after minutes and
/// conversions after a day, and a tower that sees only zeros for a day sinks. So a zero that a
/// condition decided counts as missing in a row that is due until t₀ + (the task's due time − t),
/// when the first ones of that task could have come.
///
/// t₀ is the earliest accepted impression's time when W decided the first row. Until then it
/// follows the earliest; afterwards it stays, whatever late impressions are accepted.
class ColdStart {
 public:
  void accepted(EventTime impression) {
    if (!fixed_) start_ = std::min(start_, impression);
  }
  void row_decided() { fixed_ = true; }
  /// `offset`: the task's due time − its impression's time.
  bool covers(EventTime row_due, Duration offset) const { return row_due <= start_ + offset; }

  void save(ByteWriter& writer) const {
    writer.put(start_.ms);
    writer.put(static_cast<std::uint8_t>(fixed_));
  }
  void restore(ByteReader& reader) {
    start_.ms = reader.get<std::int64_t>();
    fixed_ = reader.get<std::uint8_t>() != 0;
  }

 private:
  EventTime start_ = EventTime::after_all();
  bool fixed_ = false;
};

}  // namespace millrace
