#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "learner/base/state.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/train/label_options.h"

namespace millrace {

/// What the labels of one binary task weigh in its loss, by class, with mean 1; and what is added
/// to the logit (of the product, where the task is over the entire space) that the loss sees.
struct ClassWeights {
  double positive = 1;
  double negative = 1;
  double shift = 0;

  bool any() const { return shift != 0; }
};

/// From counts of labels to what they weigh (`train.labels`), all of the data alone:
///
///   ratio n     r = min(1, n P/N), P and N the shares of 1s and 0s; 0s weigh r to the 1s' 1, both
///               over P + r N, and the loss sees z − ln r: what it is least for is the p of all
///               rows (algorithms 2.15, "train on z − ln r and serve z"), whatever r was before.
///   oversample c, effective_count β
///               ω_k ← ω_k f_k T / Σ_j ω_j f_j,  f_k = c_k / E_k,  E_k = (1 − β^n)/(1 − β):
///               the effective number of n samples (Cui et al. 2019), n the labels of task k (1s of
///               a binary one). What the balancer gives is multiplied after the fact, so that none
///               undoes it; Σ = T stays.
///   curriculum  a task joins at its step; or else when it has had `labels` of those n, or the most
///               of such tasks (so the first batch is only counted); it stays. Until then it is
///               measured, and nothing of it is learned.
///
/// Shares are plain means over 100,000 labels, then fade with that length; n is since the option is
/// on. A batch is judged by what came before it. State: the value "labels", where any option is
/// on. Threads: one at a time.
class LabelTools {
 public:
  /// Borrows `schema`. Requires: the options name tasks of it, binary ones in `ratio`.
  LabelTools(const Schema& schema, const LabelOptions& options);

  /// Whether anything is on, and state to be kept.
  bool any() const { return any_; }

  /// A batch begins after `steps` full batches' worth of them (Σφ).
  void begin(double steps);
  /// By task: whether it has joined.
  std::span<const std::uint8_t> joined() const { return joined_; }
  /// By task; empty where no task has a ratio.
  std::span<const ClassWeights> classes() const { return classes_; }
  /// Overwrites `weighed`: from the balancer's weights to those that the losses get.
  void weigh(std::span<const double> weights, std::vector<double>& weighed) const;

  /// Takes in the labels of a batch that was not skipped, of rows that weigh anything.
  void add(const Batch& batch);

  void save(ByteWriter& writer) const;
  /// Error: throws StateError.
  void restore(ByteReader& reader);

 private:
  struct Count {
    double labels = 0;    ///< Of a binary task its 1s.
    double counted = 0;   ///< Of the share, capped.
    double positive = 0;  ///< The share of 1s.
  };
  void join(double steps);

  const Schema& schema_;
  const LabelOptions options_;
  bool any_ = false;
  std::vector<double> ratios_, copies_, steps_;  ///< By task; 0, 1, −1 where not named.
  std::vector<Count> counts_;
  std::vector<std::uint8_t> joined_;
  std::vector<ClassWeights> classes_;
};

}  // namespace millrace
