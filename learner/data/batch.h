#pragma once

#include <cstdint>
#include <vector>

#include "learner/base/time.h"
#include "learner/data/feedback.h"
#include "learner/data/schema.h"

namespace millrace {

/// The key of a value that is not there; it has no row, and the feature is neutral (zeros).
inline constexpr std::uint64_t kMissingKey = 0;

/// Which of the two streams of rows a batch comes from. They never mix in a batch.
enum class Stream : std::uint8_t {
  kMatured,  ///< Rows whose labels the watermark decided.
  kAtOnce,   ///< Samples, and labels trained before they are mature.
};
inline constexpr int kStreams = 2;

/// The keys of one categorical or bag feature for all rows of a batch.
struct KeyColumn {
  std::vector<std::uint64_t> keys;
  /// Row r of a bag has keys[ends[r-1], ends[r]) (from 0 for the first). Empty for a categorical,
  /// which has exactly one key a row.
  std::vector<std::uint32_t> ends;
};

/// Labels that are only measured: the final ones of impressions whose rows were trained before.
/// They ride beside a batch and do not fill it.
struct MeasuredLabels {
  std::vector<std::uint64_t> keys;      ///< [n] Of the impressions, as in Batch::keys.
  std::vector<float> weights;           ///< [n]
  std::vector<float> labels;            ///< [n, T]; NaN: nothing to measure.
  std::vector<std::uint8_t> condition;  ///< [n, T]
  std::vector<std::uint8_t> last;       ///< [n] 1: no label of this impression comes after these.
  std::vector<std::uint64_t> users;     ///< [n] As Batch::users; empty: none.

  int count() const { return static_cast<int>(keys.size()); }
};

/// Rows to score, or to score and then train on, as a structure of arrays; missing is NaN in
/// numbers, kMissingKey in keys, 0 in dense vectors.
struct Batch {
  Stream stream = Stream::kMatured;
  int rows = 0;
  std::vector<KeyColumn> columns;  ///< One for each of Schema::key_features.
  std::vector<float> numeric;      ///< [rows, numeric features], transformed, not standardised.
  std::vector<float> dense;        ///< [rows, Schema::dense_width]

  /// What follows is absent (empty) in a batch that is only scored.
  std::vector<float> labels;  ///< [rows, T], transformed; NaN: missing, no weight anywhere.
  std::vector<std::uint8_t>
      condition;  ///< [rows, T]: 1 where the task's condition holds (or none).
  /// [rows, T]: 1 where the task, as a condition, holds in every row that still comes: the input
  /// has ended, and where it did not hold was decided before. Empty: nowhere.
  std::vector<std::uint8_t> certain;
  /// [rows]: 1 / P(kept), for the losses. 0: the row is scored and measured, and nothing is learned
  /// from it (guardrails.user_cap).
  std::vector<float> weights;
  /// [rows]: the same for the metrics, where it differs; empty: as `weights`.
  std::vector<float> measure_weights;
  std::vector<std::uint64_t> users;  ///< [rows]: keys of the rows' users; 0: none.
  /// [rows]: of their events' field `slice` (slice_key), 0: none; empty: no row has one.
  std::vector<std::uint64_t> slices;
  /// The next three only where a policy of delayed feedback is used (Schema::has_immediate).
  std::vector<std::uint64_t> keys;    ///< [rows]: of the impressions; 0: a sample.
  std::vector<Origin> origin;         ///< [rows, T]
  std::vector<std::uint8_t> targets;  ///< [rows, T]: of the auxiliary heads, bits of target::.
  /// The next two only where a task is under dfm (Schema::has_delays). [rows, T], in ms after what
  /// the label's delay counts from: by an earlier row a 1 had not come at `since` (0: there was
  /// none), and by this one a 1 came at `until`, a 0 had not come by then (∞: and never will).
  /// `until` NaN: not known, the label is learned as it is.
  std::vector<float> since, until;
  MeasuredLabels measured;  ///< May be there without any row.
  EventTime due;            ///< The due time of the last row: schedules and expiry go by it.
  EventTime first_due;      ///< The due time of the first row.
  EventTime
      seen;  ///< W + allowed_lateness when the last row was decided: the age of what is learned.
  /// Scored and measured, but not learned from: too many records are dead letters.
  bool paused = false;
};

/// Of how many rows something is learned: those that weigh.
int learned_rows(const Batch& batch);

/// The width of everything in an empty batch follows the schema.
Batch empty_batch(const Schema& schema, Stream stream);

}  // namespace millrace
