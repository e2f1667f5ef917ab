#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/relation/classifier.h"
#include "learner/relation/gradient_cosine.h"
#include "learner/relation/label_relation.h"
#include "learner/relation/options.h"
#include "learner/relation/report.h"
#include "learner/relation/representation.h"

namespace millrace {

/// All that is measured and learned of the relations between tasks: gradients and tower inputs
/// every n-th step, labels in every row that is learned. Threads: one at a time.
class Relations {
 public:
  /// Borrows `schema`. `units`: of a tower's input.
  Relations(const Schema& schema, const RelationOptions& options, int units, std::uint64_t seed);

  /// Whether the gradients of step number `step` are to be measured.
  bool measures(std::uint64_t step) const;

  /// The inner products of a step's gradients, as in GradientCosine::add.
  void add_gradients(std::span<const double> gram);
  /// Final labels of the rows that a batch learned from.
  void add_labels(const Batch& batch);
  RepresentationSimilarity& representation() { return representation_; }

  const GradientCosine& gradients() const { return gradients_; }
  RelationReport report() const;

  void save(ByteWriter& writer) const;
  /// Error: throws StateError.
  void restore(ByteReader& reader);

 private:
  const Schema& schema_;
  const int every_;
  GradientCosine gradients_;
  LabelRelation labels_;
  RepresentationSimilarity representation_;
  RelationClassifier classifier_;
  std::vector<float> final_labels_;  ///< Scratch.
};

}  // namespace millrace
