#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ingest/encode/features.h"
#include "ingest/event/user.h"
#include "learner/base/time.h"
#include "learner/data/batch.h"

namespace millrace {

/// One row that the join emitted.
struct JoinedRow {
  std::string impression_id;
  EventTime time;       ///< Of the impression.
  EventTime due;        ///< The due time that caused the row (rows at once: F).
  EventTime watermark;  ///< W when it was decided; after_all() at a flush.
  Stream stream = Stream::kMatured;
  EncodedFeatures features;
  /// 1 / P(kept), for losses (0: measured, not learned from); and for metrics, where that is
  /// another:
  double weight = 1;
  std::optional<double> measure_weight = {};
  std::uint64_t user = kNoUser;     ///< user_key.
  std::vector<double> labels = {};  ///< [T], as joined, before any transform; NaN: missing.
  std::vector<std::uint8_t> condition =
      {};  ///< [T], 1 where the label's condition holds (or none).
  /// [T], 1 where the label counts in training and metrics: not the zeros that a condition decided
  /// during the cold start (algorithms 2.2).
  std::vector<std::uint8_t> counts = {};
  /// [T], of a row of the flush, as in Batch; empty: none.
  std::vector<std::uint8_t> certain = {};

  /// What follows is empty where no policy of delayed feedback is used.
  std::vector<Origin> origin = {};         ///< [T], of the labels.
  std::vector<std::uint8_t> targets = {};  ///< [T], of the auxiliary heads, bits of target::.
  std::vector<double> measured = {};       ///< [T], final labels that are only measured.
  /// [T], of labels under dfm: Batch::since and until, in ms. Empty where no task is.
  std::vector<double> since = {}, until = {};
  bool is_last = false;      ///< No label to measure comes after this row's.
  bool is_sample = false;    ///< Joined elsewhere; there is no impression.
  bool keeps_score = false;  ///< What the model says of it may count for a label decided later.

  /// Whether any task has a label, counted in training or not: such rows are in accounts.rows.
  bool has_label() const;
  /// Whether any label counts in training: other rows are passed over by the batches.
  bool has_counted_label() const;
  /// Whether an auxiliary head learns from it.
  bool has_target() const;
  /// Whether batches take it.
  bool is_trained() const { return has_counted_label() || has_target(); }
  /// Whether any label is to be measured without being trained.
  bool has_measured() const;
};

}  // namespace millrace
