#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "learner/balance/surgery.h"
#include "learner/balance/task_weights.h"
#include "learner/base/hash.h"
#include "learner/base/random.h"
#include "learner/device/devices.h"
#include "learner/model/model.h"
#include "learner/relation/gradient_cosine.h"
#include "learner/train/trainer.h"
#include "tests/support/numeric.h"

namespace millrace {

/// The training step written down once more, plainly and in double: maps for tables, one row after
/// another, probabilities multiplied as they stand. Only the network itself (whose gradients have
/// tests of their own) is shared, in its double form.
class ReferenceTrainer {
 public:
  struct Row {
    std::vector<double> weight, accumulator;
  };
  struct Metric {
    double weight = 0, loss = 0, label = 0, prediction = 0, squares = 0;
    std::uint64_t rows = 0, positives = 0;
  };

  ReferenceTrainer(const Schema& schema, const LearnerOptions& options)
      : schema_(schema),
        options_(options),
        T_(static_cast<int>(schema.tasks().size())),
        model_(schema, options.model),
        work_(model_.workspace(*cpu_, options.train.batch)),
        tables(schema.tables().size()),
        own(schema.tasks().size()),
        entire(schema.tasks().size()),
        cosines(T_, options.relations.steps),
        s_(schema.tasks().size()),
        s_moment_(schema.tasks().size()),
        s_square_(schema.tasks().size()),
        s_steps_(schema.tasks().size()),
        loss_sum_(schema.tasks().size()),
        loss_count_(schema.tasks().size()),
        started_(schema.tasks().size()),
        range_(schema.tasks().size(), {INFINITY, -INFINITY}),
        rows_(2),
        other_(options.balance, schema.tasks(), static_cast<std::uint64_t>(options.train.seed)),
        labelled_(2, std::vector<double>(schema.tasks().size())),
        sums_(schema.tasks().size()) {
    const Model<float> shape(schema, options.model);
    std::vector<float> initial(static_cast<std::size_t>(shape.parameter_count()));
    shape.initialise(static_cast<std::uint64_t>(options.train.seed), initial);
    weights.assign(initial.begin(), initial.end());
  }

  std::vector<double> task_weights() const {
    if (options_.balance.method != BalanceMethod::kUncertainty) {
      return {other_.weights().begin(), other_.weights().end()};
    }
    std::vector<double> weights;
    double sum = 0;
    for (std::size_t k = 0; k < s_.size(); ++k)
      sum += weights.emplace_back(factor(k) * std::exp(-s_[k]));
    for (double& w : weights) w *= static_cast<double>(weights.size()) / sum;
    return weights;
  }

