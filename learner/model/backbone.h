#pragma once

#include <vector>

#include "learner/layers/activations.h"
#include "learner/model/parameter_block.h"

namespace millrace {

/// How tasks share the network between the input and their towers: x [B,D] → v_t [B,H], one matrix
/// for each task's tower, and back.
///
/// Weights and gradients are the model's whole blocks; a backbone knows its own places in them. It
/// reserves those, and its activations, at construction, and is immutable from then on: passes of
/// several threads differ only in their Activations.
template <class T>
class Backbone {
 public:
  virtual ~Backbone() = default;

  /// H, the units of every v_t.
  virtual int outputs() const = 0;
  virtual void append_slots(std::vector<ParameterSlot>& slots) const = 0;

  /// Returns v, a stack of T; it stands in `at`, which also keeps what `backward` needs.
  virtual Stack<T> forward(const T* weights, View<const T> x, const Activations<T>& at) const = 0;

  /// From dv: overwrites (`add`: adds to) the gradients of its weights, and overwrites dx (no slope
  /// in x is formed if it is empty).
  virtual void backward(const T* weights, View<const T> x, Stack<const T> dv,
                        const Activations<T>& at, T* gradients, bool add, View<T> dx) const = 0;

  /// What depends on a request's context alone: the first product's share of its C columns.
  virtual int context_units() const = 0;
  virtual void forward_context(const T* weights, View<const T> context, View<T> shared) const = 0;
  /// `forward` for the other D − C columns, given the context's share.
  virtual Stack<T> forward_candidates(const T* weights, View<const T> shared,
                                      View<const T> candidates, const Activations<T>& at) const = 0;

  /// Task t's gate weights of the last `forward` in `at`, [rows, experts].
  virtual View<const T> gate(const Activations<T>& at, int rows, int task) const = 0;
};

}  // namespace millrace
