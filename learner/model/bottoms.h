#pragma once

#include "learner/model/backbone.h"
#include "learner/model/options.h"

namespace millrace {

/// The backbones without experts. A bottom is `expert_layers` dense layers with ReLU on x.
///
///   shared_bottom (Caruana 1997):  v_t = shared(x)
///   shared_specific:               v_t = concat(own_t(x), shared(x)), or, with `shared_mix`,
///                                  v_t = (1 − s_t) own_t(x) + s_t shared(x)
///   separate (ESMM, Ma et al. 2018): v_t = own_t(x), so that tasks share x's embeddings alone, and
///                                  no layer
///
/// s_t is a parameter that no gradient moves (slot "similarity.<t>", [1,2]: 1 − s_t and s_t,
/// written by `set_similarity`), or learned: the second weight of softmax of a slot of two logits.
/// The first layers of all bottoms are one product, x [B,D] → first [B,N]: | own 0 | … | shared |,
/// without the last one where bottoms are separate.
/// In training, `dropout` drops units of every layer and scales the others by 1 / (1 − p).
template <class T>
class Bottoms final : public Backbone<T> {
 public:
  /// Reserves its parameters at `offset`, which it moves behind them, and its memory in `plan`.
  Bottoms(int inputs, int tasks, const ModelOptions& options, long& offset, ActivationPlan& plan);

  int outputs() const override { return read_together() * units_; }
  int output_parts() const override { return above_.empty() ? 0 : read_together(); }
  void append_slots(std::vector<ParameterSlot>& slots) const override;
  Stack<T> forward(const T* weights, View<const T> x, const Activations<T>& at) const override;
  void backward_top(const T* /*weights*/, View<const T> x, Stack<const T> dv,
                    std::span<const int> towers, bool first, const Activations<T>& at,
                    GradientTarget<T> last_shared) const override;
  void backward_rest(const T* weights, View<const T> x, const Activations<T>& at,
                     GradientTarget<T> target, bool by_loss, View<T> dx) const override;
  void transpose(Backend<T>& backend, const T* weights, bool inputs, T* transposed) const override;
  void follow(T*, double, std::span<const std::uint8_t>, T*) const override {}
  std::vector<std::string> last_shared() const override;
  int context_units() const override { return count_ * width_; }
  void forward_context(const T* weights, View<const T> context, View<T> shared) const override;
  Stack<T> forward_candidates(const T* weights, View<const T> shared, View<const T> candidates,
                              const Activations<T>& at) const override;
  int gate_weights() const override { return 0; }
  void add_gate_weights(const Activations<T>&, int, std::span<double>) const override {}
  std::vector<std::string> gate_experts(int task) const override;
  Mixture<T> gate(const Activations<T>& at, int rows, int task) const override;
  std::vector<LowerGate> lower_gates() const override { return {}; }
  Mixture<T> lower_gate(const Activations<T>&, int, int) const override { return {}; }

 private:
  std::string name(int bottom) const;
  /// How many bottoms' outputs a tower reads.
  int read_together() const { return own_ > 0 && shared_ > 0 && !mixes_ ? 2 : 1; }
  Stack<T> after_first(const T* weights, int rows, const Activations<T>& at) const;
  /// The layers' outputs, and the slopes before their ReLU, of layer l.
  Stack<T> outputs_of(std::size_t l, const Activations<T>& at, int rows) const;
  Stack<T> slopes_of(std::size_t l, const Activations<T>& at, int rows) const;
  void drop(std::size_t l, const Activations<T>& at, int rows) const;
  bool drops(const Activations<T>& at) const { return dropout_ > 0 && at.pass->training; }
  /// Gates that pass everything on: of the own bottoms, or of the shared one.
  Mixture<T> through(bool own, const Activations<T>& at, int rows) const;
  Mixture<T> mixture(const Activations<T>& at, int rows) const;

  const int inputs_, tasks_, own_, shared_;  ///< own_: T, or 0; shared_: 1, or 0.
  const int count_;                          ///< Of all bottoms.
  const int width_, units_;                  ///< Of the first and the last layer.
  const bool mixes_, learns_;
  const T dropout_;
  long weight_, bias_, similarity_ = 0;
  Slab first_, first_slope_;
  std::vector<MlpBank<T>> above_;  ///< One for each further layer.
  MlpBank<T> last_shared_;         ///< The shared bottom's part, if any, of the last of them.
  Slab gates_, gate_slopes_, loss_gates_, ones_, one_slopes_, joined_, loss_slopes_, sum_;
};

}  // namespace millrace
