#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ingest/join/cold_start.h"
#include "ingest/join/feedback.h"
#include "ingest/join/join_state.h"
#include "ingest/join/joined_row.h"
#include "ingest/join/label_source.h"
#include "ingest/join/windows.h"
#include "learner/data/schema.h"

namespace millrace {

/// Makes labels out of the outcomes that were applied (contract/join.md, Maturity and Label).
/// Threads: one at a time (it holds scratch space).
class Labels {
 public:
  /// Borrows `schema` and `windows`. `sources` is parallel to schema.tasks().
  Labels(const Schema& schema, const Windows& windows, std::vector<LabelSource> sources);

  /// Decides the open labels that are due at `due`, and those given a condition that is decided
  /// now and is not 1. They leave `impression.open`; `row` gets the columns labels, condition and
  /// counts. A label that a policy emits at once is decided, as a condition, but the row says of it
  /// what `feedback` does.
  void decide(WaitingImpression& impression, EventTime due, const ColdStart& cold_start,
              JoinedRow& row);

  /// A row at once begins like this: all labels missing; conditions hold where there are none.
  void blank(JoinedRow& row) const;
  /// Fills the same columns of a row that was joined elsewhere. A condition holds where its own
  /// label in the row is 1.
  void joined(std::vector<double> labels, JoinedRow& row) const;

  /// The streams of the policies of delayed feedback.
  const Feedback& feedback() const { return feedback_; }

 private:
  enum class Decided : std::uint8_t { kNo, kOne, kNotOne };

  Decided condition_of(int task, const TaskSet& open_before) const;
  // The label where the condition holds.
  double own_label(int task, const WaitingImpression& impression);
  double aggregate(const LabelSource& source, const WaitingImpression& impression);

  const Schema& schema_;
  const Windows& windows_;
  const std::vector<LabelSource> sources_;
  const Feedback feedback_;
  std::vector<Decided> decided_;  // by task: in the row being made
  // Scratch: the values of one type, to be ordered.
  struct Applied {
    EventTime time;
    double value;
  };
  std::vector<Applied> values_;
};

}  // namespace millrace