  /// Requires: fewer than 10,000 rows in all, and no task weight near its floor.
  void train(const Batch& b) {
    const int n = b.rows;
    const double share = static_cast<double>(n) / options_.train.batch;
    const auto stream = static_cast<std::size_t>(b.stream);
    Matrix<double> x = inputs(b), z(n, T_), dz(n, T_), dx(n, model_.inputs());

    // First biases, normalisers and task weights.
    std::vector<double> norm(s_.size()), count(s_.size());
    for (int k = 0; k < T_; ++k) {
      double positives = 0, known = 0;
      for (int i = 0; i < n; ++i) {
        if (std::isnan(label(b, i, k))) continue;
        count[at(k)] += 1;
        if (!holds(b, i, k)) continue;
        known += weight(b, i);
        positives += weight(b, i) * label(b, i, k);
      }
      if (!started_[at(k)] && known > 0) {
        started_[at(k)] = true;
        weights[static_cast<std::size_t>(model_.output_bias(k))] =
            binary(k) ? std::log((positives + 0.5) / (known - positives + 0.5)) : positives / known;
      }
      labelled_[stream][at(k)] += count[at(k)];
    }
    rows_[stream] += n;
    for (int k = 0; k < T_; ++k) {
      norm[at(k)] =
          n == options_.train.batch ? count[at(k)] : n * labelled_[stream][at(k)] / rows_[stream];
    }
    const std::vector<double> omega = task_weights();

    std::vector<Matrix<double>> by_loss(s_.size(), dz);
    model_.forward(weights.data(), x, *work_, z);
    for (int i = 0; i < n; ++i) {
      for (int k = 0; k < T_; ++k) row_loss(b, i, k, z, omega[at(k)] / norm[at(k)], by_loss[at(k)]);
    }
    for (int k = 0; k < T_; ++k) {
      for (int i = 0; i < n; ++i) take_range(b, i, k);
    }
    std::vector<Gradient> gradients;
    for (int k = 0; k < T_; ++k) {
      for (std::size_t c = 0; c < dz.values.size(); ++c) dz.values[c] += by_loss[at(k)].values[c];
      Gradient& g = gradients.emplace_back(weights.size(), dx);
      model_.backward(weights.data(), x, *work_, by_loss[at(k)], g.dense.data(), false, g.dx);
    }
    std::vector<double> gradient(weights.size());
    if (options_.balance.surgery == Surgery::kNone) {
      model_.backward(weights.data(), x, *work_, dz, gradient.data(), false, dx);
    } else {
      operate(b, gradients, count, gradient, dx);
    }
    ++steps_;

    for (std::size_t k = 0; k < s_.size(); ++k) {
      if (count[k] > 0) add_last_shared(gradients[k].dense, norm[k] / omega[k], sums_[k]);
    }
    balance(count, share);
    adam(gradient, gradients, count, share);
    update_rows(b, dx);
    for (int i = 0; i < n; ++i) {
      if (const float price = b.numeric[static_cast<std::size_t>(i)]; !std::isnan(price)) {
        numbers_.push_back(price);
      }
    }
  }

 private:
  struct Gradient {
    Gradient(std::size_t weights, const Matrix<double>& dx_) : dense(weights), dx(dx_) {}
    std::vector<double> dense;
    Matrix<double> dx;
  };

  // Which weights one task's loss alone reaches.
  std::vector<bool> of_one_task() const {
    std::vector<bool> own(weights.size());
    for (const ParameterSlot& slot : model_.parameters()) {
      for (int r = 0; r < slot.rows && slot.task >= 0; ++r) {
        for (int c = 0; c < slot.cols; ++c) {
          own[static_cast<std::size_t>(slot.offset + r * slot.stride + c)] = true;
        }
      }
    }
    return own;
  }

  // Surgery on vectors that are written out: everything that several losses reach, rows too.
  void operate(const Batch& b, const std::vector<Gradient>& gradients,
               const std::vector<double>& count, std::vector<double>& gradient,
               Matrix<double>& dx) {
    const std::vector<bool> own = of_one_task();
    std::vector<std::vector<double>> shared;
    for (std::size_t k = 0; k < gradients.size(); ++k) {
      std::vector<double>& all = shared.emplace_back();
      for (std::size_t i = 0; i < weights.size(); ++i) {
        all.push_back(own[i] || count[k] == 0 ? 0 : gradients[k].dense[i]);
      }
      for (const auto& [place, g] : row_gradients(b, gradients[k].dx)) {
        for (const double value : g) all.push_back(count[k] == 0 ? 0 : value);
      }
    }
    Gram gram(T_);
    for (int i = 0; i < T_; ++i) {
      for (int j = 0; j < T_; ++j) {
        for (std::size_t n = 0; n < shared[0].size(); ++n) {
          gram(i, j) += shared[at(i)][n] * shared[at(j)][n];
        }
      }
    }
    const std::vector<double> c =
        options_.balance.surgery == Surgery::kPcgrad
            ? pcgrad(gram, static_cast<std::uint64_t>(options_.train.seed), steps_)
            : cagrad(gram, options_.balance.cagrad_radius);
    for (std::size_t k = 0; k < gradients.size(); ++k) {
      for (std::size_t i = 0; i < weights.size(); ++i) {
        gradient[i] += (own[i] ? 1 : c[k]) * gradients[k].dense[i];
      }
      for (std::size_t i = 0; i < dx.values.size(); ++i) {
        dx.values[i] += c[k] * gradients[k].dx.values[i];
      }
      conflicts += c[k] != 0 && c[k] != 1;
    }
  }

