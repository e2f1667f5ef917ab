#pragma once

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

  void append_slots(std::vector<ParameterSlot>& slots) const;
  /// Where task t's last bias stands.
  long output_bias(int task) const;

  /// Overwrites z [B,T].
  void forward(const T* weights, Stack<T> v, const Activations<T>& at, View<T> z) const;
  /// From dz [B,T]: gradients as in Backbone::backward; returns dv, which stands in `at`.
  Stack<T> backward(const T* weights, Stack<const T> v, View<const T> dz, const Activations<T>& at,
                    T* gradients, bool add) const;

 private:
  MlpBank<T> towers_;
  Slab input_slope_;
};

}  // namespace millrace
