#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "learner/base/view.h"
#include "learner/data/schema.h"
#include "learner/device/backend.h"
#include "learner/layers/activations.h"
#include "learner/layers/pass.h"
#include "learner/model/gate_tally.h"
#include "learner/model/options.h"
#include "learner/model/parameter_block.h"

namespace millrace {

/// The dense part of a multi-task model: x [B,D] → one own logit per task, z [B,T]. It knows shapes
/// only; weights and gradients are blocks of `parameter_count()` values that the caller owns, so
/// one model serves training, all versions that are scored, and any number of threads.
///
/// Threads: immutable after construction; one `Workspace` per thread.
template <class T>
class Model {
 public:
  /// The activations of one pass; reusable. Takes its memory at construction and borrows the
  /// backend. Comes from `workspace`.
  class Workspace {
   public:
    Workspace(Backend<T>& backend, int max_rows, const ActivationPlan& plan)
        : memory_(backend.allocate(plan.values_per_row() * max_rows)),
          gate_means_(backend.allocate(0)),
          at_{backend, plan.begin(memory_.get(), max_rows), max_rows} {}

    /// Backward passes read the transposes that `Model::transpose` wrote last there, until told of
    /// another place; null: none. Borrows them.
    void use_transposed(const T* transposed) { at_.transposed = transposed; }

   private:
    friend class Model;
    Buffer<T> memory_, gate_means_;
    Activations<T> at_;
    Stack<T> v_{};  ///< The towers' inputs in the last pass, in `memory_`,
    int rows_ = 0;  ///< and its rows.
    Pass pass_;
  };

  /// `schema` is what the inputs have: `input_schema` of the features.
  /// Requires: options were validated.
  Model(const Schema& schema, const ModelOptions& options);
  /// The same, with another number of its first columns for the context.
  Model(const Schema& schema, int context_inputs, const ModelOptions& options);
  /// A model over `inputs` columns of which the first `context_inputs` belong to the context.
  Model(int inputs, int context_inputs, int tasks, const ModelOptions& options);
  ~Model();

  int inputs() const;
  int tasks() const;
  /// Values of a block of weights or of gradients: those of all parameters, and a few that belong
  /// to none and stay 0 (see reserve_parameters).
  long parameter_count() const;
  const std::vector<ParameterSlot>& parameters() const;
  /// Where in the parameters task t's last bias stands (it starts at the base rate).
  long output_bias(int task) const;

  /// He normal in pairs of units, last tower layer 1/fan_in, biases and gates 0; each slot from its
  /// own random stream (initialise.h).
  void initialise(std::uint64_t seed, std::span<T> weights) const;

  std::unique_ptr<Workspace> workspace(Backend<T>& backend, int max_rows) const;

  /// z = f(x). x [B,D], z [B,T], B ≤ the workspace's rows. Keeps in `work` what `backward` needs.
  void forward(const T* weights, View<const T> x, Workspace& work, View<T> z,
               const Pass& pass = {}) const;

  /// From dz [B,T]: overwrites or adds the gradients of all weights (`add`: whether `gradients`
  /// already holds something to add to; null: none are formed), and overwrites dx [B,D] (no
  /// gradient of x if empty). So one logit's slopes in x alone come from a dz of ones in its
  /// column. Requires: `forward` with the same weights, x and work came just before; backward
  /// passes may follow each other.
  void backward(const T* weights, View<const T> x, Workspace& work, View<const T> dz, T* gradients,
                bool add, View<T> dx) const;

  /// The transposes of the matrices of weights [parameter_count()], which spare a backward pass of
  /// many tiles from forming them for each (Workspace::use_transposed); the bits are the same.
  /// `inputs`: for passes that want dx, too.
  void transpose(Backend<T>& backend, const T* weights, bool inputs, T* transposed) const;

  /// The weights' pairs for Backend::use_rounded, [parameter_count()].
  void round(Backend<T>& backend, const T* weights, std::uint32_t* pairs) const;

