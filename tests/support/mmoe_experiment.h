#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "learner/device/devices.h"
#include "learner/device/memory.h"
#include "learner/device/threads.h"
#include "learner/model/model.h"
#include "learner/synthetic/mmoe_pair.h"
#include "learner/train/dense_optimizer.h"

// MMoE's synthetic experiment (Ma et al. 2018, sec. 3.2): how well backbones of like size learn two
// regressions, the less they have to do with each other.
namespace millrace::mmoe_experiment {

struct Options {
  int steps = 10'000;
  int seeds = 10;
  int batch = 64;
  int dimension = 100;
  int test_rows = 5'000;
  double rate = 1e-3;  ///< Adam's.
  int threads = 2;
  std::vector<double> correlations{0.5, 0.9, 1.0};
  std::vector<double> alphas{1, 2, 3, 4}, betas{1, 2, 3, 4};
};

struct Contender {
  std::string name;
  ModelOptions model;
};

/// Of like size at d = 100: a bottom of 113 units, 8 experts of 16, or two levels of 3 experts a
/// task and 2 shared ones of 16.
inline std::vector<Contender> contenders() {
  ModelOptions bottom;
  bottom.backbone = BackboneKind::kSharedBottom;
  bottom.expert_layers = {113};
  bottom.tower_layers = {8};
  ModelOptions mmoe = bottom;
  mmoe.backbone = BackboneKind::kMmoe;
  mmoe.experts = 8;
  mmoe.expert_layers = {16};
  ModelOptions omoe = mmoe;
  omoe.one_gate = true;
  ModelOptions ple = mmoe;
  ple.backbone = BackboneKind::kPle;
  ple.task_experts = 3;
  ple.shared_experts = 2;
  ple.levels = 2;
  return {{"Shared-Bottom", bottom}, {"OMoE", omoe}, {"MMoE", mmoe}, {"PLE", ple}};
}

/// Test MSE / Var of one model, mean of both tasks, by seed.
struct Outcome {
  std::string name;
  double correlation = 0;
  std::vector<double> errors;

  double mean() const {
    double sum = 0;
    for (const double error : errors) sum += error;
    return sum / static_cast<double>(errors.size());
  }
  /// Standard deviation over the seeds.
  double spread() const {
    double sum = 0;
    for (const double error : errors) sum += (error - mean()) * (error - mean());
    return std::sqrt(sum / std::max(1.0, static_cast<double>(errors.size()) - 1));
  }
};

/// One model that learns one pair: Adam on the sum of both tasks' mean squared errors, the output
/// biases from the first batch.
class Learner {
 public:
  Learner(const Options& options, const MmoePairOptions& pair, const ModelOptions& shape,
          std::uint64_t seed)
      : pair_(pair),
        model_(options.dimension, 0, MmoePair::kTasks, shape),
        weights_(allocate_host<float>(model_.parameter_count())),
        gradients_(allocate_host<float>(model_.parameter_count())),
        updater_(adam(options), model_.parameter_count(), model_.parameters()),
        cpu_(open_device<float>("cpu")),
        work_(model_.workspace(*cpu_, options.batch)),
        z_(allocate_host<float>(long{options.batch} * MmoePair::kTasks)),
        dz_(allocate_host<float>(long{options.batch} * MmoePair::kTasks)) {
    model_.initialise(seed, {weights_.get(), static_cast<std::size_t>(model_.parameter_count())});
  }

  long parameters() const { return model_.parameter_count(); }
  const MmoePair& pair() const { return pair_; }

  /// x [n, d] are rows `first`, `first` + 1, … of the pair.
  void train(std::uint64_t first, View<const float> x, Threads& threads) {
    const std::vector<double> labels = labels_of(first, x);
    if (!started_) start(labels);
    const View<float> z(z_.get(), x.rows, MmoePair::kTasks), dz(dz_.get(), x.rows, z.cols);
    model_.forward(weights_.get(), x, *work_, z);
    for (int r = 0; r < x.rows; ++r) {
      for (int k = 0; k < z.cols; ++k) {
        const double label = labels[static_cast<std::size_t>(r * z.cols + k)];
        dz(r, k) = static_cast<float>(2 * (double{z(r, k)} - label) / x.rows);
      }
    }
    model_.backward(weights_.get(), x, *work_, dz, gradients_.get(), false, {});
    float* const chunk = gradients_.get();
    if (updater_.sum(std::span<float* const>(&chunk, 1), threads)) {
      updater_.step(weights_.get(), gradients_.get(), 1, threads);
    }
  }

