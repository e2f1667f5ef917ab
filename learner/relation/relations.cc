#include "learner/relation/relations.h"

#include <limits>
#include <optional>

namespace millrace {
namespace {

double or_nan(std::optional<double> value) {
  return value.value_or(std::numeric_limits<double>::quiet_NaN());
}

}  // namespace

Relations::Relations(const Schema& schema, const RelationOptions& options, int units,
                     std::uint64_t seed)
    : schema_(schema),
      every_(options.every),
      gradients_(static_cast<int>(schema.tasks().size()), options.steps),
      labels_(schema.tasks(), options.rows),
      representation_(static_cast<int>(schema.tasks().size()), units, options.representation,
                      options.steps),
      classifier_(static_cast<int>(schema.tasks().size()), options.neutral, seed) {}

bool Relations::measures(std::uint64_t step) const {
  return every_ > 0 && schema_.tasks().size() > 1 && step % static_cast<std::uint64_t>(every_) == 0;
}

void Relations::add_gradients(std::span<const double> gram) {
  gradients_.add(gram);
  classifier_.learn(gradients_);
}

void Relations::add_labels(const Batch& batch) {
  if (every_ == 0 || schema_.tasks().size() < 2) return;
  if (batch.origin.empty()) {
    labels_.add(batch.labels, batch.weights);
    return;
  }
  // A label that is trained before it is decided may still change.
  final_labels_ = batch.labels;
  for (std::size_t cell = 0; cell < final_labels_.size(); ++cell) {
    if (batch.origin[cell] != Origin::kFinal) {
      final_labels_[cell] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  labels_.add(final_labels_, batch.weights);
}

RelationReport Relations::report() const {
  RelationReport report;
  const int T = static_cast<int>(schema_.tasks().size());
  for (const Task& task : schema_.tasks()) report.tasks.push_back(task.name);
  for (int i = 0; i < T; ++i) {
    report.gradient_norm.push_back(or_nan(gradients_.norm(i)));
    report.similarity.push_back(or_nan(gradients_.similarity(i)));
    for (int j = 0; j < T; ++j) {
      report.gradient_cosine.push_back(or_nan(gradients_.cosine(i, j)));
      report.conflict_rate.push_back(or_nan(gradients_.conflict_rate(i, j)));
      report.label_correlation.push_back(or_nan(labels_.correlation(i, j)));
      report.mutual_information.push_back(or_nan(labels_.mutual_information(i, j)));
      report.representation_similarity.push_back(or_nan(representation_.similarity(i, j)));
      auto relation = classifier_.relation(i, j);
      if (i != j && !classifier_.has_learned()) {
        relation.fill(std::numeric_limits<double>::quiet_NaN());
      }
      report.positive.push_back(relation[0]);
      report.negative.push_back(relation[1]);
      report.neutral.push_back(relation[2]);
    }
  }
  return report;
}

void Relations::save(ByteWriter& writer) const {
  gradients_.save(writer);
  labels_.save(writer);
  representation_.save(writer);
  classifier_.save(writer);
}

void Relations::restore(ByteReader& reader) {
  gradients_.restore(reader);
  labels_.restore(reader);
  representation_.restore(reader);
  classifier_.restore(reader);
}

}  // namespace millrace