  /// One loss's slopes in the logits. A loss may reach several towers: a product's reaches all of
  /// its chain.
  struct LossSlope {
    View<const T> dz;             ///< [B,T], of which the columns of `towers` are read.
    std::span<const int> towers;  ///< Ascending.
  };

  /// The gradients of one loss alone, in all that is shared and in x: as `backward`, apart from the
  /// towers that it does not reach, whose gradients stay as they are.
  void backward_loss(const T* weights, View<const T> x, Workspace& work, const LossSlope& loss,
                     T* gradients, bool add, View<T> dx) const;

  /// As `backward` for the sum of the losses' slopes; and last_shared[s] [last_shared_count()] is
  /// overwritten by (`add`: takes in) loss s's gradient of the layer that all tasks share last, the
  /// slots of `last_shared()` one after another. That layer's part of `gradients` becomes the sum
  /// of these. The extra cost is the layer's weight product for each loss but one, where no tower
  /// is reached by two losses. Requires: as `backward`; every tower is reached by some loss, and
  /// with `add`, `gradients` and `last_shared` hold the same passes.
  void backward_by_loss(const T* weights, View<const T> x, Workspace& work,
                        std::span<const LossSlope> losses, T* gradients, bool add, View<T> dx,
                        std::span<T* const> last_shared) const;
  const std::vector<ParameterSlot>& last_shared() const;
  long last_shared_count() const;

  /// The towers' inputs v_t of the last pass in `work`, a stack of T [B,H]: the representation that
  /// a task reads. Valid until the next pass.
  Stack<const T> tower_inputs(const Workspace& work) const;
  /// H
  int tower_width() const;

  /// The first columns of x that belong to the context.
  int context_inputs() const;
  /// Scoring: the first layer's share of one context, computed once a request.
  /// context [1, context width] → shared [1, units of the first product], all in main memory.
  void forward_context(const T* weights, View<const T> context, View<T> shared) const;
  int context_units() const;
  /// z [B,T] for candidates [B, D − context width] that share one context. Nothing is kept.
  void forward_candidates(const T* weights, View<const T> shared, View<const T> candidates,
                          Workspace& work, View<T> z) const;

  /// After the passes over a batch of which `rows` rows weigh something: moves what follows the
  /// rows instead of a gradient (experts' running statistics) by what those passes left in its
  /// places in `gradients`, summed over all rows, and puts these to 0. What is a task's own stays
  /// as it is where `learns` [T] is 0.
  void follow(T* gradients, double rows, std::span<const std::uint8_t> learns, T* weights) const;

  /// Where a shared_specific mixes by measured similarity: sets that of a task, in [0, 1], in
  /// `weights`. Elsewhere it does nothing.
  void set_similarity(int task, double similarity, T* weights) const;

  /// The gate weights of the last pass in `work`: task t's, [B, experts]; empty where the backbone
  /// has no gates.
  View<const T> gate(const Workspace& work, int task) const;
  /// With `load_balance`, the weights of all gates in a row; otherwise 0, and none of the following
  /// is needed. A training pass over a part of a batch needs their means over all of it before its
  /// `backward`: `add_gate_weights` adds those of the rows of the last pass in `work` that weigh
  /// something to sums [gate_weights()], and `set_gate_means` hands the means to a workspace, where
  /// they stay.
  int gate_weights() const;
  void add_gate_weights(const Workspace& work, std::span<double> sums) const;
  void set_gate_means(Workspace& work, std::span<const double> means) const;
  /// The names of the experts that they weigh, in their order.
  std::vector<std::string> gate_experts(int task) const;
  /// Takes the rows of the last pass in `work` into tallies[t] of each task; rows of weight 0 are
  /// left out. Costs about as much as a mixture; takes memory.
  void tally_gates(const Workspace& work, std::span<GateTally> tallies) const;
  /// The gates below the top level, and the same of them.
  std::vector<LowerGate> lower_gates() const;
  void tally_lower_gates(const Workspace& work, std::span<GateTally> tallies) const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace millrace