  void add_last_shared(const std::vector<double>& gradient, double scale,
                       std::vector<double>& sums) const {
    sums.resize(static_cast<std::size_t>(model_.last_shared_count()));
    std::size_t n = 0;
    for (const ParameterSlot& slot : model_.last_shared()) {
      for (int r = 0; r < slot.rows; ++r) {
        for (int c = 0; c < slot.cols; ++c) {
          sums[n++] +=
              scale * gradient[static_cast<std::size_t>(slot.offset + r * slot.stride + c)];
        }
      }
    }
  }

  // One step of the relations and of the balancers that TaskWeights has: of mean gradients.
  void take_step() {
    std::vector<double> gram, norms;
    for (std::size_t i = 0; i < s_.size(); ++i) {
      for (std::size_t j = 0; j < s_.size(); ++j) {
        double product = 0;
        for (std::size_t n = 0; n < std::min(sums_[i].size(), sums_[j].size()); ++n) {
          product += sums_[i][n] * sums_[j][n] / (loss_count_[i] * loss_count_[j]);
        }
        gram.push_back(loss_count_[i] > 0 && loss_count_[j] > 0 ? product : NAN);
      }
      norms.push_back(std::sqrt(gram[i * s_.size() + i]));
    }
    cosines.add(gram);
    for (std::vector<double>& of : sums_) of.clear();
    std::vector<TaskLoss> losses;
    for (std::size_t k = 0; k < s_.size(); ++k) losses.push_back({loss_sum_[k], loss_count_[k]});
    other_.add(losses, 1, norms);
  }

  static std::size_t at(int k) { return static_cast<std::size_t>(k); }
  const Task& task(int k) const { return schema_.tasks()[at(k)]; }
  bool binary(int k) const { return task(k).kind == TaskKind::kBinary; }
  double factor(std::size_t k) const { return binary(static_cast<int>(k)) ? 1 : 0.5; }
  std::size_t cell(int i, int k) const { return at(i) * s_.size() + at(k); }
  double label(const Batch& b, int i, int k) const { return b.labels[cell(i, k)]; }
  bool holds(const Batch& b, int i, int k) const { return b.condition[cell(i, k)] == 1; }
  static double weight(const Batch& b, int i) { return b.weights[at(i)]; }
  static double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

  // The elements of key column c in row i, and what each weighs.
  static std::pair<std::vector<std::uint64_t>, double> elements(const Batch& b, int c, int i) {
    const KeyColumn& column = b.columns[at(c)];
    if (column.ends.empty()) return {{column.keys[at(i)]}, 1};
    const std::uint32_t first = i == 0 ? 0 : column.ends[at(i) - 1], last = column.ends[at(i)];
    return {{column.keys.begin() + first, column.keys.begin() + last}, 1.0 / (last - first)};
  }

  Row& row(int table, std::uint64_t key) {
    Row& row = tables[at(table)][key];
    if (!row.weight.empty()) return row;
    const Table& t = schema_.tables()[at(table)];
    const auto seed = mix_bits(static_cast<std::uint64_t>(options_.train.seed) ^ mix_bits(t.seed));
    for (int d = 0; d < t.dimension; ++d) {
      const auto bits = philox(seed, static_cast<std::uint64_t>(d / 4), key);
      const auto pair = to_normal(bits[d % 4 / 2 * 2], bits[d % 4 / 2 * 2 + 1]);
      row.weight.push_back(static_cast<float>(0.05 * pair[d % 2]));
      row.accumulator.push_back(0);
    }
    return row;
  }

