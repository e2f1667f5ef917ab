#include "learner/layers/mlp_bank.h"

#include <algorithm>

#include "learner/base/check.h"

namespace millrace {
namespace {

/// A parameter's stack, in the block of weights or of gradients.
template <class U, class Layer>
Stack<U> weight_stack(U* block, const Layer& layer, int count) {
  return {{block + layer.weight, layer.inputs, layer.outputs},
          count,
          long{layer.inputs} * layer.outputs};
}

/// Nothing where there is no block; a single column needs no transpose.
template <class U, class Layer>
Stack<U> transposed_stack(U* block, const Layer& layer, int count) {
  if (block == nullptr || layer.outputs == 1) return {};
  return {{block + layer.weight, layer.outputs, layer.inputs},
          count,
          long{layer.inputs} * layer.outputs};
}

template <class U, class Layer>
Stack<U> bias_stack(U* block, const Layer& layer, int count) {
  if (!layer.has_bias) return {};
  return {{block + layer.bias, 1, layer.outputs}, count, layer.outputs};
}

}  // namespace

template <class T>
MlpBank<T>::MlpBank(int count, int inputs, const std::vector<int>& widths, Last last, long& offset,
                    ActivationPlan& plan)
    : count_(count) {
  int widest = 0;
  for (std::size_t l = 0; l < widths.size(); ++l) {
    const bool is_last = l + 1 == widths.size();
    Layer layer{};
    layer.inputs = l == 0 ? inputs : widths[l - 1];
    layer.outputs = widths[l];
    layer.relu = !is_last || last == Last::kRelu;
    layer.has_bias = !is_last || last != Last::kLinearWithoutBias;
    layer.weight = reserve_parameters(offset, long{count} * layer.inputs * layer.outputs);
    layer.bias = reserve_parameters(offset, layer.has_bias ? long{count} * layer.outputs : 0);
    layer.output = plan.reserve(count * layer.outputs);
    layers_.push_back(layer);
    widest = std::max(widest, layer.outputs);
  }
  for (Slab& slab : slopes_) slab = plan.reserve_temporary(count * widest);
}

template <class T>
MlpBank<T> MlpBank<T>::member(int i) const {
  MILLRACE_CHECK(0 <= i && i < count_);
  MlpBank one = *this;
  one.count_ = 1;
  one.first_ = first_ + i;
  for (Layer& layer : one.layers_) {
    layer.weight += long{i} * layer.inputs * layer.outputs;
    layer.bias += long{i} * layer.outputs;
  }
  return one;
}

template <class T>
Stack<T> MlpBank<T>::part(View<T> slab, int width) const {
  return side_by_side(slab.cols_from(first_ * width, count_ * width), count_, width);
}

template <class T>
Stack<const T> MlpBank<T>::input_of(std::size_t l, Stack<const T> x, const Activations<T>& at,
                                    int rows) const {
  if (l == 0) return x;
  return part(at.view(layers_[l - 1].output, rows), layers_[l - 1].outputs);
}

template <class T>
Stack<T> MlpBank<T>::forward(const T* weights, Stack<T> x, const Activations<T>& at) const {
  for (const Layer& layer : layers_) {
    const Stack<T> y = part(at.view(layer.output, x.first.rows), layer.outputs);
    at.backend.dense(x, weight_stack(weights, layer, count_), bias_stack(weights, layer, count_),
                     layer.relu ? layer.outputs : 0, y);
    x = y;
  }
  return x;
}

template <class T>
Stack<T> MlpBank<T>::output_slope(const Activations<T>& at, int rows) const {
  return part(at.view(slopes_[0], rows), layers_.back().outputs);
}

template <class T>
void MlpBank<T>::backward(const T* weights, Stack<const T> x, bool x_is_relu, Stack<const T> dy,
                          const Activations<T>& at, T* gradients, bool add, Stack<T> dx,
                          bool last_weights) const {
  MILLRACE_CHECK(!layers_.empty());
  const int B = dy.first.rows;
  int turn = 0;
  for (std::size_t l = layers_.size(); l-- > 0;) {
    const Layer& layer = layers_[l];
    const bool first = l == 0;
    const Stack<const T> input = input_of(l, x, at, B);
    turn = 1 - turn;
    const Stack<T> slope = first ? dx : part(at.view(slopes_[turn], B), layer.inputs);

    // a_l = relu(a_{l−1} W + b); the mask of relu(a_{l−1}) goes with its slope
    if (gradients != nullptr) {
      const bool weighs = last_weights || l + 1 < layers_.size();
      at.backend.dense_weights_backward(
          input, dy, add, weighs ? weight_stack(gradients, layer, count_) : Stack<T>{},
          bias_stack(gradients, layer, count_));
    }
    if (first && dx.first.data == nullptr) break;
    const bool masked = !first || x_is_relu;
    at.backend.dense_inputs_backward(dy, weight_stack(weights, layer, count_),
                                     transposed_stack(at.transposed, layer, count_),
                                     masked ? input : Stack<const T>{}, slope);
    dy = slope;
  }
}

template <class T>
void MlpBank<T>::transpose(Backend<T>& backend, const T* weights, T* transposed) const {
  for (const Layer& layer : layers_) {
    if (layer.outputs == 1) continue;
    backend.transpose(weight_stack(weights, layer, count_),
                      transposed_stack(transposed, layer, count_));
  }
}

template <class T>
void MlpBank<T>::last_weights_backward(Stack<const T> x, Stack<const T> dy,
                                       const Activations<T>& at, T* dw, bool add) const {
  const Layer& layer = layers_.back();
  const Stack<const T> input = input_of(layers_.size() - 1, x, at, dy.first.rows);
  at.backend.dense_weights_backward(
      input, dy, add,
      Stack<T>{{dw, layer.inputs, layer.outputs}, count_, long{layer.inputs} * layer.outputs}, {});
}

template class MlpBank<float>;
template class MlpBank<double>;

}  // namespace millrace
