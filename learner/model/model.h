#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "learner/base/view.h"
#include "learner/data/schema.h"
#include "learner/device/backend.h"
#include "learner/model/options.h"

namespace millrace {

/// Where one weight matrix or bias stands in the model's one block of parameters.
struct ParameterSlot {
  std::string name;  ///< e.g. "expert.2.layer.1.weight"; stable: state and reports use it.
  long offset = 0;
  int rows = 0;
  int cols = 0;
};

/// The dense part of a multi-task model: x [B,D] → one own logit per task, z [B,T]. It knows shapes
/// only; weights and gradients are blocks of `parameter_count()` values that the caller owns, so
/// one model serves training, all versions that are scored, and any number of threads.
///
/// MMoE (Ma et al. 2018, eq. 6–8): all experts' first layers and all gates are one product.
/// Threads: immutable after construction; one `Workspace` per thread.
template <class T>
class Model {
 public:
  /// The activations of one pass; reusable. Takes its memory at construction.
  class Workspace;

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

  /// Scoring: the first layer's share of one context, computed once a request.
  /// context [1, context width] → shared [1, units of the first product].
  void forward_context(const T* weights, View<const T> context, View<T> shared) const;
  int context_units() const;
  /// z [B,T] for candidates [B, D − context width] that share one context. Nothing is kept.
  void forward_candidates(const T* weights, View<const T> shared, View<const T> candidates,
                          Workspace& work, View<T> z) const;

  /// The gate weights of the last `forward` in `work`: task t's, [B, experts].
  View<const T> gate(const Workspace& work, int task) const;

 private:
  struct Shape;
  std::unique_ptr<const Shape> shape_;
};

}  // namespace millrace
