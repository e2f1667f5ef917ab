#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "learner/base/view.h"
#include "learner/data/schema.h"
#include "learner/device/backend.h"
#include "learner/layers/activations.h"
#include "learner/model/options.h"
#include "learner/model/parameter_block.h"

namespace millrace {

/// The dense part of a multi-task model: x [B,D] → one own logit per task, z [B,T]. It knows shapes
/// only; weights and gradients are blocks of `parameter_count()` values that the caller owns, so
/// one model serves training, all versions that are scored, and any number of threads.
///
/// MMoE (Ma et al. 2018, eq. 6–8): all experts' first layers and all gates are one product.
/// Threads: immutable after construction; one `Workspace` per thread.
template <class T>
class Model {
 public:
  /// The activations of one pass; reusable. Takes its memory at construction and borrows the
  /// backend. Comes from `workspace`.
  class Workspace {
   public:
    Workspace(Backend<T>& backend, int max_rows, long values_per_row)
        : memory_(backend.allocate(values_per_row * max_rows)),
          at_{backend, memory_.get(), max_rows} {}

   private:
    friend class Model;
    Buffer<T> memory_;
    Activations<T> at_;
    Stack<T> v_{};  ///< The towers' inputs in the last pass, in `memory_`,
    int rows_ = 0;  ///< and its rows.
  };

  /// Requires: options were validated and ask for a backbone that is built.
  Model(const Schema& schema, const ModelOptions& options);
  /// A model over `inputs` columns of which the first `context_inputs` belong to the context.
  Model(int inputs, int context_inputs, int tasks, const ModelOptions& options);
  ~Model();

  int inputs() const;
  int tasks() const;
  long parameter_count() const;
  const std::vector<ParameterSlot>& parameters() const;
  /// Where in the parameters task t's last bias stands (it starts at the base rate).
  long output_bias(int task) const;

  /// He normal, last tower layer 1/fan_in, biases and gates 0; each slot from its own random
  /// stream.
  void initialise(std::uint64_t seed, std::span<T> weights) const;

  std::unique_ptr<Workspace> workspace(Backend<T>& backend, int max_rows) const;

  /// z = f(x). x [B,D], z [B,T], B ≤ the workspace's rows. Keeps in `work` what `backward` needs.
  void forward(const T* weights, View<const T> x, Workspace& work, View<T> z) const;

  /// From dz [B,T]: overwrites or adds the gradients of all weights (`add`: whether `gradients`
  /// already holds something to add to), and overwrites dx [B,D] (no gradient of x if empty).
  /// Requires: `forward` with the same weights, x and work came just before.
  void backward(const T* weights, View<const T> x, Workspace& work, View<const T> dz, T* gradients,
                bool add, View<T> dx) const;

  /// The first columns of x that belong to the context.
  int context_inputs() const;
  /// Scoring: the first layer's share of one context, computed once a request.
  /// context [1, context width] → shared [1, units of the first product], all in main memory.
  void forward_context(const T* weights, View<const T> context, View<T> shared) const;
  int context_units() const;
  /// z [B,T] for candidates [B, D − context width] that share one context. Nothing is kept.
  void forward_candidates(const T* weights, View<const T> shared, View<const T> candidates,
                          Workspace& work, View<T> z) const;

  /// The gate weights of the last pass in `work`: task t's, [B, experts].
  View<const T> gate(const Workspace& work, int task) const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace millrace
