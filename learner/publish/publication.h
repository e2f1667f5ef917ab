#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "learner/base/time.h"
#include "learner/data/projection.h"
#include "learner/model/options.h"

namespace millrace {

/// The rows of one embedding table that changed or went since the last publication. Erasures are
/// applied before rows, so a key that went and came back is in both.
struct TableUpdate {
  std::vector<std::uint64_t> keys;
  std::vector<float> rows;            ///< [keys, dimension]: weights only.
  std::vector<std::uint64_t> erased;  ///< A key that has no row is passed over.
};

/// (x − mean) · inverse_deviation, clamped to ±8, of one numeric feature.
struct Standardisation {
  float mean = 0;
  float inverse_deviation = 0;  ///< 0 before anything was seen: every value is neutral.
};

/// The range of transformed labels that a regression has seen; served values are clamped to it.
struct LabelRange {
  float least = 0;
  float most = 0;
};

/// What becomes of a task's logit before it is served (train/recalibration.h).
struct LogitLine {
  float slope = 1;
  float shift = 0;
  double at(double logit) const { return double{slope} * logit + double{shift}; }
};

/// The dense part of a version, shared by all who score with it.
struct DenseWeights {
  std::vector<float> parameters;
  std::vector<Standardisation> numeric;       ///< One for each of Schema::numeric_features.
  std::vector<LabelRange> labels;             ///< One a task.
  std::vector<LogitLine> recalibration = {};  ///< One a task; empty where none is recalibrated.
};

/// Whose weights a version is made of, where a stream has several models: what scorers must know of
/// the model beside them.
struct ServedShape {
  std::string model;
  ModelOptions options;
  Projection projection;
};

/// What a trainer hands to those who score: everything at first, afterwards what changed. Where
/// `dense` is null the dense weights are those of the version before.
struct Publication {
  std::vector<TableUpdate> tables;  ///< One for each of Schema::tables.
  std::shared_ptr<const DenseWeights> dense;
  /// W + allowed_lateness when the last row was decided; before_all() while there was none.
  EventTime seen = EventTime::before_all();
  bool complete = false;  ///< Replaces everything instead of adding to it.
  /// Of a complete one: the model whose weights these are. Null: the same as before.
  std::shared_ptr<const ServedShape> shape;
};

}  // namespace millrace
