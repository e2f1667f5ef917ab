#pragma once

#include <vector>

#include "learner/base/fields.h"

namespace millrace {

enum class BackboneKind { kSharedBottom, kMmoe, kCgc, kPle, kStem, kSharedSpecific, kSeparate };
/// What the shared stream of a PLE's next level is made of.
enum class SharedGate { kAll, kShared, kNone };
enum class StemGateInput { kSum, kOwn };
/// How a task's own representation joins the shared one.
enum class SharedMix { kConcat, kMeasured, kLearned };

template <>
struct Choices<BackboneKind> {
  static constexpr std::array<Choice<BackboneKind>, 7> all{
      {{"shared_bottom", BackboneKind::kSharedBottom},
       {"mmoe", BackboneKind::kMmoe},
       {"cgc", BackboneKind::kCgc},
       {"ple", BackboneKind::kPle},
       {"stem", BackboneKind::kStem},
       {"shared_specific", BackboneKind::kSharedSpecific},
       {"separate", BackboneKind::kSeparate}}};
};
template <>
struct Choices<SharedGate> {
  static constexpr std::array<Choice<SharedGate>, 3> all{
      {{"all", SharedGate::kAll}, {"shared", SharedGate::kShared}, {"none", SharedGate::kNone}}};
};
template <>
struct Choices<StemGateInput> {
  static constexpr std::array<Choice<StemGateInput>, 2> all{
      {{"sum", StemGateInput::kSum}, {"own", StemGateInput::kOwn}}};
};
template <>
struct Choices<SharedMix> {
  static constexpr std::array<Choice<SharedMix>, 3> all{{{"concat", SharedMix::kConcat},
                                                         {"measured", SharedMix::kMeasured},
                                                         {"learned", SharedMix::kLearned}}};
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
  bool expert_norm = false;
  double dropout = 0;
  bool one_gate = false;
  bool gate_bias = false;
  double gate_temperature = 1;
  bool learn_temperature = false;
  double least_temperature = 0.1;
  double gate_dropout = 0;
  double gate_entropy = 0;
  double load_balance = 0;
  SharedGate shared_gate = SharedGate::kAll;
  StemGateInput stem_gate_input = StemGateInput::kSum;
  int stem_levels = 1;
  SharedMix shared_mix = SharedMix::kConcat;

  static constexpr auto fields() {
    using M = ModelOptions;
    return std::tuple{
        field("backbone", &M::backbone,
              "How tasks share the network between input and towers; separate: not at all, they "
              "share the embeddings alone (ESMM, Ma et al. 2018)."),
        field("experts", &M::experts, "Experts of an MMoE.", 1, 64),
        field("task_experts", &M::task_experts, "A task's own experts (CGC, PLE, STEM).", 1, 64),
        field("shared_experts", &M::shared_experts, "Shared experts (CGC, PLE, STEM).", 1, 64),
        field("levels", &M::levels, "Levels of a PLE.", 1, 8),
        field("expert_layers", &M::expert_layers,
              "Units of the layers, each with ReLU, of an expert or a bottom."),
        field("gate_layers", &M::gate_layers, "Hidden layers of a gate; none: linear, no bias."),
        field("tower_layers", &M::tower_layers,
              "Units of a tower's hidden layers; the last layer, to one output, comes on top."),
        field(
            "expert_norm", &M::expert_norm,
            "An expert's last layer is normalised by running statistics, with a learned scale and "
            "shift, and goes through Swish instead of ReLU."),
        field("dropout", &M::dropout,
              "Probability with which a unit of a bottom's layers is dropped in training "
              "(shared_bottom, shared_specific, separate).",
              0.0, 0.9),
        field("one_gate", &M::one_gate, "An MMoE's tasks all use one gate (OMoE)."),
        field("gate_bias", &M::gate_bias, "Gates have a bias in their last layer."),
        field("gate_temperature", &M::gate_temperature,
              "What a gate's logits are divided by; where it is learned, what that starts from.",
              0.01, 100.0),
        field("learn_temperature", &M::learn_temperature,
              "Each gate learns its temperature, least_temperature + softplus(ρ)."),
        field("least_temperature", &M::least_temperature,
              "Below this no gate's learned temperature falls.", 0.001, 10.0),
        field("gate_dropout", &M::gate_dropout,
              "Probability with which each weight of a gate is dropped in training; the others are "
              "scaled to sum to 1, and none is dropped where all would be.",
              0.0, 0.9),
        field("gate_entropy", &M::gate_entropy,
              "Weight in the loss of −H(g), of every gate's entropy in its mean over the batch.",
              0.0, 100.0),
        field(
            "load_balance", &M::load_balance,
            "Weight in the loss of the load-balance penalty: the squared coefficient of variation, "
            "over a gate's experts, of its weights' sums over the batch. It costs a second "
            "forward pass of every step.",
            0.0, 100.0),
        field("shared_gate", &M::shared_gate,
              "PLE: what feeds the shared stream of the next level: a gate over all experts (the "
              "paper), over the shared ones only, or none, so that it is the first task's."),
        field("stem_gate_input", &M::stem_gate_input,
              "STEM: a gate reads the sum of its task's and the shared embeddings, or its task's."),
        field("stem_levels", &M::stem_levels, "Levels of a STEM.", 1, 8),
        field("shared_mix", &M::shared_mix,
              "shared_specific: a tower reads both bottoms side by side, or their mix by the "
              "measured similarity of its task to the others, or by a learned one."),
    };
  }
};

}  // namespace millrace
