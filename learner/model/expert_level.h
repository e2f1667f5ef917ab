#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "learner/model/backbone.h"
#include "learner/model/options.h"

namespace millrace {

/// One level of experts and gates, as MMoE, CGC, PLE and STEM have them. E = T·own + shared
/// experts, numbered task by task, the shared ones last; gate t mixes those that its reach says.
struct LevelShape {
  std::string prefix;  ///< Of the names of its parameters: "", "level.0.", …
  int inputs = 0;      ///< D
  int tasks = 0;       ///< T
  int own = 0;         ///< Experts of each task,
  int shared = 0;      ///< and of all.
  /// All experts and gates read the same x; otherwise each task's and the shared ones their own.
  bool one_input = true;
  /// The tasks' gates read inputs of their own instead of their tasks'.
  bool gate_inputs = false;
  int gates = 0;         ///< T, or 1 that serves all tasks.
  int gate_weights = 0;  ///< Of each.
  math::GateReach reach;
  int shared_gate_weights = 0;  ///< 0: there is no shared gate.
  math::GateReach shared_reach;
  bool own_alone = false;    ///< Only its own task's loss reaches an own expert,
  bool gates_alone = false;  ///< and a task's gate;
  bool but_first = false;    ///< but for the first task's, which all losses reach.
  int below = 0;             ///< Levels below it; 0: it reads the model's input.
  int first_weight = 0;      ///< Of its gates', among those of all levels.
};

/// What a level's streams read, or the slopes in that: T tasks, the shared one (with `one_input`
/// that alone), and with `gate_inputs` the gates.
template <class T>
struct LevelInputs {
  Stack<T> tasks;
  View<T> shared;
  Stack<T> gates;
};

/// A level:
///
///   y_e = expert_e(x_s)                    x_s: its stream's input
///   u_t = gate_t(x_t) / τ_t                linear, or an MLP with ReLU; options: bias, temperature
///   g_t = softmax(u_t)                     in training perhaps with some weights dropped
///   v_t = Σ_c g_{t,c} y_{e(t,c)}
///
/// First layers of all experts and gates that read one input are one product, x [B,D] → first
/// [B,N]: | its experts | its gates |; the layers above are batched. With `gate_entropy` λ the loss
/// has −λ H(g_t) of every gate, in the mean over the rows of the batch that weigh something; with
/// `load_balance` λ it has λ CV²(Σ_rows g_t) of every gate, over the same rows: E Σ_c p_c² − 1, p
/// the mean of g_t, which must be known before the first backward pass.
///
/// With `expert_norm` an expert's last layer a is linear and y = swish(γ ∘ (a − μ)/√(v + ε) + β)
/// (math/normalise.h). μ and v are of the rows learned before this step: they stand among the
/// weights, where no gradient moves them, and a training pass leaves what `follow` needs in their
/// place among the gradients.
/// Threads: immutable after construction; all that changes is in the caller's Activations.
template <class T>
class ExpertLevel {
 public:
  /// Reserves its parameters at `offset`, which it moves behind them, and its memory in `plan`.
  ExpertLevel(const LevelShape& shape, const ModelOptions& options, long& offset,
              ActivationPlan& plan);

  const LevelShape& shape() const { return shape_; }
  int outputs() const { return outputs_; }
  /// Whether its experts' units start in pairs (initialise.h), and those that it reads.
  bool in_pairs() const { return shape_.below > 0 || options_.expert_layers.size() > 1; }
  bool reads_pairs() const {
    return shape_.below > 1 || (shape_.below == 1 && options_.expert_layers.size() > 1);
  }
  void append_slots(std::vector<ParameterSlot>& slots) const;

  /// Computes all v, which stand in `at`.
  void forward(const T* weights, const LevelInputs<const T>& x, const Activations<T>& at) const;
  /// The mixtures of the last `forward`: the gates', and the shared gate's.
  Stack<T> mixed(const Activations<T>& at, int rows) const;
  View<T> shared_mixed(const Activations<T>& at, int rows) const;

