#include "learner/model/ple.h"

namespace millrace {

std::vector<LevelShape> ple_levels(int inputs, int tasks, const ModelOptions& options) {
  const int count = options.backbone == BackboneKind::kCgc ? 1 : options.levels;
  const int own = options.task_experts, shared = options.shared_experts, own_all = tasks * own;
  std::vector<LevelShape> levels;
  for (int j = 0; j < count; ++j) {
    LevelShape level;
    if (count > 1) level.prefix = "level." + std::to_string(j) + ".";
    level.inputs = j == 0 ? inputs : options.expert_layers.back();
    level.below = j;
    level.tasks = tasks;
    level.own = own;
    level.shared = shared;
    level.one_input = j == 0;
    level.gates = tasks;
    level.gate_weights = own + shared;
    level.reach.own = own;
    level.reach.rest = own_all;
    if (j + 1 < count && options.shared_gate == SharedGate::kAll) {
      level.shared_gate_weights = own_all + shared;
    } else if (j + 1 < count && options.shared_gate == SharedGate::kShared) {
      level.shared_gate_weights = shared;
      level.shared_reach.rest = own_all;
    }
    // Below the top level, what a task's experts and gates lead to reaches the others through a
    // shared gate over all, or, of the first task alone, through the shared experts that read it.
    const bool apart = options.shared_gate != SharedGate::kAll;
    level.own_alone = apart || j + 1 == count;
    level.gates_alone = apart || j + 2 >= count;
    level.but_first = options.shared_gate == SharedGate::kNone && j + 1 < count;
    levels.push_back(level);
  }
  return levels;
}

}  // namespace millrace
