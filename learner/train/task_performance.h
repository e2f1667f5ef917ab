#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "learner/base/state.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/train/task_metrics.h"

namespace millrace {

/// How well each task is predicted, as one figure in [0, 1] for the balancers that go by it: the
/// AUC of a binary task's metrics window; of another one the squared correlation between its output
/// and its label, over the rows since the last figure. NaN: not known.
/// Threads: one at a time.
class TaskPerformance {
 public:
  explicit TaskPerformance(const std::vector<Task>& tasks) : sums_(tasks.size()) {
    for (const Task& task : tasks) binary_.push_back(task.kind == TaskKind::kBinary);
  }

  /// Takes in a batch that was learned; z [rows, T].
  void add(const Batch& batch, View<const float> z) {
    const std::size_t T = sums_.size();
    for (int r = 0; r < z.rows; ++r) {
      const double weight = batch.weights[static_cast<std::size_t>(r)];
      for (std::size_t k = 0; k < T && weight != 0; ++k) {
        const float label = batch.labels[static_cast<std::size_t>(r) * T + k];
        if (binary_[k] || std::isnan(label)) continue;
        sums_[k].add(weight, double{z(r, static_cast<int>(k))}, double{label});
      }
    }
  }

  /// The figures, [T]; what they are over begins anew.
  std::vector<double> take(const TaskMetrics& metrics) {
    std::vector<double> figures;
    for (std::size_t k = 0; k < sums_.size(); ++k) {
      if (binary_[k]) {
        const std::optional<double> auc = metrics.window(static_cast<int>(k)).auc;
        figures.push_back(auc.value_or(std::numeric_limits<double>::quiet_NaN()));
      } else {
        figures.push_back(sums_[k].figure());
      }
      sums_[k] = {};
    }
    return figures;
  }

  void save(ByteWriter& writer) const {
    for (const Sums& sums : sums_) {
      for (const double value : sums.values) writer.put(value);
    }
  }
  void restore(ByteReader& reader) {
    for (Sums& sums : sums_) {
      for (double& value : sums.values) value = reader.get<double>();
    }
  }

 private:
  struct Sums {
    double values[6] = {};  ///< Σ of the weights, z, y, z², y², zy.

    void add(double weight, double z, double y) {
      const double terms[6] = {1, z, y, z * z, y * y, z * y};
      for (int i = 0; i < 6; ++i) values[i] += weight * terms[i];
    }
    double figure() const {
      const double n = values[0], zz = values[3] - values[1] * values[1] / n,
                   yy = values[4] - values[2] * values[2] / n,
                   zy = values[5] - values[1] * values[2] / n;
      const double square = zy / zz * (zy / yy);
      return std::isfinite(square) ? std::fmin(std::fmax(square, 0), 1)
                                   : std::numeric_limits<double>::quiet_NaN();
    }
  };
  std::vector<bool> binary_;
  std::vector<Sums> sums_;
};

}  // namespace millrace