  Matrix<double> inputs(const Batch& b) {
    Matrix<double> x(b.rows, model_.inputs());
    double mean = 0, square = 0;
    const auto count = static_cast<double>(numbers_.size());
    for (const double v : numbers_) mean += v / count;
    for (const double v : numbers_) square += (v - mean) * (v - mean) / count;
    for (int i = 0; i < b.rows; ++i) {
      for (int c = 0; c < static_cast<int>(b.columns.size()); ++c) {
        const int feature = schema_.key_features()[at(c)], table = schema_.table_of(feature);
        const auto [keys, share] = elements(b, c, i);
        for (const std::uint64_t key : keys) {
          if (key == kMissingKey) continue;
          const Row& r = row(table, key);
          for (std::size_t d = 0; d < r.weight.size(); ++d) {
            x(i, schema_.input_offset(feature) + static_cast<int>(d)) += share * r.weight[d];
          }
        }
      }
      const float price = b.numeric[at(i)];
      if (!numbers_.empty() && !std::isnan(price)) {
        x(i, schema_.input_offset(schema_.numeric_features()[0])) =
            std::clamp((price - mean) / std::sqrt(square), -8.0, 8.0);
      }
      for (int d = 0; d < 2; ++d) {
        x(i, schema_.input_offset(schema_.dense_features()[0]) + d) = b.dense[2 * at(i) + at(d)];
      }
    }
    return x;
  }

  void row_loss(const Batch& b, int i, int k, const Matrix<double>& z, double scale,
                Matrix<double>& dz) {
    const double y = label(b, i, k);
    if (std::isnan(y)) return;
    const double w = weight(b, i), p = sigmoid(z(i, k));
    const bool fnw = !b.origin.empty() && b.origin[cell(i, k)] != Origin::kFinal;
    double loss = 0;
    if (task(k).entire_space) {
      double q = 1;
      for (int j = k; j >= 0; j = task(j).given) q *= sigmoid(z(i, j));
      loss = -(y * std::log(q) + (1 - y) * std::log(1 - q));
      for (int j = k; j >= 0; j = task(j).given) {
        dz(i, j) += scale * w * (q - y) * (1 - sigmoid(z(i, j))) / (1 - q);
      }
      measure(entire[at(k)], w, y, q, loss);
      if (holds(b, i, k))
        measure(own[at(k)], w, y, p, -(y * std::log(p) + (1 - y) * std::log(1 - p)));
    } else if (binary(k)) {
      const double f = !fnw ? 1 : y > 0.5 ? 1 + p : (1 - p) * (1 + p);
      loss = -(y * std::log(p) + (1 - y) * std::log(1 - p));
      dz(i, k) += scale * w * f * (p - y);
      if (!fnw && holds(b, i, k)) measure(own[at(k)], w, y, p, loss);
      loss *= f;
    } else {
      loss = (z(i, k) - y) * (z(i, k) - y);
      dz(i, k) += scale * w * 2 * (z(i, k) - y);
      const auto& [least, most] = range_[at(k)];
      const double value = least <= most ? std::clamp(z(i, k), least, most) : z(i, k);
      Metric& metric = own[at(k)];
      metric.rows += 1;
      metric.weight += w;
      metric.squares += w * std::pow(std::expm1(value) - std::expm1(y), 2);
    }
    loss_sum_[at(k)] += w * loss;
  }

  void take_range(const Batch& b, int i, int k) {
    const double y = label(b, i, k);
    if (std::isnan(y)) return;
    auto& [least, most] = range_[at(k)];
    least = std::min(least, y);
    most = std::max(most, y);
  }

  static void measure(Metric& metric, double w, double y, double p, double loss) {
    metric.rows += 1;
    metric.positives += y > 0.5 ? 1 : 0;
    metric.weight += w;
    metric.loss += w * loss;
    metric.label += w * y;
    metric.prediction += w * p;
  }

  void balance(const std::vector<double>& count, double share) {
    for (std::size_t k = 0; k < s_.size(); ++k) loss_count_[k] += count[k];
    fraction_ += share;
    if (fraction_ < 1 - 1e-9) return;
    fraction_ = 0;
    take_step();
    for (std::size_t k = 0; k < s_.size(); ++k) {
      if (loss_count_[k] > 0) {
        const double g = 0.5 - factor(k) * std::exp(-s_[k]) * loss_sum_[k] / loss_count_[k];
        const double t = s_steps_[k] += 1;
        s_moment_[k] = 0.9 * s_moment_[k] + 0.1 * g;
        s_square_[k] = 0.999 * s_square_[k] + 0.001 * g * g;
        s_[k] -= 0.01 * s_moment_[k] / (1 - std::pow(0.9, t)) /
                 (std::sqrt(s_square_[k] / (1 - std::pow(0.999, t))) + 1e-8);
      }
      loss_sum_[k] = loss_count_[k] = 0;
    }
  }

