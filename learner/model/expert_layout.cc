// Where an expert level's parameters and activations stand, and what they are called.
#include <algorithm>

#include "learner/base/check.h"
#include "learner/base/hash.h"
#include "learner/model/expert_level.h"

namespace millrace {
namespace {

std::vector<int> after_the_first(const std::vector<int>& layers) {
  return {layers.begin() + 1, layers.end()};
}

}  // namespace

template <class T>
ExpertLevel<T>::ExpertLevel(const LevelShape& shape, const ModelOptions& options, long& offset,
                            ActivationPlan& plan)
    : shape_(shape),
      options_(options),
      outputs_(options.expert_layers.back()),
      linear_gates_(options.gate_layers.empty()) {
  using Reads = typename Stream::Reads;
  const int own = shape.own, own_all = shape.own * shape.tasks;
  const bool has_shared_gate = shape.shared_gate_weights > 0;
  if (shape.one_input) {
    streams_.push_back(make_stream(Reads::kShared, 0, 0, own_all + shape.shared, shape.gates,
                                   has_shared_gate, offset, plan));
  } else {
    MILLRACE_CHECK(shape.gates == shape.tasks && own > 0);
    for (int t = 0; t < shape.tasks; ++t) {
      streams_.push_back(make_stream(Reads::kTask, t, t * own, own, shape.gate_inputs ? 0 : 1,
                                     false, offset, plan));
    }
    streams_.push_back(
        make_stream(Reads::kShared, 0, own_all, shape.shared, 0, has_shared_gate, offset, plan));
    for (int t = 0; shape.gate_inputs && t < shape.tasks; ++t) {
      streams_.push_back(make_stream(Reads::kGate, t, 0, 0, 1, false, offset, plan));
    }
  }
  gates_ = make_gates("gate", shape.gates, shape.gate_weights, shape.reach, 0, offset, plan);
  for (int t = 0; t < shape.gates; ++t) {
    const int stream = shape.one_input ? 0 : (shape.gate_inputs ? shape.tasks + 1 + t : t);
    const int column = streams_[static_cast<std::size_t>(stream)].gate_column;
    gates_.places.emplace_back(stream, column + (shape.one_input ? t * gates_.first_width : 0));
  }
  if (has_shared_gate) {
    shared_gate_ = make_gates("shared_gate", 1, shape.shared_gate_weights, shape.shared_reach,
                              shape.tasks, offset, plan);
    const int stream = shape.one_input ? 0 : shape.tasks;
    const int before = shape.one_input ? shape.gates * gates_.first_width : 0;
    shared_gate_->first_weight += shape.gates * shape.gate_weights;
    shared_gate_->places.emplace_back(
        stream, streams_[static_cast<std::size_t>(stream)].gate_column + before);
  }
  mixed_ = plan.reserve((shape.gates + (has_shared_gate ? 1 : 0)) * outputs_);
  loss_slope_ = plan.reserve_temporary((own_all + shape.shared) * outputs_);
  last_slope_ = plan.reserve_temporary(options_.expert_norm ? outputs_ : 0);
}

template <class T>
auto ExpertLevel<T>::make_stream(typename Stream::Reads reads, int task, int first_expert,
                                 int experts, int task_gates, bool shared_gate, long& offset,
                                 ActivationPlan& plan) -> Stream {
  const int width = options_.expert_layers.at(0);
  const auto gate_width = [&](int weights) {
    return linear_gates_ ? weights : options_.gate_layers[0];
  };
  Stream stream;
  stream.reads = reads;
  stream.task = task;
  stream.first_expert = first_expert;
  stream.experts = experts;
  stream.gate_column = experts * width;
  const int gates = task_gates * gate_width(shape_.gate_weights) +
                    (shared_gate ? gate_width(shape_.shared_gate_weights) : 0);
  stream.width = stream.gate_column + gates;
  // The experts' outputs come after the norm; so do the gates' first layers (`normalise`).
  const bool bends = experts == 0 || !options_.expert_norm || options_.expert_layers.size() > 1;
  stream.relu = bends ? stream.gate_column + (linear_gates_ ? 0 : gates) : 0;
  stream.biased = stream.gate_column + (linear_gates_ && !options_.gate_bias ? 0 : gates);
  stream.stride = parameter_stride(stream.width);
  stream.weight = reserve_parameters(offset, long{shape_.inputs} * stream.stride);
  stream.bias = reserve_parameters(offset, stream.biased);
  stream.first = plan.reserve(stream.width);
  stream.slope = plan.reserve_temporary(stream.width);
  stream.above = MlpBank<T>(
      experts, width, after_the_first(options_.expert_layers),
      options_.expert_norm ? MlpBank<T>::Last::kLinear : MlpBank<T>::Last::kRelu, offset, plan);
  if (options_.expert_norm) reserve_norm(stream, offset, plan);
  const int own_all = shape_.own * shape_.tasks;
  for (int e = std::max(first_expert, own_all); e < first_expert + experts; ++e) {
    stream.shared.push_back(stream.above.member(e - first_expert));
  }
  return stream;
}

template <class T>
auto ExpertLevel<T>::make_gates(const std::string& kind, int count, int weights,
                                const math::GateReach& reach, int first_gate, long& offset,
                                ActivationPlan& plan) -> Gates {
  Gates gates;
  gates.kind = kind;
  gates.count = count;
  gates.weights = weights;
  gates.reach = reach;
  gates.first_gate = first_gate;
  gates.first_weight = shape_.first_weight;
  gates.first_width = linear_gates_ ? weights : options_.gate_layers[0];
  std::vector<int> above;
  if (!linear_gates_) {
    above = after_the_first(options_.gate_layers);
    above.push_back(weights);
  }
  gates.above.emplace(
      count, gates.first_width, above,
      options_.gate_bias ? MlpBank<T>::Last::kLinear : MlpBank<T>::Last::kLinearWithoutBias, offset,
      plan);
  gates.g = plan.reserve(count * weights);
  gates.slope = plan.reserve_temporary(count * weights);
  gates.loss_slope = plan.reserve_temporary(count * weights);
  if (options_.learn_temperature) gates.temperature = reserve_parameters(offset, count);
  for (int t = 0; t < count; ++t) {
    gates.random.push_back(
        hash_bytes("gate_dropout." + shape_.prefix + kind + "." + std::to_string(t)));
  }
  return gates;
}

template <class T>
int ExpertLevel<T>::task_of(int e) const {
  if (!shape_.own_alone || e >= shape_.own * shape_.tasks) return -1;
  const int task = e / shape_.own;
  return shape_.but_first && task == 0 ? -1 : task;
}

template <class T>
std::string ExpertLevel<T>::expert_name(int e) const {
  const int own_all = shape_.own * shape_.tasks;
  if (e >= own_all) return shape_.prefix + "expert." + std::to_string(e - own_all);
  return shape_.prefix + "task_expert." + std::to_string(e / shape_.own) + "." +
         std::to_string(e % shape_.own);
}

template <class T>
void ExpertLevel<T>::append_first(const Stream& stream, const std::string& name, int task,
                                  int column, int width, double gain, bool alone,
                                  std::vector<ParameterSlot>& slots) const {
  slots.push_back({.name = name + ".layer.0.weight",
                   .offset = stream.weight + column,
                   .rows = shape_.inputs,
                   .cols = width,
                   .stride = stream.stride,
                   .gain = gain,
                   .task = task,
                   .input_parts = reads_pairs() ? 1 : 0,
                   .alone = alone});
  if (column >= stream.biased) return;
  slots.push_back({.name = name + ".layer.0.bias",
                   .offset = stream.bias + column,
                   .rows = 1,
                   .cols = width,
                   .stride = width,
                   .gain = 0,
                   .task = task});
}

template <class T>
void ExpertLevel<T>::append_slots(std::vector<ParameterSlot>& slots) const {
  const int width = options_.expert_layers[0];
  for (const Stream& stream : streams_) {
    for (int i = 0; i < stream.experts; ++i) {
      const int e = stream.first_expert + i;
      append_first(stream, expert_name(e), task_of(e), stream.expert_column + i * width, width, 2,
                   !in_pairs(), slots);
    }
    append_bank_slots(
        stream.above, [&](int i) { return expert_name(stream.first_expert + i); },
        [&](int i) { return task_of(stream.first_expert + i); }, 1, 2, 1, slots);
    if (options_.expert_norm) append_norms(stream, slots);
  }
  for (const Gates* gates : {&gates_, shared_gate_ ? &*shared_gate_ : nullptr}) {
    if (gates == nullptr) continue;
    const auto name = [&](int t) {
      const std::string kind = shape_.prefix + gates->kind;
      return gates == &gates_ ? kind + "." + std::to_string(t) : kind + ".0";
    };
    const auto task = [&](int t) {
      const bool alone = gates == &gates_ && shape_.gates_alone;
      return alone && !(shape_.but_first && t == 0) ? t : -1;
    };
    for (int t = 0; t < gates->count; ++t) {
      const auto [stream, column] = gates->places[static_cast<std::size_t>(t)];
      append_first(streams_[static_cast<std::size_t>(stream)], name(t), task(t), column,
                   gates->first_width, linear_gates_ ? 0 : 2, false, slots);
    }
    append_bank_slots(*gates->above, name, task, 1, 0, 1, slots);
    append_temperatures(*gates, name, task, slots);
  }
}

template <class T>
std::vector<std::string> ExpertLevel<T>::last_shared() const {
  std::vector<std::string> names;
  const int own_all = shape_.own * shape_.tasks;
  const std::size_t last = options_.expert_layers.size() - 1;
  for (int e = own_all; e < own_all + shape_.shared; ++e) {
    names.push_back(expert_name(e) + ".layer." + std::to_string(last) + ".weight");
  }
  return names;
}

template <class T>
std::vector<std::string> ExpertLevel<T>::gate_experts(int gate) const {
  std::vector<std::string> names;
  const bool shared = gate == gates_.count;
  const Gates& of = shared ? *shared_gate_ : gates_;
  for (int c = 0; c < of.weights; ++c) {
    names.push_back(expert_name(of.reach.expert(shared ? of.first_gate : gate, c)));
  }
  return names;
}

template ExpertLevel<float>::ExpertLevel(const LevelShape&, const ModelOptions&, long&,
                                         ActivationPlan&);
template int ExpertLevel<float>::task_of(int) const;
template std::string ExpertLevel<float>::expert_name(int) const;
template void ExpertLevel<float>::append_slots(std::vector<ParameterSlot>&) const;
template std::vector<std::string> ExpertLevel<float>::last_shared() const;
template std::vector<std::string> ExpertLevel<float>::gate_experts(int) const;
template ExpertLevel<double>::ExpertLevel(const LevelShape&, const ModelOptions&, long&,
                                          ActivationPlan&);
template int ExpertLevel<double>::task_of(int) const;
template std::string ExpertLevel<double>::expert_name(int) const;
template void ExpertLevel<double>::append_slots(std::vector<ParameterSlot>&) const;
template std::vector<std::string> ExpertLevel<double>::last_shared() const;
template std::vector<std::string> ExpertLevel<double>::gate_experts(int) const;

}  // namespace millrace
