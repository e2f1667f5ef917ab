#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/evaluate/options.h"
#include "learner/evaluate/tally.h"

namespace millrace {

/// The metrics of some consecutive rows.
struct HistoryPoint {
  EventTime first, last;  ///< Due times of their batches.
  Figures figures;        ///< `auc`: see History; without `auc_error` and `calibration_error`.
};

/// How an output's metrics went since the store began: figures of windows of `rows` consecutive
/// rows. When there are 2 · points of them, neighbours are merged, and from then on a point is as
/// many windows as a merged one is: it always covers the whole stream, by equal steps.
///
/// A merged point's figures are those of all its rows; its AUC is the mean of its windows' AUCs by
/// their rows, since ranks of two windows cannot be merged (windows of one class are left out).
/// Memory: one tally and about 200 bytes a point. State: `name` with what is open, `name`/i with
/// 32 points each (not in the digest: they repeat what the rest says).
class History {
 public:
  /// Requires: options.points > 0.
  History(bool binary, const HistoryOptions& options);

  void add(const Measurement& measurement, EventTime due);
  /// All points, the open one last if any window of it is closed. The same object until there is
  /// another window.
  std::shared_ptr<const std::vector<HistoryPoint>> points() const;

  void save(const std::string& name, StateChanges& changes);
  /// `part`: empty for what is open. What was saved under other options is passed over. Error:
  /// throws StateError.
  void restore(std::string_view part, std::string_view bytes);

 private:
  static constexpr std::size_t kChunk = 32;
  struct Point {
    EventTime first = EventTime::after_all(), last = EventTime::before_all();
    Sums sums;
    double auc_rows = 0, auc_sum = 0;  ///< Over windows with both classes: rows, and rows · AUC.

    void add(const Point& other);
    void save(ByteWriter& writer) const;
    static Point restored(ByteReader& reader);
  };
  void close_window();
  HistoryPoint figures(const Point& point) const;
  bool is_own(ByteReader& reader) const;
  void begin(ByteWriter& writer) const;

  const bool binary_;
  const HistoryOptions options_;
  Tally open_;                                                                 ///< The open window,
  EventTime first_ = EventTime::after_all(), last_ = EventTime::before_all();  ///< and its times.
  Point point_;                  ///< The closed windows of the open point,
  std::uint64_t windows_ = 0;    ///< and how many these are.
  std::uint64_t per_point_ = 1;  ///< Windows of a point.
  std::vector<Point> points_;
  std::size_t saved_ = 0;                ///< Points that were saved as they are.
  std::optional<std::size_t> restored_;  ///< Points of the state that is being restored.
  mutable std::shared_ptr<const std::vector<HistoryPoint>> told_;
};

}  // namespace millrace
