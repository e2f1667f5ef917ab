#include "ops/config/model_checks.h"

#include <algorithm>
#include <string>

namespace millrace {
namespace {

using Kinds = std::vector<BackboneKind>;

bool is_among(const Kinds& kinds, BackboneKind kind) {
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

std::string names_of(const Kinds& kinds) {
  std::string names;
  for (const BackboneKind kind : kinds) {
    names += (names.empty() ? "" : " or ") + std::string(choice_name(kind));
  }
  return names;
}

}  // namespace

void check_model(ConfigReader& reader, const ModelOptions& model, std::vector<Problem>& doubts) {
  using K = BackboneKind;
  const ModelOptions usual;
  const Kinds own{K::kCgc, K::kPle, K::kStem};
  const Kinds gated{K::kMmoe, K::kCgc, K::kPle, K::kStem};
  struct Option {
    const char* key;
    bool changed;
    Kinds of;
  };
  const Option sizes[] = {
      {"model.experts", model.experts != usual.experts, {K::kMmoe}},
      {"model.task_experts", model.task_experts != usual.task_experts, own},
      {"model.shared_experts", model.shared_experts != usual.shared_experts, own},
      {"model.levels", model.levels != usual.levels, {K::kPle}},
      {"model.stem_levels", model.stem_levels != usual.stem_levels, {K::kStem}},
      {"model.gate_layers", model.gate_layers != usual.gate_layers, gated}};
  for (const Option& option : sizes) {
    if (!option.changed || is_among(option.of, model.backbone)) continue;
    doubts.push_back({reader.place_of(option.key), std::string(option.key) +
                                                       ": has no effect with the backbone " +
                                                       std::string(choice_name(model.backbone))});
  }
  const Option methods[] = {
      {"model.dropout",
       model.dropout != usual.dropout,
       {K::kSharedBottom, K::kSharedSpecific, K::kSeparate}},
      {"model.expert_norm", model.expert_norm, gated},
      {"model.one_gate", model.one_gate, {K::kMmoe}},
      {"model.gate_bias", model.gate_bias, gated},
      {"model.gate_temperature", model.gate_temperature != usual.gate_temperature, gated},
      {"model.learn_temperature", model.learn_temperature, gated},
      {"model.gate_dropout", model.gate_dropout != usual.gate_dropout, gated},
      {"model.gate_entropy", model.gate_entropy != usual.gate_entropy, gated},
      {"model.load_balance", model.load_balance != usual.load_balance, gated},
      {"model.shared_gate", model.shared_gate != usual.shared_gate, {K::kPle}},
      {"model.stem_gate_input", model.stem_gate_input != usual.stem_gate_input, {K::kStem}},
      {"model.shared_mix", model.shared_mix != usual.shared_mix, {K::kSharedSpecific}}};
  for (const Option& option : methods) {
    if (!option.changed || is_among(option.of, model.backbone)) continue;
    reader.complain(option.key, "needs the backbone " + names_of(option.of) + "; it is " +
                                    std::string(choice_name(model.backbone)));
  }
  if (model.least_temperature != usual.least_temperature && !model.learn_temperature) {
    reader.complain("model.least_temperature", "needs model.learn_temperature: true");
  }
  if (model.learn_temperature && model.gate_temperature <= model.least_temperature) {
    reader.complain("model.gate_temperature",
                    "must be above model.least_temperature, as the start of what is learned");
  }
  if (model.backbone == K::kPle && model.levels == 1 && model.shared_gate != usual.shared_gate) {
    reader.complain("model.shared_gate",
                    "needs model.levels of 2 or more; with 1 there is no gate");
  }
}

}  // namespace millrace
