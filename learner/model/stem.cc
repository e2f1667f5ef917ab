#include "learner/model/stem.h"

namespace millrace {

std::vector<LevelShape> stem_levels(int inputs, int tasks, const ModelOptions& options) {
  const int count = options.stem_levels, own_all = tasks * options.task_experts;
  std::vector<LevelShape> levels;
  for (int j = 0; j < count; ++j) {
    LevelShape level;
    if (count > 1) level.prefix = "level." + std::to_string(j) + ".";
    level.inputs = j == 0 ? inputs : options.expert_layers.back();
    level.below = j;
    level.tasks = tasks;
    level.own = options.task_experts;
    level.shared = options.shared_experts;
    level.one_input = false;
    level.gate_inputs = options.stem_gate_input == StemGateInput::kSum;
    level.gates = tasks;
    level.gate_weights = own_all + options.shared_experts;
    level.reach.taught_own = options.task_experts;
    level.reach.taught_rest = own_all;
    // Gate T is nobody's: it teaches the shared experts alone.
    if (j + 1 < count) level.shared_gate_weights = level.gate_weights;
    level.shared_reach = level.reach;
    level.own_alone = true;
    level.gates_alone = true;
    levels.push_back(level);
  }
  return levels;
}

Schema input_schema(const Schema& schema, const ModelOptions& options) {
  if (options.backbone != BackboneKind::kStem) return schema;
  std::vector<Feature> features = schema.features();
  const int groups = static_cast<int>(schema.tasks().size()) + 1;
  for (Feature& feature : features) feature.dimension *= groups;
  return {std::move(features), schema.tasks()};
}

InputGroups stem_groups(const Schema& schema) {
  InputGroups groups;
  groups.count = static_cast<int>(schema.tasks().size()) + 1;
  for (const bool context : {true, false}) {
    for (std::size_t f = 0; f < schema.features().size(); ++f) {
      const Feature& feature = schema.features()[f];
      if (feature.context != context) continue;
      const int index = static_cast<int>(f), width = schema.input_width(index);
      const bool own = schema.table_of(index) >= 0;
      groups.parts.push_back({schema.input_offset(index), own ? width / groups.count : width, own});
    }
  }
  return groups;
}

}  // namespace millrace
