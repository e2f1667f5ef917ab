#pragma once

#include <span>
#include <vector>

#include "ingest/join/join_state.h"
#include "ingest/join/joined_row.h"
#include "ingest/join/label_source.h"
#include "ingest/join/windows.h"
#include "learner/data/schema.h"

namespace millrace {

/// The streams of rows that policies of delayed feedback want (algorithms 2.14).
///
///   fnw, fnc        a 0 when the impression is accepted; a 1 when its label becomes 1
///   es_dfm, defer, defuse
///                   the label as it stands at the short wait; a 1 when it becomes 1 after that
///   defer           where that 1 did not come, the final label: each impression has two rows
///   dfm             at each of Windows::looks and when the label is decided, until it is 1: the
///                   label as it was then by the times of the events, and its delay
///
/// A label *becomes 1* when its own outcome and those of all its conditions have been applied,
/// whichever comes last. A task that is trained on its condition's rows alone begins when its
/// condition becomes 1: fnw and fnc with a 0 then, the others with the label as it stands,
/// and no earlier than the short wait. What was begun goes on until the label is decided; a task of
/// fnw or fnc without a condition takes the first outcome that is applied at all.
///
/// What was emitted follows from the outcomes applied, except what was seen at the short wait:
/// ShortWaits, part of the impression.
///
/// dfm goes by the times of outcomes, not by when they arrived, so that it is known of every row
/// what it says (JoinedRow::since, until): its delay counts from the impression, or, of a task that
/// is trained on its condition's rows alone, from when that became 1; it ends when the last outcome
/// of the chain came. A 1 waits for the next look as the 0s beside it do: what came within a time
/// and what did not is trained together, else the 1s of what is new would be there a window before
/// its 0s (math/delay_model.h).
///
/// A task that came under its policy while an impression waited (a migration; `carried`) goes on
/// so:
///
///   no row yet              its label is decided and measured at maturity, once, as under wait
///   a row, now immediate    a 1 where the label becomes 1 after that; no second row of defer; its
///                           final label is measured, and no auxiliary head learns of it
///   a row, now wait         no further row, nor is its label measured: it decides what is given it
///
/// Immutable; any thread.
class Feedback {
 public:
  /// Borrows `schema` and `windows`. `sources` is parallel to schema.tasks().
  Feedback(const Schema& schema, const Windows& windows, std::span<const LabelSource> sources);

  /// Tasks under such a policy whose labels come from impressions.
  const TaskSet& tasks() const { return tasks_; }
  bool any() const { return !tasks_.empty(); }
  /// Whether rows at once can depend on the order in which outcomes waited for their impression.
  bool follows_order() const { return types_at_once_ > 1; }

  /// Each fills a row's columns of labels and origins; the row is to be emitted if it then has a
  /// label. Requires: a blank row.

  /// What an accepted impression emits.
  void accepted(const WaitingImpression& impression, JoinedRow& row) const;
  /// What the first outcome of `type` emits that was applied: at most two rows. The first has every
  /// label that it makes known, the second those 1s whose 0 is in the first. Short waits of
  /// `not_yet` have not passed, whatever the impression says.
  void applied(WaitingImpression& impression, int type, const TaskSet& not_yet, JoinedRow& first,
               JoinedRow& second) const;
  /// The short waits of the open tasks that end at `due` pass.
  void pass(WaitingImpression& impression, EventTime due, JoinedRow& row) const;
  /// Tasks whose short wait is over for an impression of this time, as an impression's passed ones.
  TaskSet passed_before(EventTime impression, EventTime watermark) const;

  /// Whether a row had the label of this task, which is open.
  bool has_begun(const WaitingImpression& impression, int task) const;

  /// A task of `tasks()` is decided: what of its label is trained, measured and learned by the
  /// auxiliary heads. `row` is that of the decision, with `counts` (of the label at its own due
  /// time) set. `first_counts`: whether it would count at the short wait.
  void decided(const WaitingImpression& impression, int task, double label, bool first_counts,
               JoinedRow& row) const;

 private:
  struct Plan {
    FeedbackPolicy policy = FeedbackPolicy::kWait;
    bool on_condition = false;    // trained on the condition's rows alone
    bool reachable = true;        // all conditions can be 1
    int own = -1;                 // type of outcome
    std::vector<int> conditions;  // their types
  };
  const Plan& plan(int task) const { return plans_[static_cast<std::size_t>(task)]; }
  bool condition_holds(const Plan& plan, const WaitingImpression& impression) const;
  bool is_one(const Plan& plan, const WaitingImpression& impression) const;
  void set(const WaitingImpression& impression, int task, double label, Origin origin,
           JoinedRow& row) const;

  // Of dfm.
  struct Story {
    EventTime begins, comes;  // from when the delay counts, and when it became 1; or after_all()
  };
  Story story_of(const Plan& plan, const WaitingImpression& impression) const;
  // The age of the impression at the last look at the task's label; 0 without any.
  Duration last_look(const WaitingImpression& impression, int task) const;
  // What a look at `now` sees of a label, if it has begun and was not 1 before.
  void look(WaitingImpression& impression, int task, EventTime now, JoinedRow& row) const;
  // What its decision adds to that.
  void last(const WaitingImpression& impression, int task, double label, bool first_counts,
            JoinedRow& row) const;
  // `end`: when it came, until when it has not, or after_all().
  void tell(const WaitingImpression& impression, int task, const Story& story, EventTime end,
            JoinedRow& row) const;

  const Windows& windows_;
  std::vector<Plan> plans_;  // by task
  TaskSet tasks_;
  std::vector<int> list_;                  // tasks_, ascending
  std::vector<std::vector<int>> of_type_;  // those whose label an outcome of this type can change
  int types_at_once_ = 0;
};

}  // namespace millrace
