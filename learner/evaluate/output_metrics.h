#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/evaluate/grouped_auc.h"
#include "learner/evaluate/history.h"
#include "learner/evaluate/options.h"
#include "learner/evaluate/slices.h"
#include "learner/evaluate/sliding_auc.h"
#include "learner/evaluate/tally.h"
#include "learner/evaluate/window.h"

namespace millrace {

/// The windows of event time that the options ask for, by their names: "1h".
std::vector<std::pair<std::string, Duration>> spans_of(const EvaluateOptions& options);

/// Figures of a window or a slice.
struct NamedFigures {
  std::string name;
  Figures figures;
};

/// What is known of one output.
struct OutputReport {
  Figures all;                           ///< Since the store began.
  Figures window;                        ///< The last 100,000 rows, by pieces.
  Figures last_fifth;                    ///< The last fifth of the rows since this object was made.
  std::vector<NamedFigures> spans;       ///< Windows of event time, by length: "1h".
  std::vector<NamedFigures> slices;      ///< Of the last 100,000 rows, where rows are sliced.
  std::optional<GroupedAucFigure> gauc;  ///< Of binary outputs, where it is taken.
  std::optional<SlidingAucFigure> exact_auc;  ///< Of binary outputs, where it is taken.
  /// Null where none is kept.
  std::shared_ptr<const std::vector<HistoryPoint>> history;
};

/// Where a measured row belongs, beside its figures.
struct RowPlace {
  std::uint64_t user = 0;  ///< 0: none.
  int slice = 0;           ///< Where rows are sliced.
};

/// The metrics of one output of a model. Memory: three tallies and at most 150 sparse ones; with
/// all that is optional (options.h): 16 bytes a row for the AUC within users, 80 for the exact one,
/// a tally and 23 sparse ones a window of event time, a tally and 19 sparse ones a slice, a tally
/// and the points of the history.
class OutputMetrics {
 public:
  /// `name`: of its values in the saved state, e.g. "metrics/ctr". Borrows `slices` (null: rows are
  /// not sliced).
  OutputMetrics(std::string name, bool binary, const EvaluateOptions& options = {},
                const SliceKeys* slices = nullptr);

  /// Event time has come to `now`: windows of it move on, and rows that are added are of it.
  void advance(EventTime now);
  void add(const Measurement& measurement, const RowPlace& place = {});

  Figures all() const { return all_.figures(); }
  Figures window() const { return window_.tally().figures(); }
  Figures last_fifth() const { return last_fifth_.tally().figures(); }

  /// Makes the report anew if anything changed since it was made. Cost: some hundred microseconds,
  /// a millisecond for each 10,000 rows of the AUC within users.
  void refresh() const;
  bool is_stale() const { return stale_; }
  /// As of the last `refresh`.
  const OutputReport& report() const { return report_; }

  /// The values name/all, name/window and its pieces, and those of the optional parts, where they
  /// changed since the last call.
  void save(StateChanges& changes);
  /// Returns whether the value is one of this output's; those of parts that the options do not ask
  /// for are passed over. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  struct Span {
    std::string name;
    SpanWindow<Tally> window;
  };
  bool restore_optional(std::string_view name, std::string_view bytes);

  const std::string name_;
  const bool binary_;
  const SliceKeys* const keys_;
  Tally all_;
  Window window_;
  LastFifth last_fifth_;
  std::vector<Span> spans_;
  std::optional<GroupedAuc> gauc_;
  std::optional<SlidingAuc> exact_auc_;
  std::optional<RowWindow<SlicedTally>> slices_;
  std::optional<History> history_;
  EventTime now_ = EventTime::before_all();
  bool changed_ = true;  ///< Since the last `save`.
  mutable bool stale_ = true;
  mutable OutputReport report_;
};

}  // namespace millrace