  struct Moments {
    double steps = 0;
    std::vector<double> m, v;
  };

  // How far `state` moves weight i by its gradient g.
  double adam_step(Moments& state, std::size_t i, double g, double share) const {
    const double keep1 = std::pow(0.9, share), keep2 = std::pow(0.999, share);
    double& m = state.m[i] = keep1 * state.m[i] + (1 - keep1) * g;
    double& v = state.v[i] = keep2 * state.v[i] + (1 - keep2) * share * g * g;
    return options_.train.dense.rate * share * m / (1 - std::pow(0.9, state.steps)) /
           (std::sqrt(v / (1 - std::pow(0.999, state.steps))) + 1e-8);
  }

  // Of all weights by the sum; with task_states, of those that several tasks reach by every present
  // task's gradient and state.
  void adam(const std::vector<double>& sum, const std::vector<Gradient>& gradients,
            const std::vector<double>& count, double share) {
    const bool apart = options_.train.dense.task_states;
    const std::vector<bool> own = of_one_task();
    moments_.resize(s_.size() + 1,
                    {0, std::vector<double>(weights.size()), std::vector<double>(weights.size())});
    for (std::size_t k = 0; k <= s_.size(); ++k) {
      const bool all = k == s_.size();
      if (!all && (!apart || count[k] == 0)) continue;
      moments_[k].steps += share;
      const std::vector<double>& g = all ? sum : gradients[k].dense;
      for (std::size_t i = 0; i < weights.size(); ++i) {
        if (!apart || own[i] == all) weights[i] -= adam_step(moments_[k], i, g[i], share);
      }
    }
  }

  using RowGradients = std::map<std::pair<int, std::uint64_t>, std::vector<double>>;

  // Of the mean loss.
  RowGradients row_gradients(const Batch& b, const Matrix<double>& dx) {
    RowGradients gradients;
    for (int i = 0; i < b.rows; ++i) {
      for (int c = 0; c < static_cast<int>(b.columns.size()); ++c) {
        const int feature = schema_.key_features()[at(c)], table = schema_.table_of(feature);
        const auto [keys, share] = elements(b, c, i);
        for (const std::uint64_t key : keys) {
          if (key == kMissingKey) continue;
          auto& g = gradients[{table, key}];
          g.resize(row(table, key).weight.size());
          for (std::size_t d = 0; d < g.size(); ++d) {
            g[d] += share * dx(i, schema_.input_offset(feature) + static_cast<int>(d));
          }
        }
      }
    }
    return gradients;
  }

  void update_rows(const Batch& b, const Matrix<double>& dx) {
    for (auto& [place, g] : row_gradients(b, dx)) {
      Row& r = row(place.first, place.second);
      for (std::size_t d = 0; d < g.size(); ++d) {
        g[d] *= b.rows;
        r.accumulator[d] += g[d] * g[d];
        r.weight[d] -= options_.train.embedding.rate * g[d] / (std::sqrt(r.accumulator[d]) + 1e-10);
      }
    }
  }

  const Schema& schema_;
  const LearnerOptions options_;
  const int T_;
  std::unique_ptr<Backend<double>> cpu_ = open_device<double>("cpu");
  Model<double> model_;
  std::unique_ptr<Model<double>::Workspace> work_;

 public:
  std::vector<double> weights;
  std::vector<std::map<std::uint64_t, Row>> tables;
  std::vector<Metric> own, entire;
  GradientCosine cosines;  ///< Of the last shared layer.
  int conflicts = 0;       ///< Coefficients that surgery changed.

 private:
  std::vector<double> s_, s_moment_, s_square_, s_steps_, loss_sum_, loss_count_;
  double fraction_ = 0;
  std::vector<bool> started_;
  std::vector<std::pair<double, double>> range_;
  std::vector<double> rows_;
  TaskWeights other_;
  std::vector<std::vector<double>> labelled_, sums_;
  std::uint64_t steps_ = 0;
  std::vector<Moments> moments_;  ///< By task, then of the sum.
  std::vector<double> numbers_;
};

}  // namespace millrace
