#include "learner/model/parameter_block.h"

namespace millrace {

long count_values(const std::vector<ParameterSlot>& slots) {
  long count = 0;
  for (const ParameterSlot& slot : slots) count += long{slot.rows} * slot.cols;
  return count;
}

std::vector<ParameterSlot> own_slots(const std::vector<ParameterSlot>& slots, int task) {
  std::vector<ParameterSlot> own;
  for (const ParameterSlot& slot : slots) {
    if (slot.task == task) own.push_back(slot);
  }
  return own;
}

std::vector<ParameterSlot> shared_slots(const std::vector<ParameterSlot>& slots) {
  std::vector<ParameterSlot> shared;
  for (const ParameterSlot& slot : slots) {
    if (slot.trained && slot.task < 0) shared.push_back(slot);
  }
  return shared;
}

std::vector<ParameterSlot> fixed_slots(const std::vector<ParameterSlot>& slots) {
  std::vector<ParameterSlot> fixed;
  for (const ParameterSlot& slot : slots) {
    if (!slot.trained) fixed.push_back(slot);
  }
  return fixed;
}

template <class T>
void append_slots(const MlpBank<T>& bank, const std::string& kind, int first_layer,
                  double last_gain, int input_parts, bool of_tasks,
                  std::vector<ParameterSlot>& slots) {
  append_bank_slots(
      bank, [&](int i) { return kind + "." + std::to_string(i); },
      [&](int i) { return of_tasks ? i : -1; }, first_layer, last_gain, input_parts, slots);
}

template <class T>
void append_bank_slots(const MlpBank<T>& bank, const std::function<std::string(int)>& name,
                       const std::function<int(int)>& task, int first_layer, double last_gain,
                       int input_parts, std::vector<ParameterSlot>& slots) {
  for (int i = 0; i < bank.count(); ++i) {
    for (std::size_t l = 0; l < bank.layers().size(); ++l) {
      const auto& layer = bank.layers()[l];
      const std::string layer_name =
          name(i) + ".layer." + std::to_string(first_layer + static_cast<int>(l));
      slots.push_back({.name = layer_name + ".weight",
                       .offset = layer.weight + long{i} * layer.inputs * layer.outputs,
                       .rows = layer.inputs,
                       .cols = layer.outputs,
                       .stride = layer.outputs,
                       .gain = l + 1 < bank.layers().size() ? 2 : last_gain,
                       .task = task(i),
                       .input_parts = l > 0 ? 1 : input_parts});
      if (!layer.has_bias) continue;
      slots.push_back({.name = layer_name + ".bias",
                       .offset = layer.bias + long{i} * layer.outputs,
                       .rows = 1,
                       .cols = layer.outputs,
                       .stride = layer.outputs,
                       .gain = 0,
                       .task = task(i)});
    }
  }
}

template void append_slots(const MlpBank<float>&, const std::string&, int, double, int, bool,
                           std::vector<ParameterSlot>&);
template void append_slots(const MlpBank<double>&, const std::string&, int, double, int, bool,
                           std::vector<ParameterSlot>&);
template void append_bank_slots(const MlpBank<float>&, const std::function<std::string(int)>&,
                                const std::function<int(int)>&, int, double, int,
                                std::vector<ParameterSlot>&);
template void append_bank_slots(const MlpBank<double>&, const std::function<std::string(int)>&,
                                const std::function<int(int)>&, int, double, int,
                                std::vector<ParameterSlot>&);

}  // namespace millrace
