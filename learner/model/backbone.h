#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "learner/layers/activations.h"
#include "learner/model/gate_tally.h"
#include "learner/model/parameter_block.h"

namespace millrace {

/// Gradients of a pass over some rows: where they go, and whether they add to what is there.
template <class T>
struct GradientTarget {
  T* block = nullptr;  ///< The whole block; null: nobody wants weights' gradients.
  bool add = false;
};

/// How tasks share the network between the input and their towers: x [B,D] → v_t [B,H], one matrix
/// for each task's tower, and back.
///
/// Weights and gradients are the model's whole blocks; a backbone knows its own places in them. It
/// reserves those, and its activations, at construction, and is immutable from then on: passes of
/// several threads differ only in their Activations, where `at.pass` tells how.
///
/// The backward pass has two halves, because what several losses want of the shared part can be
/// told apart near its top at little cost: `backward_top` once for each loss, then `backward_rest`
/// once for their sum.
template <class T>
class Backbone {
 public:
  virtual ~Backbone() = default;

  /// H, the units of every v_t.
  virtual int outputs() const = 0;
  /// How many layers' outputs, whose units start in pairs, stand side by side in them; 0: the units
  /// start alone (initialise.h).
  virtual int output_parts() const { return 1; }
  virtual void append_slots(std::vector<ParameterSlot>& slots) const = 0;

  /// Returns v, a stack of T; it stands in `at`, which also keeps what the backward pass needs.
  virtual Stack<T> forward(const T* weights, View<const T> x, const Activations<T>& at) const = 0;

  /// From one loss's slopes in the towers' inputs: dv_t of the towers in `towers` (ascending); it
  /// has none in the others. `first`: the first loss of this backward pass; the others add. If
  /// `last_shared` has a block, this loss's gradient of the layer `last_shared()` goes there, its
  /// slots one after another.
  virtual void backward_top(const T* weights, View<const T> x, Stack<const T> dv,
                            std::span<const int> towers, bool first, const Activations<T>& at,
                            GradientTarget<T> last_shared) const = 0;

  /// Everything below, for all losses together; overwrites dx (no slope in x is formed if it is
  /// empty). `by_loss`: the gradient of the layer `last_shared()` may be left out.
  virtual void backward_rest(const T* weights, View<const T> x, const Activations<T>& at,
                             GradientTarget<T> target, bool by_loss, View<T> dx) const = 0;

  /// Writes the transposes of the matrices of weights for `Activations::transposed`; of those that
  /// only dx needs, only with `inputs`.
  virtual void transpose(Backend<T>& backend, const T* weights, bool inputs,
                         T* transposed) const = 0;

  /// Moves what follows the rows instead of a gradient (running statistics), by what passes over a
  /// batch with `rows` rows that weigh something left in its places in `gradients`, which become 0.
  /// What belongs to a task that does not learn (`learns` [T]) stays as it is.
  virtual void follow(T* gradients, double rows, std::span<const std::uint8_t> learns,
                      T* weights) const = 0;

  /// Names of the slots (weights alone) of the last layer that all tasks share (algorithms 2.7);
  /// none where no layer is shared.
  virtual std::vector<std::string> last_shared() const = 0;

  /// What depends on a request's context alone: the first product's share of its C columns.
  virtual int context_units() const = 0;
  virtual void forward_context(const T* weights, View<const T> context, View<T> shared) const = 0;
  /// `forward` for the other D − C columns, given the context's share.
  virtual Stack<T> forward_candidates(const T* weights, View<const T> shared,
                                      View<const T> candidates, const Activations<T>& at) const = 0;

  /// The weights of all gates of all levels in a row; and adds those of the rows of the last
  /// `forward` in `at` that weigh something to sums [gate_weights()].
  virtual int gate_weights() const = 0;
  virtual void add_gate_weights(const Activations<T>& at, int rows,
                                std::span<double> sums) const = 0;

  /// The names of the experts that task t's gate weighs, by column; none without gates.
  virtual std::vector<std::string> gate_experts(int task) const = 0;
  /// Task t's gate in the last `forward` in `at`; without one its `g` is empty.
  virtual Mixture<T> gate(const Activations<T>& at, int rows, int task) const = 0;
  /// Those below the top level, level by level, the shared one last; and the i-th of them in the
  /// last `forward`.
  virtual std::vector<LowerGate> lower_gates() const = 0;
  virtual Mixture<T> lower_gate(const Activations<T>& at, int rows, int i) const = 0;
};

}  // namespace millrace