  /// Adds Σ (z − y)² of the rows, both tasks.
  double squares(std::uint64_t first, View<const float> x) {
    const std::vector<double> labels = labels_of(first, x);
    const View<float> z(z_.get(), x.rows, MmoePair::kTasks);
    model_.forward(weights_.get(), x, *work_, z);
    double sum = 0;
    for (int r = 0; r < x.rows; ++r) {
      for (int k = 0; k < z.cols; ++k) {
        const double error = double{z(r, k)} - labels[static_cast<std::size_t>(r * z.cols + k)];
        sum += error * error;
      }
    }
    return sum;
  }

 private:
  static DenseOptimizerOptions adam(const Options& options) {
    DenseOptimizerOptions adam;
    adam.rate = options.rate;
    return adam;
  }
  std::vector<double> labels_of(std::uint64_t first, View<const float> x) const {
    std::vector<double> labels;
    for (int r = 0; r < x.rows; ++r) {
      const auto row = std::span<const float>(x.row(r), static_cast<std::size_t>(x.cols));
      for (const double y : pair_.labels(first + static_cast<std::uint64_t>(r), row)) {
        labels.push_back(y);
      }
    }
    return labels;
  }
  void start(const std::vector<double>& labels) {
    started_ = true;
    for (std::size_t k = 0; k < MmoePair::kTasks; ++k) {
      double sum = 0;
      for (std::size_t i = k; i < labels.size(); i += MmoePair::kTasks) sum += labels[i];
      weights_[static_cast<std::size_t>(model_.output_bias(static_cast<int>(k)))] =
          static_cast<float>(sum * MmoePair::kTasks / static_cast<double>(labels.size()));
    }
  }

  const MmoePair pair_;
  const Model<float> model_;
  Buffer<float> weights_, gradients_;
  DenseUpdater<float> updater_;
  std::unique_ptr<Backend<float>> cpu_;
  std::unique_ptr<Model<float>::Workspace> work_;
  Buffer<float> z_, dz_;
  bool started_ = false;
};

/// All contenders and correlations of one seed side by side, on the same rows: by contender, then
/// correlation.
inline std::vector<double> errors_of(const Options& options,
                                     const std::vector<Contender>& contenders, int seed) {
  std::vector<std::unique_ptr<Learner>> learners;
  for (const Contender& contender : contenders) {
    for (const double p : options.correlations) {
      MmoePairOptions pair;
      pair.seed = static_cast<std::uint64_t>(1000 + seed);
      pair.dimension = options.dimension;
      pair.correlation = p;
      pair.alphas = options.alphas;
      pair.betas = options.betas;
      learners.push_back(std::make_unique<Learner>(options, pair, contender.model,
                                                   static_cast<std::uint64_t>(seed)));
    }
  }
  Threads alone(1);
  const Buffer<float> memory = allocate_host<float>(long{options.batch} * options.dimension);
  std::uint64_t row = 0;
  const auto next = [&](int count) {
    const View<float> x(memory.get(), count, options.dimension);
    for (int r = 0; r < count; ++r) {
      // Features do not depend on p: any learner's pair draws them.
      learners[0]->pair().features(row++, {x.row(r), static_cast<std::size_t>(x.cols)});
    }
    return View<const float>(x.data, x.rows, x.cols);
  };
  for (int step = 0; step < options.steps; ++step) {
    const std::uint64_t first = row;
    const View<const float> x = next(options.batch);
    for (const auto& learner : learners) learner->train(first, x, alone);
  }
  std::vector<double> squares(learners.size());
  for (int left = options.test_rows; left > 0; left -= options.batch) {
    const std::uint64_t first = row;
    const View<const float> x = next(std::min(left, options.batch));
    for (std::size_t l = 0; l < learners.size(); ++l) {
      squares[l] += learners[l]->squares(first, x);
    }
  }
  for (std::size_t l = 0; l < learners.size(); ++l) {
    squares[l] /= static_cast<double>(options.test_rows) * MmoePair::kTasks *
                  learners[l]->pair().label_variance();
  }
  return squares;
}

/// Every seed's errors, seeds on `threads` threads; the same whatever their number.
inline std::vector<Outcome> run(const Options& options, const std::vector<Contender>& contenders) {
  std::vector<std::vector<double>> by_seed(static_cast<std::size_t>(options.seeds));
  Threads threads(options.threads);
  threads.run(options.seeds, [&](int seed) {
    by_seed[static_cast<std::size_t>(seed)] = errors_of(options, contenders, seed);
  });
  std::vector<Outcome> outcomes;
  for (const Contender& contender : contenders) {
    for (const double p : options.correlations) {
      Outcome& outcome = outcomes.emplace_back();
      outcome.name = contender.name;
      outcome.correlation = p;
      for (const auto& errors : by_seed) outcome.errors.push_back(errors[outcomes.size() - 1]);
    }
  }
  return outcomes;
}

}  // namespace millrace::mmoe_experiment
