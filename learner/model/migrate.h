#pragma once

#include <string>
#include <vector>

#include "learner/data/schema.h"
#include "learner/model/options.h"

namespace millrace {

/// A stretch of the dense block that a migrated model keeps: new[to, to + count) is
/// old[from, from + count).
struct KeptWeights {
  long from = 0;
  long to = 0;
  int count = 0;
};

/// What of the old model's dense weights still fits the new one.
struct ModelMigration {
  long old_count = 0, new_count = 0;
  std::vector<KeptWeights> kept;
  /// Names of blocks of weights (ParameterSlot) that are wholly kept, kept in part (another number
  /// of inputs or experts), made anew, and dropped.
  std::vector<std::string> whole, partly, made, dropped;
};

/// Pairs the weights of two models. Towers and gates belong to their task by name, experts to their
/// number; the rows of a first layer belong to the input columns of a feature by name. A layer
/// whose number of units changed is made anew, apart from what the pairing of inputs, experts and
/// outputs leaves. `tasks`, `features`: by index in the new schema, the same one in the old, or −1.
/// Requires: both options were validated.
ModelMigration migrate_model(const Schema& old_schema, const ModelOptions& old_options,
                             const Schema& new_schema, const ModelOptions& new_options,
                             const std::vector<int>& tasks, const std::vector<int>& features);

}  // namespace millrace
