#pragma once

#include <span>
#include <vector>

#include "learner/model/backbone.h"

namespace millrace {

/// One tower per task: v_t [B,H] → z_t [B,1], dense layers with ReLU and a last linear one, all
/// tasks batched. Without hidden layers a tower is that last one. What the logits mean (chains of
/// conditions, losses) is the trainer's: math/product_head.h, math/loss.h.
template <class T>
class Heads {
 public:
  /// Reserves its parameters at `offset`, which it moves behind them, and its memory in `plan`.
  Heads(int tasks, int inputs, const std::vector<int>& hidden, long& offset, ActivationPlan& plan);

  /// `input_parts`: of what the towers read (ParameterSlot).
  void append_slots(int input_parts, std::vector<ParameterSlot>& slots) const;
  /// Where task t's last bias stands.
  long output_bias(int task) const;

  /// Overwrites z [B,T].
  void forward(const T* weights, Stack<T> v, const Activations<T>& at, View<T> z) const;
  /// From dz [B,T]: overwrites or adds the gradients of the towers in `towers` (ascending; the
  /// others' stay as they are); returns dv, a stack of T that stands in `at`, of which these were
  /// written.
  Stack<T> backward(const T* weights, Stack<const T> v, View<const T> dz,
                    std::span<const int> towers, const Activations<T>& at,
                    GradientTarget<T> target) const;
  /// Writes the towers' transposes for `Activations::transposed`.
  void transpose(Backend<T>& backend, const T* weights, T* transposed) const {
    towers_.transpose(backend, weights, transposed);
  }

 private:
  MlpBank<T> towers_;
  std::vector<MlpBank<T>> tower_;  ///< Each alone.
  Slab input_slope_;
};

}  // namespace millrace