  /// From the slopes in some gates' mixtures (`which`, ascending) and, if not empty, in the shared
  /// gate's: those in logits and experts. `first`: overwrites them (of gates that are not listed by
  /// 0), otherwise adds to them. With `shared_last`, this call's share of the last layer of the
  /// shared experts goes there.
  void backward_mix(const T* weights, const LevelInputs<const T>& x, Stack<const T> dv,
                    View<const T> shared_dv, std::span<const int> which, bool first,
                    const Activations<T>& at, GradientTarget<T> shared_last) const;
  /// The rest, once; overwrites dx where it is not empty.
  void backward_rest(const T* weights, const LevelInputs<const T>& x, const Activations<T>& at,
                     GradientTarget<T> target, bool by_loss, const LevelInputs<T>& dx) const;
  /// As `Backbone::transpose`; `inputs`: somebody wants slopes in this level's inputs.
  void transpose(Backend<T>& backend, const T* weights, bool inputs, T* transposed) const;

  /// As Backbone::follow.
  void follow(T* gradients, double rows, std::span<const std::uint8_t> learns, T* weights) const;

  /// The weights of all its gates in a row.
  int gate_weights() const;
  /// Adds these, of rows of the last pass that weigh something, to sums [gate_weights()].
  void add_gate_weights(const Activations<T>& at, int rows, std::span<double> sums) const;

  /// Names of the shared experts' last weights.
  std::vector<std::string> last_shared() const;
  /// The tasks' gates, and behind them, where there is one, the shared gate.
  int all_gates() const { return gates_.count + (shared_gate_ ? 1 : 0); }
  std::vector<std::string> gate_experts(int gate) const;
  Mixture<T> gate(const Activations<T>& at, int rows, int gate) const;

  /// The share of the first C columns of each input in the first products of all streams, [1,
  /// units].
  int context_units() const;
  void forward_context(const T* weights, const LevelInputs<const T>& context, View<T> shared) const;
  void forward_candidates(const T* weights, View<const T> shared, const LevelInputs<const T>& x,
                          const Activations<T>& at) const;

 private:
  /// Experts and gates that read one input.
  struct Stream {
    enum class Reads { kShared, kTask, kGate } reads = Reads::kShared;
    int task = 0;
    int first_expert = 0, experts = 0;  ///< By their number.
    int expert_column = 0;              ///< Where they begin in the first product,
    int gate_column = 0;                ///< and its gates.
    int width = 0, biased = 0, relu = 0;
    long weight = 0, bias = 0;
    long stride = 0;  ///< Of the weights of the first product.
    Slab first, slope;
    MlpBank<T> above;                ///< The experts' further layers.
    long scale = 0, shift = 0;       ///< With `expert_norm`, of all units of all its experts:
    long mean = 0, variance = 0;     ///< where γ, β, μ and v stand,
    long known = 0;                  ///< and, one for each expert, how much μ and v are worth.
    Slab normal, output;             ///< h and y.
    std::vector<MlpBank<T>> shared;  ///< Of each shared expert alone.
  };
  /// Gates of one kind.
  struct Gates {
    int count = 0, weights = 0, first_width = 0;
    math::GateReach reach;
    int first_gate = 0;
    int first_weight = 0;                     ///< Among those of all levels' gates.
    std::vector<std::pair<int, int>> places;  ///< Stream and column of each in the first products.
    std::optional<MlpBank<T>> above;
    Slab g, slope, loss_slope;
    long temperature = 0;               ///< Where their ρ stand, if temperatures are learned.
    std::vector<std::uint64_t> random;  ///< Each one's stream of random numbers.
    std::string kind;
  };

  Stream make_stream(typename Stream::Reads reads, int task, int first_expert, int experts,
                     int task_gates, bool shared_gate, long& offset, ActivationPlan& plan);
  Gates make_gates(const std::string& kind, int count, int weights, const math::GateReach& reach,
                   int first_gate, long& offset, ActivationPlan& plan);
  std::string expert_name(int e) const;
  int task_of(int e) const;
  void append_first(const Stream& stream, const std::string& name, int task, int column, int width,
                    double gain, bool alone, std::vector<ParameterSlot>& slots) const;

