#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/join/joined_row.h"
#include "learner/base/time.h"

namespace millrace {

/// An impression or an outcome that the join refused; the words are those of the accounts.
struct Refusal {
  int type = -1;  ///< Of an outcome; −1: an impression.
  EventTime time;
  std::optional<std::string> event_id = {};
  std::string_view reason;  ///< "late", "duplicate", "out_of_window", "unmatched", "unused".
};

/// The last refusals and the last decided rows of the join, to explain single impressions with. Not
/// part of any commit: it begins anew at each start.
/// Memory: at most `capacity` of both: of a row 32 bytes and 8 a task, of a refusal 80 and a long
/// event id. Cost: O(1) to remember, O(capacity) to look up. Threads: one at a time.
class JoinHistory {
 public:
  JoinHistory(std::size_t tasks, std::size_t capacity) : tasks_(tasks), capacity_(capacity) {}

  void refused(std::string_view impression_id, Refusal refusal);
  /// A row of a waiting impression was emitted; `finished`: its last.
  void decided(std::string_view impression_id, const JoinedRow& row, bool finished);

  /// What is known of one impression, oldest first.
  std::vector<Refusal> refusals_of(std::string_view impression_id) const;
  struct Decision {
    EventTime time;  ///< Of the impression.
    EventTime due;
    bool finished = false;
    std::vector<double> labels = {};  ///< By task; NaN: not in this row.
  };
  std::vector<Decision> decisions_of(std::string_view impression_id) const;

  std::size_t refusals() const { return refusals_.size(); }
  std::size_t decisions() const { return decisions_.size(); }

 private:
  struct Refused {
    std::uint64_t hash;  // of the id: another of the same hash is as good as impossible
    Refusal refusal;
  };
  struct Decided {
    std::uint64_t hash;
    EventTime time, due;
    bool finished;
  };

  const std::size_t tasks_, capacity_;
  // Rings: the oldest stands at next_…, once they are full.
  std::vector<Refused> refusals_;
  std::vector<Decided> decisions_;
  std::vector<double> labels_;  // [decisions, tasks]
  std::size_t next_refusal_ = 0, next_decision_ = 0;
};

}  // namespace millrace
