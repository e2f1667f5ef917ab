#include "learner/train/task_balancing.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"

namespace millrace {

TaskBalancing::TaskBalancing(const Schema& schema, const BalanceOptions& balance,
                             const RelationOptions& relations, const Model<float>& model,
                             const TaskLosses& losses, const InputGroups& groups, int rows,
                             bool apart, std::uint64_t seed)
    : apart_(apart || balance.surgery != Surgery::kNone),
      has_relations_(relations.every > 0 && model.tasks() > 1),
      by_performance_(balance.method == BalanceMethod::kDtp ||
                      balance.method == BalanceMethod::kPerformance),
      weights_(balance, schema.tasks(), seed),
      relations_(schema, relations, model.tower_width(), seed),
      gradients_(model, losses, balance, groups, rows,
                 {.apart = apart,
                  .measures = has_relations_ || balance.method == BalanceMethod::kGradnorm},
                 seed),
      performance_(schema.tasks()),
      counts_(schema.tasks().size()) {}

void TaskBalancing::begin(const std::vector<double>& scale, int rows) {
  using Want = TaskGradients::Want;
  const bool measures = gradients_.measures() && (weights_.needs_norms() || measures_relations());
  gradients_.begin(apart_ ? Want::kAll : measures ? Want::kLastShared : Want::kSum, scale, rows);
  representation_rows_ = 0;
}

void TaskBalancing::take_representation(Stack<const float> tower_inputs,
                                        std::span<const float> row_weights) {
  if (!measures_relations()) return;
  const int wanted = relations_.representation().wanted();
  std::vector<int> rows;
  for (int r = 0; r < tower_inputs.first.rows && static_cast<int>(rows.size()) < wanted; ++r) {
    if (row_weights[static_cast<std::size_t>(r)] != 0) rows.push_back(r);
  }
  representation_.clear();
  for (int t = 0; t < tower_inputs.count; ++t) {
    const View<const float> v = tower_inputs[t];
    for (const int r : rows)
      representation_.insert(representation_.end(), v.row(r), v.row(r) + v.cols);
  }
  representation_rows_ = static_cast<int>(rows.size());
}

bool TaskBalancing::learned(const Batch& batch, View<const float> z, std::span<const TaskLoss> sums,
                            double fraction, int chunks, const TaskMetrics& metrics) {
  const bool measures = measures_relations();
  if (has_relations_) relations_.add_labels(batch);
  if (representation_rows_ > 0) {
    relations_.representation().add(representation_, representation_rows_);
    representation_rows_ = 0;
  }
  if (by_performance_) performance_.add(batch, z);
  if (measures || weights_.needs_norms()) gradients_.accumulate(chunks, sums);
  for (std::size_t k = 0; k < sums.size(); ++k) counts_[k].count += sums[k].count;
  if (!weights_.completes(fraction)) {
    weights_.add(sums, fraction);
    return false;
  }
  std::vector<double> norms, figures;
  if (measures || weights_.needs_norms()) {
    const std::vector<double> gram = gradients_.take_gram(counts_);
    const std::size_t T = sums.size();
    for (std::size_t k = 0; k < T; ++k) norms.push_back(std::sqrt(gram[k * T + k]));
    if (measures) relations_.add_gradients(gram);
  }
  if (weights_.needs_performance()) figures = performance_.take(metrics);
  weights_.add(sums, fraction, norms, figures);
  std::fill(counts_.begin(), counts_.end(), TaskLoss{});
  return measures;
}

RelationReport TaskBalancing::report() const {
  return has_relations_ ? relations_.report() : RelationReport{};
}

void TaskBalancing::save(StateChanges& changes) const {
  ByteWriter weights;
  weights_.save(weights);
  changes.values.push_back({"balance", weights.take(), true});
  ByteWriter rest, part;
  for (const TaskLoss& loss : counts_) rest.put(loss.count);
  const auto put = [&](bool there, const auto& of) {
    if (there) of.save(part);
    rest.put_text(part.take());
  };
  put(gradients_.has_sums(), gradients_);
  put(by_performance_, performance_);
  put(has_relations_, relations_);
  changes.values.push_back({"relations", rest.take(), true});
}

// What was measured by options that are not those of now is measured anew.
bool TaskBalancing::restore(std::string_view name, std::string_view bytes) {
  if (name != "balance" && name != "relations") return false;
  ByteReader reader(bytes);
  const auto expect_end = [&](const ByteReader& of) {
    if (!of.at_end()) throw StateError("saved value " + std::string(name) + " has a wrong size");
  };
  if (name == "balance") {
    weights_.restore(reader);
  } else {
    for (TaskLoss& loss : counts_) loss.count = read_finite(reader);
    const auto take = [&](bool wanted, auto& of) {
      const std::string_view text = reader.get_text();
      if (text.empty() || !wanted) return;
      ByteReader part(text);
      of.restore(part);
      expect_end(part);
    };
    take(gradients_.measures(), gradients_);
    take(by_performance_, performance_);
    take(has_relations_, relations_);
  }
  expect_end(reader);
  return true;
}

}  // namespace millrace
