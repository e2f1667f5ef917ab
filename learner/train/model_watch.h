#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/device/backend.h"
#include "learner/evaluate/gate_watch.h"
#include "learner/evaluate/importance.h"
#include "learner/evaluate/options.h"
#include "learner/model/model.h"

namespace millrace {

/// Looks into a model while it learns: every so many steps what its gates do, and what features do
/// to tasks. It reads weights and activations and changes nothing; where an option is off it costs
/// nothing. Memory: that of its parts, and a sample's x and slopes.
class ModelWatch {
 public:
  /// Borrows `schema` and `model`.
  ModelWatch(const Schema& schema, const Model<float>& model, const EvaluateOptions& options);

  /// Writes x [rows, D] of so many of the batch's first rows.
  using Gather = std::function<void(View<float> x)>;
  /// A batch that will be learned by step `step`, before its update, and `work`, which a sample's
  /// passes overwrite. `rows`: learned so far; `row_of`: the embedding rows that x is
  /// made of (without it, no id of a bag is known). Requires: work's backend is the CPU's; work
  /// takes as many rows as a tile (chunks.h).
  void measure(const Batch& batch, std::uint64_t step, std::uint64_t rows, const float* weights,
               const Gather& gather, Model<float>::Workspace& work,
               const Importance::RowOf& row_of = {});

  std::vector<std::string> take_notices();
  /// The top level's first.
  std::vector<GateReport> gates() const;
  ImportanceReport importance() const { return importance_.report(); }

  void save(StateChanges& changes);
  /// Returns whether the value is one of these. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  View<const float> sample(int rows, const Gather& gather);
  void score_sample(const Batch& batch, const float* weights, const Gather& gather,
                    Model<float>::Workspace& work);
  void measure_importance(const Batch& batch, const float* weights, const Gather& gather,
                          Model<float>::Workspace& work, const Importance::RowOf& row_of);
  std::vector<double> loss_slopes(const Batch& batch, int task, View<const float> z) const;

  const Schema& schema_;
  const Model<float>& model_;
  const bool by_loss_;
  GateWatch gates_, lower_gates_;
  Importance importance_;
  std::vector<float> x_, z_, dz_, dx_;  ///< Of a sample.
};

}  // namespace millrace
