#include "learner/model/mmoe.h"

namespace millrace {

std::vector<LevelShape> mmoe_levels(int inputs, int tasks, const ModelOptions& options) {
  LevelShape level;
  level.inputs = inputs;
  level.tasks = tasks;
  level.shared = options.experts;
  level.gates = options.one_gate ? 1 : tasks;
  level.gate_weights = options.experts;
  level.gates_alone = !options.one_gate;
  return {level};
}

}  // namespace millrace
