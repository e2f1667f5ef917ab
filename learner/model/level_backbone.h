#pragma once

#include "learner/model/expert_level.h"

namespace millrace {

/// How the columns of x become several inputs of equal width: parts in the order of their columns,
/// each of `width` columns of every group; `own`: in x these are `count` times as many, group by
/// group; otherwise every group has the same.
struct InputGroups {
  struct Part {
    int from = 0;  ///< In x.
    int width = 0;
    bool own = false;
  };
  int count = 1;
  std::vector<Part> parts;  ///< Not needed for one group.

  /// Columns of a group,
  int width() const {
    int sum = 0;
    for (const Part& part : parts) sum += part.width;
    return sum;
  }
  /// and of x.
  int columns() const {
    int sum = 0;
    for (const Part& part : parts) sum += part.own ? count * part.width : part.width;
    return sum;
  }
};

/// The backbones that are levels of experts and gates: MMoE (mmoe.h), CGC and PLE (ple.h), STEM
/// (stem.h). Level j reads what the gates of level j − 1 mixed; the first reads x, which is one
/// input for all, or T + 1 inputs of equal width: the tasks' in their order, and the shared one.
template <class T>
class LevelBackbone final : public Backbone<T> {
 public:
  /// Reserves its parameters at `offset`, which it moves behind them, and its memory in `plan`.
  LevelBackbone(const std::vector<LevelShape>& levels, int tasks, InputGroups groups,
                const ModelOptions& options, long& offset, ActivationPlan& plan);

  int outputs() const override { return levels_.back().outputs(); }
  int output_parts() const override { return levels_.back().in_pairs() ? 1 : 0; }
  void append_slots(std::vector<ParameterSlot>& slots) const override;
  Stack<T> forward(const T* weights, View<const T> x, const Activations<T>& at) const override;
  void backward_top(const T* weights, View<const T> x, Stack<const T> dv,
                    std::span<const int> towers, bool first, const Activations<T>& at,
                    GradientTarget<T> last_shared) const override;
  void backward_rest(const T* weights, View<const T> x, const Activations<T>& at,
                     GradientTarget<T> target, bool by_loss, View<T> dx) const override;
  void transpose(Backend<T>& backend, const T* weights, bool inputs, T* transposed) const override;
  void follow(T* gradients, double rows, std::span<const std::uint8_t> learns,
              T* weights) const override {
    for (const ExpertLevel<T>& level : levels_) level.follow(gradients, rows, learns, weights);
  }
  std::vector<std::string> last_shared() const override { return levels_.back().last_shared(); }
  int context_units() const override { return levels_[0].context_units(); }
  void forward_context(const T* weights, View<const T> context, View<T> shared) const override;
  Stack<T> forward_candidates(const T* weights, View<const T> shared, View<const T> candidates,
                              const Activations<T>& at) const override;
  int gate_weights() const override;
  void add_gate_weights(const Activations<T>& at, int rows, std::span<double> sums) const override;
  std::vector<std::string> gate_experts(int task) const override;
  Mixture<T> gate(const Activations<T>& at, int rows, int task) const override;
  std::vector<LowerGate> lower_gates() const override;
  Mixture<T> lower_gate(const Activations<T>& at, int rows, int i) const override;

 private:
  /// What level j reads, given x. The gates' sums are formed by `sum_gate_inputs`.
  LevelInputs<const T> inputs(std::size_t level, View<const T> x, const Activations<T>& at) const;
  /// The groups of a matrix as wide as x.
  template <class U>
  LevelInputs<U> side_by_side_groups(View<U> x) const;
  /// Of the groups' columns those that come from x, the last of all columns: how many in each
  /// group.
  int spread_width(View<const T> x) const;
  /// Writes these; and back.
  void spread(View<const T> x, const Activations<T>& at) const;
  void collect(View<T> dx, const Activations<T>& at) const;
  void sum_gate_inputs(std::size_t level, const LevelInputs<const T>& x,
                       const Activations<T>& at) const;
  Stack<T> above_first(const T* weights, int rows, View<const T> x, const Activations<T>& at) const;
  Stack<T> tower_inputs(const Activations<T>& at, int rows) const;
  bool has_shared_stream(std::size_t level) const;

  const int tasks_;
  const InputGroups groups_;
  std::vector<ExpertLevel<T>> levels_;
  std::vector<int> every_task_;
  std::vector<Slab> slopes_;        ///< Of level j's inputs, j > 0: tasks', and the shared one's.
  std::vector<Slab> gate_inputs_;   ///< By level: of the gates' own inputs,
  std::vector<Slab> gate_slopes_;   ///< and of the slopes in them.
  Slab spread_{}, spread_slope_{};  ///< All groups of x.
  Slab tower_slope_{};              ///< One gate's: Σ_t dv_t.
};

}  // namespace millrace
