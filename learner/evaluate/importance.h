#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/evaluate/options.h"

namespace millrace {

/// One id of a categorical feature or a bag.
struct IdImportance {
  std::uint64_t key = 0;       ///< As in KeyColumn.
  double weight = 0;           ///< Of its sampled rows (in a bag, elements), since it is counted.
  std::vector<double> values;  ///< [T] Mean over these rows.
};

/// One feature.
struct FeatureImportance {
  std::string name;
  std::vector<double> values;     ///< [T]
  std::vector<IdImportance> ids;  ///< Those that add up to most, by that.
};

struct ImportanceReport {
  std::uint64_t rows = 0;  ///< Sampled since the store began.
  std::vector<FeatureImportance> features;
};

/// What each feature does to each task (algorithms 2.17):
///
///   I_kf = mean over rows of |Σ_d x_d ∂z_k/∂x_d|    d: the feature's columns of the input
///
/// what the feature adds to the task's logit, to first order about its neutral value 0; exactly
/// |w_f| · E|x_f| for a linear model. `gradient`: mean of Σ_d |∂z_k/∂x_d|; `loss`: as the first for
/// the loss of the task's own output, over the rows with its label.
///
/// Means are over rows by their metrics' weights, not over batches, plain up to 10,000 rows and
/// then fading with that length. Ids: the 4 · `ids` of a feature that add up to most over all
/// tasks, by Space-Saving (Metwally et al. 2005): a new one takes the place of the least, and what
/// that had counts for it in the order, but not in its means; all halve with every 20,000 rows.
/// Of a bag's element it is |Σ_d s w_d ∂z_k/∂x_d|, w the element's own row and s its share of the
/// pooled x; an id without a row adds 0. Memory: 8 bytes a task and feature, and an id and task 16.
/// Threads: one at a time.
class Importance {
 public:
  /// Borrows `schema`.
  Importance(const Schema& schema, const ImportanceOptions& options);

  bool is_due(std::uint64_t step) const {
    return options_.every > 0 && step % static_cast<std::uint64_t>(options_.every) == 0;
  }
  /// How many rows of a batch are sampled.
  int rows_of(const Batch& batch) const;

  /// Task k's part of a sample: x and its slopes dx = ∂z_k/∂x, [n, D], of the first n rows. Of a
  /// model with several tables a feature, D is a multiple of the schema's width. `slope` [n]: the
  /// loss's slope in z_k, NaN where the label is not known; empty unless `measure` is `loss`.
  void take(int task, View<const float> x, View<const float> dx, std::span<const double> slope);
  /// The row of a key of a feature, [the feature's width]; null where it has none.
  using RowOf = std::function<const float*(int feature, std::uint64_t key)>;
  /// Task k's part of the bags' elements, after `take` of the same. Without it no id of a bag is
  /// known.
  void take_elements(int task, const Batch& batch, View<const float> dx,
                     std::span<const double> slope, const RowOf& row_of);
  /// Ends a sample: all tasks have been taken.
  void add(const Batch& batch);

  ImportanceReport report() const;
  void save(StateChanges& changes);
  /// Returns whether the value is its own. Error: throws StateError.
  bool restore(std::string_view name, std::string_view bytes);

 private:
  struct Mean {
    double weight = 0, value = 0;
  };
  struct Id {
    std::uint64_t key = 0;
    double floor = 0;                   ///< What the id in whose place it came had.
    double total = 0;                   ///< Over all tasks.
    std::vector<double> weights, sums;  ///< [T]
  };
  struct Ids {
    int column = -1;  ///< In Batch::columns; −1: no ids are kept.
    bool bag = false;
    std::vector<double> elements;  ///< Of a bag: [n, T] of the sample in progress, as values_.
    double weight = 0;
    std::vector<Id> entries;
  };
  void add_elements(Ids& ids, const Batch& batch, std::size_t row, double weight);
  void add_id(Ids& ids, std::uint64_t key, double weight, const double* values);
  std::string stamp() const;

  const Schema& schema_;
  const ImportanceOptions options_;
  const int tasks_, features_;
  std::vector<Mean> means_;  ///< [F, T]
  std::vector<Ids> ids_;     ///< [F]
  std::uint64_t rows_ = 0;
  bool changed_ = false;
  std::vector<double> values_;  ///< [n, F, T] of the sample in progress; NaN: not known.
};

}  // namespace millrace
