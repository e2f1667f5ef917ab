#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ingest/event/event.h"
#include "ingest/join/accounts.h"
#include "ingest/join/joined_row.h"
#include "ingest/join/label_source.h"
#include "ingest/join/options.h"
#include "learner/data/schema.h"

namespace millrace {

/// The join by brute force, written from contract/join.md alone: every rule a loop over all there
/// is, no order of arrival, time or due times is kept anywhere. O(n²), for tests.
class OracleJoin {
 public:
  OracleJoin(std::vector<Task> tasks, EventTypes types, std::vector<LabelSource> labels,
             JoinOptions options);

  /// Takes one event and all that follows from it.
  void take(const Event& event);
  /// Time goes on by the clock.
  void clock(EventTime watermark);
  void flush();

  std::vector<JoinedRow> rows;  ///< All rows so far, in the order in which they are emitted.
  Accounts accounts;            ///< `events` counts what was taken; there are no dead letters.
  EventTime W = EventTime::before_all();
  EventTime F = EventTime::before_all();

 private:
  struct Waiting {
    Impression event;
    std::vector<bool> decided;
    std::vector<double> label;  // of decided tasks, whether or not a row shows it
    std::vector<Outcome> applied;
    std::vector<bool> passed;    // short waits that are over
    std::vector<bool> observed;  // of them: the first row had the label 1
    // dfm: the ages at which labels were looked at, in order, and the age of the last look of which
    // there was a row; none of them: −1
    std::vector<std::vector<Duration>> looked;
    std::vector<Duration> told;
  };
  // What may make a task's rows at once: how things stand with an impression.
  struct Standing {
    std::vector<bool> condition, one;
  };

  void judge(const Impression& impression);
  void judge(const Outcome& outcome);
  void judge(const Sample& sample);
  void apply(Waiting& waiting, const Outcome& outcome, const std::vector<bool>& suppressed);
  void decide_before(EventTime limit, bool flushing);
  void decide_one(std::size_t index, EventTime due, bool flushing);
  void emit(JoinedRow row);
  JoinedRow row_of(const Impression& impression, EventTime due) const;

  bool uses(int task, int type) const;
  bool has_label(int task) const;
  bool is_at_once(int task) const;      // fnw, fnc
  bool has_short_wait(int task) const;  // es_dfm, defer, defuse
  bool has_looks(int task) const;       // dfm
  Duration short_wait_of(int task) const;
  std::vector<int> chain_of(int task) const;  // the task and all its conditions
  Standing standing(const Waiting& waiting) const;
  bool measures_later(const Waiting& waiting) const;
  void changed(Waiting& waiting, const Standing& before, const Standing& after,
               const std::vector<bool>& suppressed);
  void pass(Waiting& waiting, Duration short_wait, bool flushing);
  std::vector<Duration> looks_of(int task) const;
  std::optional<EventTime> first_of(const Waiting& waiting, int task) const;
  std::optional<EventTime> begins(const Waiting& waiting, int task) const;
  std::optional<EventTime> comes(const Waiting& waiting, int task) const;
  void look(Waiting& waiting, int task, Duration age, JoinedRow& row);
  void put(const Waiting& waiting, JoinedRow& row, int task, double label, Origin origin) const;
  void say_final(const Waiting& waiting, int task, double label, EventTime due,
                 JoinedRow& row) const;
  EventTime due_of(const Impression& impression, int task) const;
  double label_of(const Waiting& waiting, int task) const;
  bool condition_holds(const Waiting& waiting, int task) const;
  static bool same(const Outcome& a, const Outcome& b);

  const std::vector<Task> tasks_;
  const EventTypes types_;
  const std::vector<LabelSource> labels_;
  const JoinOptions options_;
  std::vector<Waiting> waiting_;
  std::vector<Outcome> early_;  // in the order in which they came
  EventTime first_accepted_ = EventTime::after_all();
  bool any_decided_ = false;
};

}  // namespace millrace