  View<const T> input(const LevelInputs<const T>& x, const Stream& stream) const;
  View<const T> stream_weights(const T* weights, const Stream& stream, int input) const;
  /// Everything above the first products.
  void after_first(const T* weights, int rows, const Activations<T>& at) const;

  Stack<T> first_part(const Stream& stream, Slab Stream::*slab, const Activations<T>& at,
                      int rows) const;
  Stack<T> gate_part(const Gates& gates, Slab Stream::*slab, const Activations<T>& at,
                     int rows) const;
  /// Their logits, divided by their temperatures once `weigh` was called.
  Stack<T> logits(const Gates& gates, const Activations<T>& at, int rows) const;
  /// From logits to weights, in training with what is dropped.
  void weigh(const Gates& gates, const T* weights, int rows, const Activations<T>& at) const;
  /// Adds the entropy's share to the slopes in the softmax's arguments, and turns them into those
  /// in the logits.
  void backward_weigh(const Gates& gates, const T* weights, int rows, const Activations<T>& at,
                      GradientTarget<T> target) const;
  void append_temperatures(const Gates& gates, const std::function<std::string(int)>& name,
                           const std::function<int(int)>& task,
                           std::vector<ParameterSlot>& slots) const;
  /// Without `expert_norm` these are the same.
  Stack<T> stream_last(const Stream& stream, const Activations<T>& at, int rows) const;
  Stack<T> stream_outputs(const Stream& stream, const Activations<T>& at, int rows) const;
  /// Of `count` units of a stream's experts, from unit `first` on.
  Normalisation<T> norm(const T* weights, const Stream& stream, int first, int count) const;
  void reserve_norm(Stream& stream, long& offset, ActivationPlan& plan) const;
  void append_norms(const Stream& stream, std::vector<ParameterSlot>& slots) const;
  void normalise(const T* weights, int rows, const Activations<T>& at) const;
  /// From slopes dy in the experts' outputs to those in h, and back through it.
  void swish_backward(const ExpertStack<T>& dy, const Activations<T>& at, int rows) const;
  void normalise_backward(const T* weights, const Stream& stream, int rows,
                          const Activations<T>& at, GradientTarget<T> target) const;
  /// From the slopes dh of shared expert i to those in its last layer, in a place of its own.
  View<const T> before_norm(const T* weights, int i, View<const T> dh,
                            const Activations<T>& at) const;
  Stack<T> stream_slopes(const Stream& stream, const Activations<T>& at, int rows) const;
  /// By stream to by number.
  ExpertStack<T> experts(Stack<T> (ExpertLevel::*of)(const Stream&, const Activations<T>&, int)
                             const,
                         const Activations<T>& at, int rows) const;
  /// A temporary place for all experts' slopes.
  ExpertStack<T> loss_slopes(const Activations<T>& at, int rows) const;
  Stack<T> logit_slopes(const Gates& gates, const Activations<T>& at, int rows) const;
  Mixture<T> mixture(const Gates& gates, const Activations<T>& at, int rows) const;
  /// Of gates [t, t + count); du is of one loss alone where that is not the `first`.
  MixtureSlopes<T> slopes_through(const Gates& gates, Stack<const T> dv, int t, int count,
                                  bool first, const Activations<T>& at) const;
  /// Through the gates `which`, and through the shared one where `shared_dv` is not empty.
  void backward_gates(Stack<const T> dv, View<const T> shared_dv, std::span<const int> which,
                      bool first, const ExpertStack<T>& dy, const Activations<T>& at) const;

  const LevelShape shape_;
  const ModelOptions options_;
  const int outputs_;
  const bool linear_gates_;
  std::vector<Stream> streams_;
  Gates gates_;
  std::optional<Gates> shared_gate_;
  Slab mixed_, loss_slope_, last_slope_;
};

}  // namespace millrace
