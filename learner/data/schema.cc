#include "learner/data/schema.h"

#include <cmath>

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {

double transformed(double value, Transform transform) {
  switch (transform) {
    case Transform::kNone:
      return value;
    case Transform::kLog1p:
      return std::copysign(std::log1p(std::abs(value)), value);
  }
  return value;
}

double transformed_back(double value, Transform transform) {
  switch (transform) {
    case Transform::kNone:
      return value;
    case Transform::kLog1p:
      return std::copysign(std::expm1(std::abs(value)), value);
  }
  return value;
}

Schema::Schema(std::vector<Feature> features, std::vector<Task> tasks)
    : features_(std::move(features)), tasks_(std::move(tasks)) {
  for (Task& task : tasks_) {
    has_immediate_ |= task.policy != FeedbackPolicy::kWait;
    has_delays_ |= task.policy == FeedbackPolicy::kDfm;
    if (task.kind == TaskKind::kDuration) task.transform = Transform::kLog1p;
    MILLRACE_CHECK(task.transform == Transform::kNone || is_distance(task.kind));
    MILLRACE_CHECK(task.delta > 0);
  }
  table_of_.assign(features_.size(), -1);
  column_of_.assign(features_.size(), -1);
  input_offset_.assign(features_.size(), 0);
  buckets_.resize(features_.size());
  for (int f = 0; f < static_cast<int>(features_.size()); ++f) {
    const Feature& feature = features_[static_cast<std::size_t>(f)];
    of_kind_[static_cast<std::size_t>(feature.kind)].push_back(f);
    if (has_embedding(feature)) {
      add_key_feature(f);
    } else if (feature.kind == FeatureKind::kNumeric) {
      numeric_features_.push_back(f);
    } else {
      MILLRACE_CHECK(feature.width > 0);
      dense_features_.push_back(f);
      dense_width_ += feature.width;
    }
  }
  find_parts();
  for (const bool context : {true, false}) {
    for (int f = 0; f < static_cast<int>(features_.size()); ++f) {
      if (features_[static_cast<std::size_t>(f)].context != context) continue;
      input_offset_[static_cast<std::size_t>(f)] = inputs_;
      inputs_ += input_width(f);
    }
    if (context) context_width_ = inputs_;
  }
}

void Schema::add_key_feature(int f) {
  Feature& feature = features_[static_cast<std::size_t>(f)];
  MILLRACE_CHECK(feature.dimension > 0);
  if (feature.table.empty()) feature.table = feature.name;
  int table = 0;
  const int count = static_cast<int>(tables_.size());
  while (table < count && tables_[static_cast<std::size_t>(table)].name != feature.table) ++table;
  if (table == count) {
    tables_.push_back({feature.table, feature.dimension, hash_bytes(feature.table)});
  }
  const Table& found = tables_[static_cast<std::size_t>(table)];
  MILLRACE_CHECK(found.dimension == feature.dimension);
  table_of_[static_cast<std::size_t>(f)] = table;
  column_of_[static_cast<std::size_t>(f)] = static_cast<int>(key_features_.size());
  key_features_.push_back(f);
  if (is_bucketised(feature)) buckets_[static_cast<std::size_t>(f)] = Buckets(feature, found.seed);
}

void Schema::find_parts() {
  for (const int f : features_of(FeatureKind::kCross)) {
    Feature& feature = features_[static_cast<std::size_t>(f)];
    MILLRACE_CHECK(feature.of.size() > 1);
    Cross cross{f, column_of(f), {}, {}, tables_[static_cast<std::size_t>(table_of(f))].seed};
    feature.context = true;
    for (const std::string& name : feature.of) {
      const int part = find_feature(name);
      MILLRACE_CHECK(part >= 0);
      const Feature& of = features_[static_cast<std::size_t>(part)];
      MILLRACE_CHECK(of.kind == FeatureKind::kCategorical || is_bucketised(of));
      cross.parts.push_back(part);
      cross.columns.push_back(column_of(part));
      feature.context &= of.context;
    }
    crosses_.push_back(std::move(cross));
  }
}

int Schema::input_width(int feature) const {
  const Feature& f = features_[static_cast<std::size_t>(feature)];
  if (has_embedding(f)) return f.dimension;
  return f.kind == FeatureKind::kDense ? f.width : 1;
}

int Schema::find_feature(std::string_view name) const {
  for (std::size_t f = 0; f < features_.size(); ++f) {
    if (features_[f].name == name) return static_cast<int>(f);
  }
  return -1;
}

int Schema::find_task(std::string_view name) const {
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    if (tasks_[t].name == name) return static_cast<int>(t);
  }
  return -1;
}

}  // namespace millrace
