#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ingest/event/event.h"
#include "learner/data/schema.h"

namespace millrace {

/// The features and tasks of contract/millrace.yaml, without reading it.
inline Schema shop_schema() {
  std::vector<Feature> features(6);
  const auto keyed = [](std::string name, FeatureKind kind, int dimension, bool context) {
    Feature feature;
    feature.name = std::move(name);
    feature.kind = kind;
    feature.dimension = dimension;
    feature.context = context;
    return feature;
  };
  features[0] = keyed("user_id", FeatureKind::kCategorical, 16, true);
  features[1] = keyed("country", FeatureKind::kCategorical, 4, true);
  features[2] = keyed("item_id", FeatureKind::kCategorical, 16, false);
  features[3] = keyed("genres", FeatureKind::kBag, 8, false);
  features[4] = keyed("price", FeatureKind::kNumeric, 0, false);
  features[4].transform = Transform::kLog1p;
  features[5] = keyed("taste", FeatureKind::kDense, 0, false);
  features[5].width = 8;
  std::vector<Task> tasks(4);
  tasks[0] = {.name = "ctr"};
  tasks[1] = {.name = "cvr", .given = 0, .entire_space = true};
  tasks[2] = {
      .name = "dwell", .kind = TaskKind::kRegression, .transform = Transform::kLog1p, .given = 0};
  tasks[3] = {.name = "like", .given = 0};
  return {std::move(features), std::move(tasks)};
}

/// The `events:` section of contract/millrace.yaml, and a topic of samples. Outcomes: click,
/// conversion, dwell (which needs a value), like.
inline EventTypes shop_events() {
  EventTypes types;
  types.impression_topic = "impressions";
  types.has_impressions = true;
  types.sample_topic = "samples";
  types.outcomes = {{"click", "clicks", Duration{600'000}, false},
                    {"conversion", "conversions", Duration{86'400'000}, false},
                    {"dwell", "dwell", Duration{1'800'000}, true},
                    {"like", "likes", Duration{1'800'000}, false}};
  return types;
}

}  // namespace millrace
