#include "learner/model/mmoe.h"

#include <algorithm>
#include <string>

#include "learner/base/check.h"

namespace millrace {
namespace {

std::vector<int> after_the_first(const std::vector<int>& layers) {
  return {layers.begin() + 1, layers.end()};
}

/// The gates' layers above the first: hidden ones, and the one to E logits.
std::vector<int> gate_layers_above(const ModelOptions& options) {
  if (options.gate_layers.empty()) return {};
  auto layers = after_the_first(options.gate_layers);
  layers.push_back(options.experts);
  return layers;
}

/// Moves `offset` on by `count` and returns where it was.
long take(long& offset, long count) { return (offset += count) - count; }

}  // namespace

template <class T>
Mmoe<T>::Mmoe(int inputs, int tasks, const ModelOptions& options, long& offset,
              ActivationPlan& plan)
    : inputs_(inputs),
      tasks_(tasks),
      experts_(options.experts),
      expert_width_(options.expert_layers.at(0)),
      gate_width_(options.gate_layers.empty() ? options.experts : options.gate_layers[0]),
      linear_gates_(options.gate_layers.empty()),
      relu_width_(experts_ * expert_width_ + (linear_gates_ ? 0 : tasks * gate_width_)),
      first_width_(experts_ * expert_width_ + tasks * gate_width_),
      outputs_(options.expert_layers.back()),
      first_weight_(take(offset, long{inputs} * first_width_)),
      first_bias_(take(offset, relu_width_)),
      experts_above_(experts_, expert_width_, after_the_first(options.expert_layers),
                     MlpBank<T>::Last::kRelu, offset, plan),
      gates_above_(tasks, gate_width_, gate_layers_above(options),
                   MlpBank<T>::Last::kLinearWithoutBias, offset, plan),
      first_(plan.reserve(first_width_)),
      first_slope_(plan.reserve(first_width_)),
      gates_(plan.reserve(tasks * experts_)),
      gate_slope_(plan.reserve(tasks * experts_)),
      mixed_(plan.reserve(tasks * outputs_)),
      loss_slope_(plan.reserve(experts_ * outputs_)),
      loss_gates_(plan.reserve(tasks * experts_)) {}

template <class T>
void Mmoe<T>::append_slots(std::vector<ParameterSlot>& slots) const {
  auto append_first = [&](const std::string& kind, int count, int begin, int width, double gain) {
    for (int i = 0; i < count; ++i) {
      const std::string name = kind + "." + std::to_string(i) + ".layer.0";
      const int column = begin + i * width;
      slots.push_back({.name = name + ".weight",
                       .offset = first_weight_ + column,
                       .rows = inputs_,
                       .cols = width,
                       .stride = first_width_,
                       .gain = gain,
                       .task = kind == "gate" ? i : -1});
      if (column >= relu_width_) continue;
      slots.push_back({.name = name + ".bias",
                       .offset = first_bias_ + column,
                       .rows = 1,
                       .cols = width,
                       .stride = width,
                       .gain = 0,
                       .task = kind == "gate" ? i : -1});
    }
  };
  append_first("expert", experts_, 0, expert_width_, 2);
  millrace::append_slots(experts_above_, "expert", 1, 2, false, slots);
  append_first("gate", tasks_, experts_ * expert_width_, gate_width_, linear_gates_ ? 0 : 2);
  millrace::append_slots(gates_above_, "gate", 1, 0, true, slots);
}

template <class T>
View<const T> Mmoe<T>::first_weights(const T* weights, int input) const {
  return View<const T>{weights + first_weight_, inputs_, first_width_}.rows_from(input,
                                                                                 inputs_ - input);
}

template <class T>
Stack<T> Mmoe<T>::expert_part(View<T> first) const {
  return side_by_side(first.cols_from(0, experts_ * expert_width_), experts_);
}

template <class T>
Stack<T> Mmoe<T>::gate_part(View<T> first) const {
  return side_by_side(first.cols_from(experts_ * expert_width_, tasks_ * gate_width_), tasks_);
}

template <class T>
Stack<T> Mmoe<T>::forward(const T* weights, View<const T> x, const Activations<T>& at) const {
  MILLRACE_CHECK(x.cols == inputs_);
  at.backend.dense(x, first_weights(weights, 0),
                   View<const T>{weights + first_bias_, 1, relu_width_}, relu_width_,
                   at.view(first_, x.rows));
  return after_first(weights, x.rows, at);
}

template <class T>
Stack<T> Mmoe<T>::after_first(const T* weights, int rows, const Activations<T>& at) const {
  const View<T> first = at.view(first_, rows);
  const Stack<T> y = experts_above_.forward(weights, expert_part(first), at);
  const Stack<T> u = gates_above_.forward(weights, gate_part(first), at);
  const Stack<T> g = side_by_side(at.view(gates_, rows), tasks_);
  const Stack<T> v = side_by_side(at.view(mixed_, rows), tasks_);
  at.backend.softmax(u, g);
  Mixture<T> mixture;
  mixture.g = g;
  mixture.y = Stack<const T>(y);
  at.backend.mix(mixture, v);
  return v;
}

template <class T>
Stack<T> Mmoe<T>::outputs(const Activations<T>& at, int rows) const {
  if (experts_above_.empty()) return expert_part(at.view(first_, rows));
  return side_by_side(at.view(experts_above_.layers().back().output, rows), experts_);
}

template <class T>
Stack<T> Mmoe<T>::output_slopes(const Activations<T>& at, int rows) const {
  if (experts_above_.empty()) return expert_part(at.view(first_slope_, rows));
  return experts_above_.output_slope(at, rows);
}

template <class T>
Stack<T> Mmoe<T>::logit_slopes(const Activations<T>& at, int rows) const {
  if (linear_gates_) return gate_part(at.view(first_slope_, rows));
  return side_by_side(at.view(gate_slope_, rows), tasks_);
}

template <class T>
void Mmoe<T>::backward_top(View<const T> x, Stack<const T> dv, std::span<const int> towers,
                           bool first, const Activations<T>& at,
                           GradientTarget<T> last_shared) const {
  const int B = x.rows;
  const Stack<T> du = logit_slopes(at, B), sum = output_slopes(at, B);
  const Stack<T> gate_slopes = first ? du : side_by_side(at.view(loss_gates_, B), tasks_);
  const Stack<T> dy = first ? sum : side_by_side(at.view(loss_slope_, B), experts_);
  const bool all = static_cast<int>(towers.size()) == tasks_;
  for (int t = 0; first && !all && t < tasks_; ++t) at.backend.clear(du[t]);
  // v_t = Σ_e softmax(u_t)_e ∘ y_e
  bool add = false;
  for (std::size_t i = 0; i < (all ? 1 : towers.size()); ++i) {
    Mixture<T> mixture = gate(at, B, towers[i]);
    const int count = all ? tasks_ : 1;
    mixture.g.count = count;
    const auto part = [&](auto stack) {
      stack.first = stack[towers[i]];
      stack.count = count;
      return stack;
    };
    at.backend.mix_backward(mixture, part(dv), {}, true, add, part(gate_slopes), dy);
    add = true;
  }
  if (!first) {
    for (const int t : towers) at.backend.add(gate_slopes[t], du[t]);
  }
  if (last_shared.block != nullptr) {
    if (experts_above_.empty()) {
      const Stack<const T> inputs{x, experts_, 0};
      const Stack<T> dw{{last_shared.block, inputs_, outputs_}, experts_, long{inputs_} * outputs_};
      at.backend.dense_weights_backward(inputs, dy, last_shared.add, dw, {});
    } else {
      experts_above_.last_weights_backward(expert_part(at.view(first_, B)), dy, at,
                                           last_shared.block, last_shared.add);
    }
  }
  for (int e = 0; !first && e < experts_; ++e) at.backend.add(dy[e], sum[e]);
}

template <class T>
void Mmoe<T>::backward_rest(const T* weights, View<const T> x, const Activations<T>& at,
                            GradientTarget<T> target, bool by_loss, View<T> dx) const {
  const int B = x.rows;
  const View<T> first = at.view(first_, B), dfirst = at.view(first_slope_, B);
  if (!experts_above_.empty()) {
    experts_above_.backward(weights, expert_part(first), true, output_slopes(at, B), at,
                            target.block, target.add, expert_part(dfirst), !by_loss);
  }
  if (!linear_gates_) {
    gates_above_.backward(weights, gate_part(first), true, logit_slopes(at, B), at, target.block,
                          target.add, gate_part(dfirst));
  }
  // first = x W + b
  if (target.block != nullptr) {
    at.backend.dense_weights_backward(x, dfirst, target.add,
                                      View<T>{target.block + first_weight_, inputs_, first_width_},
                                      View<T>{target.block + first_bias_, 1, relu_width_});
  }
  if (dx.data != nullptr) {
    at.backend.dense_inputs_backward(dfirst, first_weights(weights, 0), {}, dx);
  }
}

template <class T>
std::vector<std::string> Mmoe<T>::last_shared() const {
  std::vector<std::string> names;
  for (int e = 0; e < experts_; ++e) {
    names.push_back("expert." + std::to_string(e) + ".layer." +
                    std::to_string(experts_above_.layers().size()) + ".weight");
  }
  return names;
}

template <class T>
void Mmoe<T>::forward_context(const T* weights, View<const T> context, View<T> shared) const {
  MILLRACE_CHECK(context.rows == 1 && context.cols <= inputs_);
  MILLRACE_CHECK(shared.has_shape(1, first_width_));
  std::copy_n(weights + first_bias_, relu_width_, shared.data);
  std::fill(shared.data + relu_width_, shared.data + first_width_, T(0));
  const View<const T> w = first_weights(weights, 0);
  for (int d = 0; d < context.cols; ++d) {
    for (int n = 0; n < first_width_; ++n) shared.data[n] += context.data[d] * w.row(d)[n];
  }
}

template <class T>
Stack<T> Mmoe<T>::forward_candidates(const T* weights, View<const T> shared,
                                     View<const T> candidates, const Activations<T>& at) const {
  MILLRACE_CHECK(shared.has_shape(1, first_width_) && candidates.cols <= inputs_);
  at.backend.dense(candidates, first_weights(weights, inputs_ - candidates.cols), shared,
                   relu_width_, at.view(first_, candidates.rows));
  return after_first(weights, candidates.rows, at);
}

template <class T>
std::vector<std::string> Mmoe<T>::gate_experts(int) const {
  std::vector<std::string> names;
  for (int e = 0; e < experts_; ++e) names.push_back("expert." + std::to_string(e));
  return names;
}

template <class T>
Mixture<T> Mmoe<T>::gate(const Activations<T>& at, int rows, int task) const {
  Mixture<T> mixture;
  mixture.g = side_by_side(at.view(gates_, rows), tasks_)[task];
  mixture.g.step = experts_;
  mixture.first_gate = task;
  mixture.y = Stack<const T>(outputs(at, rows));
  return mixture;
}

template class Mmoe<float>;
template class Mmoe<double>;

}  // namespace millrace
