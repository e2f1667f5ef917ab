#include "learner/data/schema.h"

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {

Schema::Schema(std::vector<Feature> features, std::vector<Task> tasks)
    : features_(std::move(features)), tasks_(std::move(tasks)) {
  for (Task& task : tasks_) {
    has_immediate_ |= task.policy != FeedbackPolicy::kWait;
    if (task.kind == TaskKind::kDuration) task.transform = Transform::kLog1p;
    MILLRACE_CHECK(task.transform == Transform::kNone || is_distance(task.kind));
    MILLRACE_CHECK(task.delta > 0);
  }
  table_of_.assign(features_.size(), -1);
  input_offset_.assign(features_.size(), 0);
  for (int f = 0; f < static_cast<int>(features_.size()); ++f) {
    Feature& feature = features_[static_cast<std::size_t>(f)];
    switch (feature.kind) {
      case FeatureKind::kCategorical:
      case FeatureKind::kBag: {
        MILLRACE_CHECK(feature.dimension > 0);
        if (feature.table.empty()) feature.table = feature.name;
        int table = 0;
        const int count = static_cast<int>(tables_.size());
        while (table < count && tables_[static_cast<std::size_t>(table)].name != feature.table) {
          ++table;
        }
        if (table == count) {
          tables_.push_back({feature.table, feature.dimension, hash_bytes(feature.table)});
        }
        MILLRACE_CHECK(tables_[static_cast<std::size_t>(table)].dimension == feature.dimension);
        table_of_[static_cast<std::size_t>(f)] = table;
        key_features_.push_back(f);
        break;
      }
      case FeatureKind::kNumeric:
        numeric_features_.push_back(f);
        break;
      case FeatureKind::kDense:
        MILLRACE_CHECK(feature.width > 0);
        dense_features_.push_back(f);
        dense_width_ += feature.width;
        break;
    }
  }
  for (const bool context : {true, false}) {
    for (int f = 0; f < static_cast<int>(features_.size()); ++f) {
      if (features_[static_cast<std::size_t>(f)].context != context) continue;
      input_offset_[static_cast<std::size_t>(f)] = inputs_;
      inputs_ += input_width(f);
    }
    if (context) context_width_ = inputs_;
  }
}

int Schema::input_width(int feature) const {
  const Feature& f = features_[static_cast<std::size_t>(feature)];
  switch (f.kind) {
    case FeatureKind::kCategorical:
    case FeatureKind::kBag:
      return f.dimension;
    case FeatureKind::kNumeric:
      return 1;
    case FeatureKind::kDense:
      return f.width;
  }
  return 0;
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
