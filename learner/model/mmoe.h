#pragma once

#include "learner/model/backbone.h"
#include "learner/model/options.h"

namespace millrace {

/// Multi-gate mixture of experts (Ma et al. 2018, eq. 6–8):
///
///   y_e = expert_e(x)          E experts, each `expert_layers` dense layers with ReLU
///   u_t = x W_t                a gate's logits; with `gate_layers`, an MLP with ReLU before W_t
///   g_t = softmax(u_t)         W_t has no bias and starts at 0: an even mixture
///   v_t = Σ_e g_{t,e} y_e
///
/// The first layers of all experts and all gates are one product, x [B,D] → first [B,N]:
/// | expert 0 | … | expert E−1 | gate 0 | … | gate T−1 |.
template <class T>
class Mmoe final : public Backbone<T> {
 public:
  /// Reserves its parameters at `offset`, which it moves behind them, and its memory in `plan`.
  Mmoe(int inputs, int tasks, const ModelOptions& options, long& offset, ActivationPlan& plan);

  int outputs() const override { return outputs_; }
  void append_slots(std::vector<ParameterSlot>& slots) const override;
  Stack<T> forward(const T* weights, View<const T> x, const Activations<T>& at) const override;
  void backward_top(View<const T> x, Stack<const T> dv, std::span<const int> towers, bool first,
                    const Activations<T>& at, GradientTarget<T> last_shared) const override;
  void backward_rest(const T* weights, View<const T> x, const Activations<T>& at,
                     GradientTarget<T> target, bool by_loss, View<T> dx) const override;
  std::vector<std::string> last_shared() const override;
  int context_units() const override { return first_width_; }
  void forward_context(const T* weights, View<const T> context, View<T> shared) const override;
  Stack<T> forward_candidates(const T* weights, View<const T> shared, View<const T> candidates,
                              const Activations<T>& at) const override;
  std::vector<std::string> gate_experts(int task) const override;
  Mixture<T> gate(const Activations<T>& at, int rows, int task) const override;

 private:
  /// The matrix of the first product, from input column `input` on.
  View<const T> first_weights(const T* weights, int input) const;
  /// Everything after the first product, of which `rows` rows stand in `at`.
  Stack<T> after_first(const T* weights, int rows, const Activations<T>& at) const;
  /// The experts' and the gates' parts of a matrix as wide as the first product.
  Stack<T> expert_part(View<T> first) const;
  Stack<T> gate_part(View<T> first) const;
  /// The experts' outputs, and the slopes in them before their last ReLU.
  Stack<T> outputs(const Activations<T>& at, int rows) const;
  Stack<T> output_slopes(const Activations<T>& at, int rows) const;
  /// The slopes in the gates' logits.
  Stack<T> logit_slopes(const Activations<T>& at, int rows) const;

  const int inputs_, tasks_, experts_;
  const int expert_width_;  ///< Units of one expert's first layer.
  const int gate_width_;    ///< Of one gate's: E where it is linear.
  const bool linear_gates_;
  const int relu_width_;   ///< Columns of the first product that have bias and ReLU.
  const int first_width_;  ///< N
  const int outputs_;
  long first_weight_, first_bias_;
  MlpBank<T> experts_above_, gates_above_;
  Slab first_, first_slope_, gates_, gate_slope_, mixed_, loss_slope_, loss_gates_;
};

}  // namespace millrace
