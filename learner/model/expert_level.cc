#include "learner/model/expert_level.h"

#include <algorithm>

#include "learner/base/check.h"

namespace millrace {
namespace {

/// The stack of equally spaced matrices that begins with `a`, and continues with `b` if there are
/// more.
template <class T>
Stack<T> stack_of(View<T> a, const T* b, int count) {
  return {a, count, count > 1 ? b - a.data : 0};
}

template <class T>
Stack<T> part_of(Stack<T> stack, int first, int count) {
  stack.first = stack[first];
  stack.count = count;
  return stack;
}

}  // namespace

template <class T>
View<const T> ExpertLevel<T>::input(const LevelInputs<const T>& x, const Stream& stream) const {
  switch (stream.reads) {
    case Stream::Reads::kTask:
      return x.tasks[stream.task];
    case Stream::Reads::kGate:
      return x.gates[stream.task];
    case Stream::Reads::kShared:
      break;
  }
  return x.shared;
}

template <class T>
View<const T> ExpertLevel<T>::stream_weights(const T* weights, const Stream& stream,
                                             int input) const {
  return View<const T>{weights + stream.weight, shape_.inputs, stream.width, stream.stride}
      .rows_from(input, shape_.inputs - input);
}

template <class T>
Stack<T> ExpertLevel<T>::first_part(const Stream& stream, Slab Stream::*slab,
                                    const Activations<T>& at, int rows) const {
  const int width = options_.expert_layers[0];
  return side_by_side(
      at.view(stream.*slab, rows).cols_from(stream.expert_column, stream.experts * width),
      stream.experts, width);
}

template <class T>
Stack<T> ExpertLevel<T>::gate_part(const Gates& gates, Slab Stream::*slab, const Activations<T>& at,
                                   int rows) const {
  const auto place = [&](int t) {
    const auto [stream, column] = gates.places[static_cast<std::size_t>(t)];
    return at.view(streams_[static_cast<std::size_t>(stream)].*slab, rows)
        .cols_from(column, gates.first_width);
  };
  return stack_of<T>(place(0), place(gates.count > 1 ? 1 : 0).data, gates.count);
}

template <class T>
Stack<T> ExpertLevel<T>::stream_last(const Stream& stream, const Activations<T>& at,
                                     int rows) const {
  if (stream.above.empty()) return first_part(stream, &Stream::first, at, rows);
  return side_by_side(at.view(stream.above.layers().back().output, rows), stream.experts, outputs_);
}

template <class T>
Stack<T> ExpertLevel<T>::stream_outputs(const Stream& stream, const Activations<T>& at,
                                        int rows) const {
  if (!options_.expert_norm) return stream_last(stream, at, rows);
  return side_by_side(at.view(stream.output, rows), stream.experts, outputs_);
}

template <class T>
Stack<T> ExpertLevel<T>::stream_slopes(const Stream& stream, const Activations<T>& at,
                                       int rows) const {
  if (stream.above.empty()) return first_part(stream, &Stream::slope, at, rows);
  return stream.above.output_slope(at, rows);
}

template <class T>
ExpertStack<T> ExpertLevel<T>::experts(Stack<T> (ExpertLevel::*of)(const Stream&,
                                                                   const Activations<T>&, int)
                                           const,
                                       const Activations<T>& at, int rows) const {
  const Stack<T> first = (this->*of)(streams_[0], at, rows);
  if (shape_.one_input) return {first};
  const T* second = shape_.tasks > 1 ? (this->*of)(streams_[1], at, rows).first.data : nullptr;
  return {first, shape_.tasks, second == nullptr ? 0 : second - first.first.data,
          (this->*of)(streams_[static_cast<std::size_t>(shape_.tasks)], at, rows)};
}

template <class T>
ExpertStack<T> ExpertLevel<T>::loss_slopes(const Activations<T>& at, int rows) const {
  return {side_by_side(at.view(loss_slope_, rows), shape_.own * shape_.tasks + shape_.shared)};
}

template <class T>
Stack<T> ExpertLevel<T>::logit_slopes(const Gates& gates, const Activations<T>& at,
                                      int rows) const {
  if (linear_gates_) return gate_part(gates, &Stream::slope, at, rows);
  return side_by_side(at.view(gates.slope, rows), gates.count);
}

template <class T>
Mixture<T> ExpertLevel<T>::mixture(const Gates& gates, const Activations<T>& at, int rows) const {
  Mixture<T> mixture;
  mixture.reach = gates.reach;
  mixture.first_gate = gates.first_gate;
  mixture.g = side_by_side(at.view(gates.g, rows), gates.count);
  mixture.y = experts(&ExpertLevel::stream_outputs, at, rows);
  return mixture;
}

template <class T>
void ExpertLevel<T>::forward(const T* weights, const LevelInputs<const T>& x,
                             const Activations<T>& at) const {
  const int rows = x.shared.rows;
  for (const Stream& stream : streams_) {
    at.backend.dense(input(x, stream), stream_weights(weights, stream, 0),
                     View<const T>{weights + stream.bias, 1, stream.biased}, stream.relu,
                     at.view(stream.first, rows));
  }
  after_first(weights, rows, at);
}

template <class T>
void ExpertLevel<T>::after_first(const T* weights, int rows, const Activations<T>& at) const {
  for (const Stream& stream : streams_) {
    stream.above.forward(weights, first_part(stream, &Stream::first, at, rows), at);
  }
  if (options_.expert_norm) normalise(weights, rows, at);
  for (const Gates* gates : {&gates_, shared_gate_ ? &*shared_gate_ : nullptr}) {
    if (gates == nullptr) continue;
    gates->above->forward(weights, gate_part(*gates, &Stream::first, at, rows), at);
    weigh(*gates, weights, rows, at);
    at.backend.mix(mixture(*gates, at, rows),
                   gates == &gates_ ? mixed(at, rows) : Stack<T>(shared_mixed(at, rows)));
  }
}

template <class T>
Stack<T> ExpertLevel<T>::mixed(const Activations<T>& at, int rows) const {
  return side_by_side(at.view(mixed_, rows).cols_from(0, gates_.count * outputs_), gates_.count);
}

template <class T>
View<T> ExpertLevel<T>::shared_mixed(const Activations<T>& at, int rows) const {
  MILLRACE_CHECK(shared_gate_);
  return at.view(mixed_, rows).cols_from(gates_.count * outputs_, outputs_);
}

template <class T>
MixtureSlopes<T> ExpertLevel<T>::slopes_through(const Gates& gates, Stack<const T> dv, int t,
                                                int count, bool first,
                                                const Activations<T>& at) const {
  const int rows = dv.first.rows;
  MixtureSlopes<T> through{mixture(gates, at, rows), part_of(dv, t, count), {}};
  through.mixture.g = part_of(through.mixture.g, t, count);
  through.mixture.first_gate += t;
  const Stack<T> du = first ? logit_slopes(gates, at, rows)
                            : side_by_side(at.view(gates.loss_slope, rows), gates.count);
  through.du = part_of(du, t, count);
  return through;
}

template <class T>
void ExpertLevel<T>::backward_gates(Stack<const T> dv, View<const T> shared_dv,
                                    std::span<const int> which, bool first,
                                    const ExpertStack<T>& dy, const Activations<T>& at) const {
  // What is measured of one loss alone is so at the last level, which has no shared gate.
  MILLRACE_CHECK(first || shared_dv.data == nullptr);
  const int rows = dv.first.rows;
  const bool all = static_cast<int>(which.size()) == gates_.count;
  const Stack<T> du = logit_slopes(gates_, at, rows);
  for (int t = 0; first && !all && t < gates_.count; ++t) at.backend.clear(du[t]);
  const std::size_t calls = all ? 1 : which.size();
  for (std::size_t i = 0; i < calls; ++i) {
    MixtureSlopes<T> through[2] = {
        slopes_through(gates_, dv, all ? 0 : which[i], all ? gates_.count : 1, first, at), {}};
    std::size_t count = 1;
    if (shared_dv.data != nullptr && i + 1 == calls) {
      through[count++] = slopes_through(*shared_gate_, Stack<const T>(shared_dv), 0, 1, first, at);
    }
    at.backend.mix_backward({through, count}, !options_.expert_norm, i > 0, dy);
  }
  const Stack<T> of_loss = side_by_side(at.view(gates_.loss_slope, rows), gates_.count);
  for (std::size_t i = 0; !first && i < which.size(); ++i) {
    at.backend.add(of_loss[which[i]], du[which[i]]);
  }
}

template <class T>
void ExpertLevel<T>::backward_mix(const T* weights, const LevelInputs<const T>& x,
                                  Stack<const T> dv, View<const T> shared_dv,
                                  std::span<const int> which, bool first, const Activations<T>& at,
                                  GradientTarget<T> shared_last) const {
  const int rows = dv.first.rows, own_all = shape_.own * shape_.tasks;
  const ExpertStack<T> sum = experts(&ExpertLevel::stream_slopes, at, rows);
  const ExpertStack<T> dy = first ? sum : loss_slopes(at, rows);
  backward_gates(dv, shared_dv, which, first, dy, at);
  if (options_.expert_norm) swish_backward(dy, at, rows);
  if (shared_last.block != nullptr) {
    const Stream& stream = streams_[shape_.one_input ? 0 : static_cast<std::size_t>(shape_.tasks)];
    T* dw = shared_last.block;
    for (int i = 0; i < shape_.shared; ++i) {
      View<const T> slope = dy[own_all + i];
      if (options_.expert_norm) slope = before_norm(weights, i, slope, at);
      if (stream.above.empty()) {
        at.backend.dense_weights_backward(input(x, stream), slope, shared_last.add,
                                          View<T>{dw, shape_.inputs, outputs_}, {});
        dw += long{shape_.inputs} * outputs_;
        continue;
      }
      const auto& layer = stream.above.layers().back();
      const int member = own_all + i - stream.first_expert;
      stream.shared[static_cast<std::size_t>(i)].last_weights_backward(
          first_part(stream, &Stream::first, at, rows)[member], slope, at, dw, shared_last.add);
      dw += long{layer.inputs} * layer.outputs;
    }
  }
  for (int e = 0; !first && e < own_all + shape_.shared; ++e) at.backend.add(dy[e], sum[e]);
}

template <class T>
void ExpertLevel<T>::backward_rest(const T* weights, const LevelInputs<const T>& x,
                                   const Activations<T>& at, GradientTarget<T> target, bool by_loss,
                                   const LevelInputs<T>& dx) const {
  const int rows = x.shared.rows;
  for (const Gates* gates : {&gates_, shared_gate_ ? &*shared_gate_ : nullptr}) {
    if (gates == nullptr) continue;
    backward_weigh(*gates, weights, rows, at, target);
    if (linear_gates_) continue;
    gates->above->backward(weights, gate_part(*gates, &Stream::first, at, rows), true,
                           logit_slopes(*gates, at, rows), at, target.block, target.add,
                           gate_part(*gates, &Stream::slope, at, rows));
  }
  for (const Stream& stream : streams_) {
    if (options_.expert_norm) normalise_backward(weights, stream, rows, at, target);
    if (!stream.above.empty() && stream.experts > 0) {
      const bool known = by_loss && static_cast<int>(stream.shared.size()) == stream.experts;
      stream.above.backward(weights, first_part(stream, &Stream::first, at, rows), true,
                            stream_slopes(stream, at, rows), at, target.block, target.add,
                            first_part(stream, &Stream::slope, at, rows), !known);
    }
    // first = x W + b
    const View<T> dfirst = at.view(stream.slope, rows);
    if (target.block != nullptr) {
      at.backend.dense_weights_backward(
          input(x, stream), dfirst, target.add,
          View<T>{target.block + stream.weight, shape_.inputs, stream.width, stream.stride},
          View<T>{target.block + stream.bias, 1, stream.biased});
    }
    View<T> slope = dx.shared;
    if (stream.reads == Stream::Reads::kTask) slope = dx.tasks[stream.task];
    if (stream.reads == Stream::Reads::kGate) slope = dx.gates[stream.task];
    if (slope.data == nullptr) continue;
    const T* const transposed = at.transposed;
    at.backend.dense_inputs_backward(
        dfirst, stream_weights(weights, stream, 0),
        transposed == nullptr
            ? View<const T>{}
            : View<const T>{transposed + stream.weight, stream.width, shape_.inputs},
        {}, slope);
  }
}

template <class T>
void ExpertLevel<T>::transpose(Backend<T>& backend, const T* weights, bool inputs,
                               T* transposed) const {
  for (const Stream& stream : streams_) {
    stream.above.transpose(backend, weights, transposed);
    if (!inputs) continue;
    backend.transpose(stream_weights(weights, stream, 0),
                      View<T>{transposed + stream.weight, stream.width, shape_.inputs});
  }
  for (const Gates* gates : {&gates_, shared_gate_ ? &*shared_gate_ : nullptr}) {
    if (gates != nullptr) gates->above->transpose(backend, weights, transposed);
  }
}

template <class T>
Mixture<T> ExpertLevel<T>::gate(const Activations<T>& at, int rows, int gate) const {
  if (gate == gates_.count) return mixture(*shared_gate_, at, rows);
  Mixture<T> one = mixture(gates_, at, rows);
  one.g = part_of(one.g, gate, 1);
  one.first_gate += gate;
  return one;
}

template <class T>
int ExpertLevel<T>::context_units() const {
  int units = 0;
  for (const Stream& stream : streams_) units += stream.width;
  return units;
}

template <class T>
void ExpertLevel<T>::forward_context(const T* weights, const LevelInputs<const T>& context,
                                     View<T> shared) const {
  MILLRACE_CHECK(shared.has_shape(1, context_units()));
  T* units = shared.data;
  for (const Stream& stream : streams_) {
    const View<const T> x = input(context, stream);
    MILLRACE_CHECK(x.rows == 1 && x.cols <= shape_.inputs);
    std::copy_n(weights + stream.bias, stream.biased, units);
    std::fill(units + stream.biased, units + stream.width, T(0));
    const View<const T> w = stream_weights(weights, stream, 0);
    for (int d = 0; d < x.cols; ++d) math::mix_add(x.data[d], w.row(d), units, stream.width);
    units += stream.width;
  }
}

template <class T>
void ExpertLevel<T>::forward_candidates(const T* weights, View<const T> shared,
                                        const LevelInputs<const T>& x,
                                        const Activations<T>& at) const {
  MILLRACE_CHECK(shared.has_shape(1, context_units()));
  int column = 0;
  for (const Stream& stream : streams_) {
    const View<const T> candidates = input(x, stream);
    at.backend.dense(candidates, stream_weights(weights, stream, shape_.inputs - candidates.cols),
                     shared.cols_from(column, stream.width), stream.relu,
                     at.view(stream.first, candidates.rows));
    column += stream.width;
  }
  after_first(weights, x.shared.rows, at);
}

template class ExpertLevel<float>;
template class ExpertLevel<double>;

}  // namespace millrace
