#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/model/options.h"
#include "learner/publish/serving_model.h"

namespace millrace {

/// The answer to one request.
struct Scores {
  int rows = 0;
  /// [rows, T]: each task's own output, in its label's units: a binary task's probability (given
  /// its condition), a regression's value, clamped to the labels seen and transformed back. A value
  /// that is not finite is NaN.
  std::vector<float> values;
  std::string model;  ///< Whose weights they are; empty where no publication said.
  VersionNumber version;
  EventTime seen;
  std::uint64_t keys = 0;          ///< Categorical values (elements of bags too) in the request,
  std::uint64_t unknown_keys = 0;  ///< and those that have no row. Missing values are in neither,
                                   ///< nor are buckets and crosses.
};

/// Scores requests of one context with many candidates; what depends on the context alone is done
/// once, so the answer differs from the trainer's forward pass by the rounding of one sum.
/// Where the model that is served changes, it follows: then `Scores` has that one's tasks.
/// Memory: workspaces for tiles of 256 rows, and x [rows, D] of a request. Threads: one scorer per
/// thread; none waits for another or for the publisher.
class Scorer {
 public:
  /// Copies the schema, the stream's. Requires: as Model's.
  Scorer(const Schema& schema, const ModelOptions& options);
  ~Scorer();

  /// `context` holds one row, of which the context's features count; `candidates` holds any number,
  /// of which the others count. Both come from the encoder. Crosses are made here, from the parts
  /// of both. Requires: model.has_version().
  void score(const ServingModel& model, const Batch& context, const Batch& candidates,
             Scores& scores);

 private:
  struct Parts;
  void follow(const ServingModel& model);

  std::unique_ptr<Parts> parts_;
  /// The model that parts_ is of, where a publication said; and of a request what it has of it.
  std::shared_ptr<const ServedShape> shape_;
  Batch context_, candidates_;
};

}  // namespace millrace
