#pragma once

#include <vector>

#include "learner/layers/activations.h"

namespace millrace {

/// Reserves `count` values of a model's block of parameters, at `offset`, which it moves behind
/// them. They begin at a cache line of the block; what lies between is 0 for ever.
inline long reserve_parameters(long& offset, long count) {
  const long begin = (offset + 15) / 16 * 16;
  offset = begin + count;
  return begin;
}
/// Values from row to row of a matrix of `width` columns whose rows begin at cache lines.
inline long parameter_stride(int width) { return (long{width} + 15) / 16 * 16; }

/// `count` equal stacks of dense layers side by side: the experts above their first layer, the
/// gates above theirs, the towers of all tasks. Layer l of all of them is one batched operation.
///
///   a_0 = x_i,   a_l = relu(a_{l−1} W_{i,l} + b_{i,l})       i = 1…count
///
/// The last layer may be linear (`Last`). Weights live in the model's block of parameters, the
/// bank's part contiguous: per layer the weights of all, [count·D, H], then their biases,
/// [count, H].
/// Threads: immutable after construction; all that changes is in the caller's Activations.
template <class T>
class MlpBank {
 public:
  MlpBank() = default;  ///< Of nobody.
  enum class Last { kRelu, kLinear, kLinearWithoutBias };

  /// One layer's place: weights of member i at `weight + i·D·H`, its bias at `bias + i·H`.
  struct Layer {
    int inputs;   ///< D
    int outputs;  ///< H
    bool relu;
    bool has_bias;
    long weight;  ///< Offsets in the block of parameters.
    long bias;
    Slab output;  ///< [B, count·H]
  };

  /// Reserves its parameters at `offset`, which it moves behind them, and its memory in `plan`.
  /// `widths` are the layers' outputs; none: the bank is the identity and has nothing.
  MlpBank(int count, int inputs, const std::vector<int>& widths, Last last, long& offset,
          ActivationPlan& plan);

  int count() const { return count_; }
  bool empty() const { return layers_.empty(); }
  const std::vector<Layer>& layers() const { return layers_; }
  /// Member i alone, with the same weights and the same memory of a pass.
  MlpBank member(int i) const;

  /// Returns the last layer's outputs [B,H], which stand in `at`; x if the bank is empty.
  Stack<T> forward(const T* weights, Stack<T> x, const Activations<T>& at) const;

  /// Where the slope of the last layer (before its activation) may be written for `backward`.
  /// Requires: not empty.
  Stack<T> output_slope(const Activations<T>& at, int rows) const;

  /// From dy, the slopes before the last activation: overwrites (`add`: adds to) the gradients of
  /// its weights, and overwrites dx, the slopes in x, or, with `x_is_relu`, before the ReLU whose
  /// output x is (an empty dx: nobody wants it). Requires: not empty; `forward` came before in the
  /// same `at`.
  /// Without `gradients` (null) no weight's slope is formed. `last_weights` false: the last layer's
  /// weights are left out (`last_weights_backward` forms them), its biases are not.
  void backward(const T* weights, Stack<const T> x, bool x_is_relu, Stack<const T> dy,
                const Activations<T>& at, T* gradients, bool add, Stack<T> dx,
                bool last_weights = true) const;

  /// Writes the layers' transposes for `Activations::transposed`.
  void transpose(Backend<T>& backend, const T* weights, T* transposed) const;

  /// Overwrites (`add`: adds to) dw, the slopes of the last layer's weights, [count·D, H] one
  /// member after the other as in the block. Requires: as `backward`.
  void last_weights_backward(Stack<const T> x, Stack<const T> dy, const Activations<T>& at, T* dw,
                             bool add) const;

 private:
  /// The members' columns of a slab whose part of each is `width` wide.
  Stack<T> part(View<T> slab, int width) const;
  /// What layer l read in the last `forward`.
  Stack<const T> input_of(std::size_t l, Stack<const T> x, const Activations<T>& at,
                          int rows) const;

  int count_ = 0;
  int first_ = 0;  ///< Of the members that the memory of a pass is for.
  std::vector<Layer> layers_;
  Slab slopes_[2];  ///< Of hidden layers by turns; [0] begins with the last layer's.
};

}  // namespace millrace
