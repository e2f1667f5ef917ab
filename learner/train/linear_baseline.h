#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/embedding/keyed_rows.h"
#include "learner/evaluate/tally.h"
#include "learner/layers/running_moments.h"

namespace millrace {

struct LinearBaselineOptions {
  /// Of the regressions that learn beside each other: which is best depends on the stream.
  std::vector<float> rates{0.025F, 0.05F, 0.1F, 0.2F, 0.4F, 0.8F};
  /// A step is a whole batch, as a model's is; else one row.
  bool whole_batches = false;
  /// For the weights of keys. When they are full, keys that are new get no weight, and are counted.
  std::uint64_t memory_bytes = 512ULL << 20;
};

/// What a model has to beat: for each binary task and each rate one logistic regression over the
/// inputs of the configuration, learned online, each step scored before it is learned from.
///
///   z = o + b + Σ_i x_i w_i      w ← w − rate · g / √n,  n ← n + g²,  n_0 = 0.1    (Adagrad)
///
/// with g the sum over the step's rows of weight · (σ(z) − y) · x. Of categorical features, crosses
/// and buckets x is 1, with a weight for each feature and key (features that share a table do not
/// share weights; keys are told apart by all 64 bits); of a bag's elements 1, or 1 / their count
/// where it pools by the mean; numbers and the elements of dense vectors are standardised by the
/// statistics from before the step, whatever the configuration says: what a linear model can say
/// does not change by that, only how soon it does. What is missing is 0. `o` is the log odds of the
/// task's first 1,000 labels, of those before the row where it is scored.
///
/// The rows of a task, its labels, conditions and weights are those on which a model's own output
/// is learned and measured (TaskMetrics). Deterministic; sums are in the order of the rows.
/// Cost: per row, weights of the row's inputs × tasks × rates; about that of a product with so many
/// numbers. Memory: 16 bytes, 8 for each task and rate, and an index entry a key, within
/// `memory_bytes`; the inputs of one step. Threads: one at a time.
class LinearBaseline {
 public:
  /// The tasks that have one: binary, and learned when they are decided.
  static std::vector<int> tasks_of(const Schema& schema);

  /// Borrows `schema`.
  LinearBaseline(const Schema& schema, LinearBaselineOptions options);

  /// Is told of each measured row: `task` is an index into `tasks()`, `rate` one into the options'.
  using Observer = std::function<void(std::size_t task, std::size_t rate, const Measurement& row,
                                      std::uint64_t user)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

  /// Scores, measures and learns the rows of a batch, in their order.
  void train(const Batch& batch);

  const std::vector<int>& tasks() const { return tasks_; }
  std::uint64_t steps() const { return steps_; }
  std::uint64_t keys() const { return rows_.size(); }
  /// How many times a key came that got no weight because they were full.
  std::uint64_t left_out() const { return left_out_; }
  std::uint64_t bytes() const { return rows_.bytes(); }

 private:
  /// One input of one row: where its weights stand, [lanes], before their accumulators, and its
  /// number in the list of those that the step moves.
  struct Input {
    const float* weights;
    float x;
    std::uint32_t touched;
  };
  struct Prior {
    double labels = 0, weight = 0, positives = 0, log_odds = 0;
  };

  void step(const Batch& batch, int first, int end);
  bool learns(const Batch& batch, int row) const;
  void collect(const Batch& batch, int row, bool learned);
  void collect_keys(const Batch& batch, int row, bool learned);
  void add_key(std::size_t column, std::uint64_t key, float x, bool learned);
  void score(const Input* inputs, std::size_t count, float* z) const;
  void measure(const Batch& batch, int row, const float* z) const;
  void count_labels(const Batch& batch, int first, int end);
  void add_gradients(const Batch& batch, int row, const Input* inputs, std::size_t count,
                     const float* z);
  void update();
  void take_numbers(const Batch& batch, int first, int end);

  const Schema& schema_;
  const LinearBaselineOptions options_;
  const std::vector<int> tasks_;
  const std::size_t lanes_;              ///< tasks × rates; a task's rates are neighbours.
  const std::size_t most_keys_;          ///< What memory_bytes holds.
  std::vector<float> lane_rates_;        ///< [lanes]
  std::vector<Prior> priors_;            ///< By task.
  std::vector<RunningMoments> moments_;  ///< Of numbers, then of dense elements.
  std::vector<float> fixed_;  ///< [1 + numbers + dense elements, 2, lanes]; the first is the bias.
  KeyedRows rows_;            ///< `seen` is a row's number in the list of the step.
  std::uint64_t steps_ = 0, left_out_ = 0;
  Observer observer_;

  // Of the step in progress.
  std::vector<Input> inputs_;
  std::vector<std::size_t> ends_;             ///< Of each row's inputs.
  std::vector<float*> touched_;               ///< Those that the step moves,
  std::vector<float> gradients_;              ///< [touched, lanes],
  std::vector<std::uint32_t> fixed_touched_;  ///< and which of them a fixed one is.
  std::vector<float> z_, slopes_;
  std::vector<double> moved_;  ///< By task: the prior's log odds now less those it was scored with.
};

}  // namespace millrace
