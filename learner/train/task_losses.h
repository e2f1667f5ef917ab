#pragma once

#include <optional>
#include <span>
#include <vector>

#include "learner/balance/balancer.h"
#include "learner/base/view.h"
#include "learner/data/batch.h"
#include "learner/data/schema.h"
#include "learner/math/loss.h"
#include "learner/train/feedback_heads.h"
#include "learner/train/label_tools.h"

namespace millrace {

/// The losses of all tasks over one batch, and their slopes in the logits.
///
///   L_k = Σ_i m_ik s_i ℓ_ik / N_k       m: the label is known, s: row weight, N_k = Σ_i m_ik
///   dz_ij = Σ_k ω_k m_ik s_i ∂ℓ_ik/∂z_ij / norm_k
///
/// Rows that weigh nothing are in no sum, not in N_k either; they have a loss, for the metrics.
/// ℓ_k: cross-entropy of the own logit; squared error or Huber's loss of a regression's or
/// duration's own output; Poisson's of a count's log rate; for a task over the entire
/// space the cross-entropy of the product over its chain of conditions (ESMM, Ma et al. 2018),
/// whose slope goes to every logit of the chain. A label that a policy of delayed feedback trains
/// before it is decided weighs what math/delayed_feedback.h says, of the same pass and held
/// constant (under defuse a 0 is in part a 1: its label is trained as the share of it); p̄ is the
/// probability that the loss is of: σ(z), or the product.
///
/// In a row of the flush where a condition of the chain is certain (Batch), the product that is
/// trained is without it. Zeros that the condition decided come no more beside such rows: that is
/// their sampling at rate 0, under which the condition's probability in the product is 1
/// (algorithms 2.15). With it, rows that all clicked would teach that everybody clicks and most of
/// them buy.
///
/// A label under dfm that tells its delay has the loss of math/delay_model.h in the odds of z or of
/// the product, λ held constant; its weighted sum is without the density of the delay, which has no
/// slope here, so that it is never negative and balancers may compare it.
///
/// Where a task's classes weigh (ClassWeights), its labels do, and the loss that is trained is that
/// of the shifted logit, of z, or of the product's log q − log(1 − q). `loss` and `product_logit`
/// know nothing of either.
///
/// A batch: `begin`, `run` for each tile of its rows, then the sums, which add up in the order of
/// the rows whatever the tiles. Memory: 24 bytes a row and task, 32 where a task
/// is under dfm.
/// Threads: `run` for different rows beside each other.
class TaskLosses {
 public:
  /// Borrows `schema`.
  TaskLosses(const Schema& schema, int max_rows);

  /// Borrows both; `classes`, by task, may be empty. counts()[k] is N_k from here on.
  void begin(const Batch& batch, std::span<const ClassWeights> classes = {});
  const std::vector<double>& counts() const { return counts_; }

  /// Losses that reach different logits share a matrix of slopes by loss: loss k's slopes stand in
  /// the columns towers(k) of matrix slope_matrix(k), the first one free there.
  int slope_matrices() const { return slope_matrices_; }
  int slope_matrix(int task) const { return slope_matrix_[static_cast<std::size_t>(task)]; }
  /// The logits that loss k reaches, ascending.
  const std::vector<int>& towers(int task) const { return towers_[static_cast<std::size_t>(task)]; }

  /// Rows [first, first + z.rows): from z [n,T] to dz [n,T] (overwritten). scale[k] = ω_k / norm_k.
  /// `by_loss` [n, matrices · T], matrix by matrix: the slopes of each loss alone, of which dz has
  /// the sums; empty: nobody wants them.
  /// `heads` have run on these rows. Works in double; Value: float or double.
  template <class Value>
  void run(int first, View<const Value> z, const std::vector<double>& scale,
           const FeedbackHeads& heads, View<Value> dz, View<Value> by_loss = {});

  /// Σ of the weighted losses and N_k, for each task. After all rows have run.
  std::vector<TaskLoss> sums() const;

  /// Task k's chain: its conditions from the first, then k itself.
  const std::vector<int>& chain(int task) const { return chains_[static_cast<std::size_t>(task)]; }
  bool is_product(int task) const {
    return schema_.tasks()[static_cast<std::size_t>(task)].entire_space && chain(task).size() > 1;
  }
  /// Whether a label of the batch is decided and trained once: it is measured by this pass.
  bool is_final(int row, int task) const {
    return batch_->origin.empty() || batch_->origin[index(row, task)] == Origin::kFinal;
  }

  /// Whether conditions of task k are certain in a row (Batch::certain): they are in its product,
  /// and not in what is trained.
  bool leaves_out_conditions(int row, int task) const {
    bool some = false;
    for (const int j : chain(task)) some |= j != task && is_certain(row, j);
    return is_product(task) && some;
  }

  /// Whether the row weighs anything.
  bool is_learned(int row) const { return batch_->weights[static_cast<std::size_t>(row)] != 0; }

  /// ℓ_ik, without any weight, of a row whose label is known (of one that tells its delay, what is
  /// trained).
  double loss(int row, int task) const { return losses_[index(row, task)]; }
  /// Of a label that tells its delay, of how many 1s the model would have said that they come in
  /// the time that the label is about: −log P(none does), at most 1. Over all looks these sum to
  /// the 1s in the mean, as probabilities of labels do. Nothing of other labels.
  std::optional<double> expected(int row, int task) const {
    const double value = expected_.empty() ? -1 : expected_[index(row, task)];
    return value < 0 ? std::nullopt : std::optional(value);
  }
  /// log q − log(1 − q) of the product, of a row whose label is known.
  double product_logit(int row, int task) const { return logits_[index(row, task)]; }

 private:
  std::size_t index(int row, int task) const {
    return static_cast<std::size_t>(row) * schema_.tasks().size() + static_cast<std::size_t>(task);
  }

  bool is_certain(int row, int task) const {
    return !batch_->certain.empty() && batch_->certain[index(row, task)] != 0;
  }
  void arrange_slopes();
  /// What is trained of a known label: how much it weighs, and as which label between 0 and 1.
  struct Trained {
    double weight, label;
  };
  /// For its policy and its class, given the probability of its loss.
  Trained trained(int row, int task, double p, const FeedbackHeads& heads) const;
  double feedback_weight(int row, int task, double p, const FeedbackHeads& heads) const;
  math::Loss<double> delay_loss_of(int row, int task, double odds, const FeedbackHeads& heads);

  const Schema& schema_;
  std::vector<std::vector<int>> chains_, towers_;
  std::vector<int> slope_matrix_;
  int slope_matrices_ = 0;
  const Batch* batch_ = nullptr;
  std::span<const ClassWeights> classes_;
  std::vector<double> counts_;
  std::vector<double> losses_, weighed_;  ///< [rows, T]: ℓ, and what is trained, times its weight.
  std::vector<double> logits_;            ///< [rows, T], of products.
  std::vector<double> expected_;          ///< [rows, T]; −1: not of this label. Empty: of none.
};

}  // namespace millrace
