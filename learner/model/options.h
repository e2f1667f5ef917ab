#pragma once

#include <vector>

#include "learner/base/fields.h"

namespace millrace {

enum class BackboneKind { kSharedBottom, kMmoe, kCgc, kPle, kStem, kSharedSpecific };

template <>
struct Choices<BackboneKind> {
  static constexpr std::array<Choice<BackboneKind>, 6> all{
      {{"shared_bottom", BackboneKind::kSharedBottom, false},
       {"mmoe", BackboneKind::kMmoe},
       {"cgc", BackboneKind::kCgc, false},
       {"ple", BackboneKind::kPle, false},
       {"stem", BackboneKind::kStem, false},
       {"shared_specific", BackboneKind::kSharedSpecific, false}}};
};

/// The `model:` section of the configuration.
struct ModelOptions {
  BackboneKind backbone = BackboneKind::kMmoe;
  int experts = 4;
  int task_experts = 2;
  int shared_experts = 2;
  int levels = 2;
  std::vector<int> expert_layers{64, 64};
  std::vector<int> gate_layers{};
  std::vector<int> tower_layers{32, 16};

  static constexpr auto fields() {
    using M = ModelOptions;
    return std::tuple{
        field("backbone", &M::backbone, "How tasks share the network between input and towers."),
        field("experts", &M::experts, "Experts of an MMoE.", 1, 64),
        field("task_experts", &M::task_experts, "A task's own experts (CGC, PLE, STEM).", 1, 64),
        field("shared_experts", &M::shared_experts, "Shared experts (CGC, PLE, STEM).", 1, 64),
        field("levels", &M::levels, "Levels of a PLE.", 1, 8),
        field("expert_layers", &M::expert_layers, "Units of an expert's layers, each with ReLU."),
        field("gate_layers", &M::gate_layers, "Hidden layers of a gate; none: linear, no bias."),
        field("tower_layers", &M::tower_layers,
              "Units of a tower's hidden layers; the last layer, to one output, comes on top."),
    };
  }
};

}  // namespace millrace
