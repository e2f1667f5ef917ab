#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/evaluate/options.h"
#include "learner/evaluate/window.h"
#include "learner/publish/score_formula.h"

namespace millrace {

/// What rows add up to, by one formula. The sums weigh each row by 1 / P(kept).
struct BusinessSums {
  std::uint64_t rows = 0;
  double weight = 0;
  double observed = 0;   ///< Σ weight · formula(labels)
  double predicted = 0;  ///< Σ weight · formula(predictions)

  void save(ByteWriter& writer) const;
  static BusinessSums restored(ByteReader& reader);
};

struct BusinessWindow {
  std::string name;  ///< "all" (since the store began), "window" (the last 100,000 rows), "1h" …
  BusinessSums sums;
};

struct BusinessReport {
  std::string name;
  std::string formula;
  std::vector<BusinessWindow> windows;
};

/// Figures of the business, each a formula over tasks (`evaluate.business`), summed over rows
/// twice: from the labels (what happened) and from the predictions made before these were learned
/// (what was expected). A binary task stands for its label 0 or 1, and for its probability given
/// its condition; any other for its value in the label's units. So of `ctr * cvr * spend` the
/// predicted sum is Σ p_ctr p_cvr E[spend], and the observed one what was spent.
///
/// A row counts when what the formula reads is decided in it, and the label of one of these tasks
/// is in it, so that an impression that makes several rows counts once. A task is decided where its
/// label is in the row; where a condition's label is in it and 0 (then it is 0 itself); and where a
/// task that has it as a condition says that this holds (then it is 1). A row for which the formula
/// is not finite, from labels or predictions, does not count.
///
/// A model that lacks one of a formula's tasks does not have the figure. Requires: no formula reads
/// a task whose label is trained before it is decided. Memory: 46 sums a figure and window.
/// Threads: one at a time.
class BusinessFigures {
 public:
  BusinessFigures(const Schema& schema, const EvaluateOptions& options);

  bool any() const { return !figures_.empty(); }
  void advance(EventTime now);
  /// One row: labels [T] in the labels' units (NaN: not there), condition [T], predictions [T].
  void add(std::span<const float> labels, std::span<const std::uint8_t> condition,
           std::span<const float> predictions, double weight);
  /// Whether a figure might count a row with these labels.
  bool wants(std::span<const float> labels) const;

  std::vector<BusinessReport> report() const;
  void save(StateChanges& changes);
  /// Returns whether the value is one of these. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  /// Adds up, and is its own form for keeping.
  struct Open : BusinessSums {
    using Kept = BusinessSums;
    std::uint64_t rows() const { return BusinessSums::rows; }
    void add(const BusinessSums& other);
    void clear() { *this = {}; }
    BusinessSums sparse() const { return *this; }
  };
  struct Span {
    std::string name;
    SpanWindow<Open> window;
  };
  struct Figure {
    std::string name;
    ScoreFormula formula;
    std::string saved_as;
    std::vector<int> tasks;  ///< That the formula reads.
    Open all;
    RowWindow<Open> window;
    std::vector<Span> spans;
  };
  /// The task's label as far as the row decides it.
  std::optional<float> decided(int task, std::span<const float> labels,
                               std::span<const std::uint8_t> condition) const;

  std::vector<std::vector<int>> conditions_;  ///< By task, all of its chain.
  std::vector<std::vector<int>> dependents_;  ///< By task, those that have it in their chain.
  std::vector<bool> binary_;
  std::vector<Figure> figures_;
  std::vector<float> values_;  ///< Scratch.
  bool changed_ = true;
};

}  // namespace millrace
