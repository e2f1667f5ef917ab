#include "learner/train/task_losses.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"
#include "learner/math/delayed_feedback.h"
#include "learner/math/loss.h"
#include "learner/math/product_head.h"
#include "learner/train/delays.h"

namespace millrace {
namespace {

math::Loss<double> own_loss(const Task& task, double z, double y) {
  switch (task.kind) {
    case TaskKind::kBinary:
      return math::bce(z, y);
    case TaskKind::kCount:
      return math::poisson(z, y);
    case TaskKind::kRegression:
    case TaskKind::kDuration:
      break;
  }
  return task.loss == RegressionLoss::kHuber ? math::huber(z, y, task.delta) : math::squared(z, y);
}

}  // namespace

TaskLosses::TaskLosses(const Schema& schema, int max_rows) : schema_(schema) {
  const std::vector<Task>& tasks = schema.tasks();
  for (int k = 0; k < static_cast<int>(tasks.size()); ++k) {
    std::vector<int> chain;
    for (int j = k; j >= 0; j = tasks[static_cast<std::size_t>(j)].given) chain.push_back(j);
    std::reverse(chain.begin(), chain.end());
    chains_.push_back(std::move(chain));
  }
  arrange_slopes();
  const std::size_t cells = static_cast<std::size_t>(max_rows) * tasks.size();
  counts_.resize(tasks.size());
  losses_.resize(cells);
  weighed_.resize(cells);
  logits_.resize(cells);
  if (schema.has_delays()) expected_.resize(cells);
}

// Each loss goes to the first matrix in which its logits are free.
void TaskLosses::arrange_slopes() {
  std::vector<std::vector<bool>> taken;
  for (int k = 0; k < static_cast<int>(chains_.size()); ++k) {
    towers_.push_back(is_product(k) ? chain(k) : std::vector<int>{k});
    std::vector<int>& towers = towers_.back();
    std::sort(towers.begin(), towers.end());
    std::size_t m = 0;
    const auto is_free = [&] {
      return std::none_of(towers.begin(), towers.end(),
                          [&](int t) { return taken[m][static_cast<std::size_t>(t)]; });
    };
    while (m < taken.size() && !is_free()) ++m;
    if (m == taken.size()) taken.emplace_back(chains_.size());
    for (const int t : towers) taken[m][static_cast<std::size_t>(t)] = true;
    slope_matrix_.push_back(static_cast<int>(m));
  }
  slope_matrices_ = static_cast<int>(taken.size());
}

void TaskLosses::begin(const Batch& batch, std::span<const ClassWeights> classes) {
  const std::size_t T = schema_.tasks().size(), rows = static_cast<std::size_t>(batch.rows);
  MILLRACE_CHECK(batch.labels.size() == rows * T && batch.condition.size() == rows * T);
  MILLRACE_CHECK(batch.weights.size() == rows && rows * T <= losses_.size());
  MILLRACE_CHECK(batch.origin.empty() || batch.origin.size() == rows * T);
  MILLRACE_CHECK(batch.certain.empty() || batch.certain.size() == rows * T);
  batch_ = &batch;
  classes_ = classes;
  std::fill(counts_.begin(), counts_.end(), 0.0);
  std::fill(expected_.begin(), expected_.end(), -1.0);
  for (std::size_t i = 0; i < rows; ++i) {
    if (!is_learned(static_cast<int>(i))) continue;
    for (std::size_t k = 0; k < T; ++k) counts_[k] += std::isnan(batch.labels[i * T + k]) ? 0 : 1;
  }
}

double TaskLosses::feedback_weight(int row, int task, double p, const FeedbackHeads& heads) const {
  if (is_final(row, task)) return 1;
  const bool positive = batch_->labels[index(row, task)] > 0.5F;
  switch (schema_.tasks()[static_cast<std::size_t>(task)].policy) {
    case FeedbackPolicy::kWait:
    case FeedbackPolicy::kFnc:
    case FeedbackPolicy::kDefuse:
    case FeedbackPolicy::kDfm:
      return 1;
    case FeedbackPolicy::kFnw:
      return math::fnw_weight(positive, p);
    case FeedbackPolicy::kEsDfm:
      return math::es_dfm_weight(positive, heads.delayed(row, task), heads.never(row, task));
    case FeedbackPolicy::kDefer: {
      const double weight = math::defer_weight(positive, p, heads.delayed(row, task));
      return batch_->origin[index(row, task)] == Origin::kTwice ? 2 * weight : weight;
    }
  }
  return 1;
}

TaskLosses::Trained TaskLosses::trained(int row, int task, double p,
                                        const FeedbackHeads& heads) const {
  const auto at = static_cast<std::size_t>(task);
  const double label = batch_->labels[index(row, task)];
  const ClassWeights classes = classes_.empty() ? ClassWeights{} : classes_[at];
  const double of_class = label > 0.5 ? classes.positive : classes.negative;
  if (schema_.tasks()[at].policy != FeedbackPolicy::kDefuse || is_final(row, task)) {
    return {of_class * feedback_weight(row, task, p, heads), label};
  }
  const auto shares =
      math::defuse_shares(label > 0.5, batch_->origin[index(row, task)] == Origin::kLater,
                          heads.delayed(row, task), heads.never(row, task));
  const double one = shares.positive * classes.positive, zero = shares.negative * classes.negative;
  return {one + zero, one + zero > 0 ? one / (one + zero) : label};
}

math::Loss<double> TaskLosses::delay_loss_of(int row, int task, double odds,
                                             const FeedbackHeads& heads) {
  const std::size_t cell = index(row, task);
  const double w = heads.rate(row, task), unit_ms = heads.unit_ms(task);
  const auto loss = delay_loss(*batch_, cell, odds, w, unit_ms);
  losses_[cell] = loss.value;
  expected_[cell] = std::min(
      1.0,
      math::not_come(odds, w, batch_->since[cell] / unit_ms, batch_->until[cell] / unit_ms).value);
  return {loss.value, loss.odds};
}

template <class Value>
void TaskLosses::run(int first, View<const Value> z, const std::vector<double>& scale,
                     const FeedbackHeads& heads, View<Value> dz, View<Value> by_loss) {
  const std::vector<Task>& tasks = schema_.tasks();
  const int T = static_cast<int>(tasks.size());
  MILLRACE_CHECK(z.cols == T && dz.has_shape(z.rows, T));
  MILLRACE_CHECK(by_loss.data == nullptr || by_loss.has_shape(z.rows, slope_matrices_ * T));
  std::vector<double> slopes(static_cast<std::size_t>(T));
  for (int r = 0; r < z.rows; ++r) {
    const int row = first + r;
    if (by_loss.data != nullptr) std::fill_n(by_loss.row(r), by_loss.cols, Value(0));
    const auto add = [&](int loss, int tower, double slope) {
      slopes[static_cast<std::size_t>(tower)] += slope;
      if (by_loss.data == nullptr || !is_learned(row)) return;
      by_loss(r, slope_matrix(loss) * T + tower) = static_cast<Value>(slope);
    };
    std::fill(slopes.begin(), slopes.end(), 0.0);
    for (int k = 0; k < T; ++k) {
      const std::size_t cell = index(row, k);
      const double y = batch_->labels[cell];
      if (std::isnan(y)) continue;
      const auto own = static_cast<std::size_t>(k);
      const double logit = z(r, k);
      double factor = batch_->weights[static_cast<std::size_t>(row)];
      const ClassWeights classes = classes_.empty() ? ClassWeights{} : classes_[own];
      double value = 0;  // of the loss that is trained
      if (is_product(k)) {
        const auto stands = [&](int j) { return j == k || !is_certain(row, j); };
        math::Product<double> product, learned;
        for (const int j : chain(k)) {
          product = math::times(product, double{z(r, j)});
          if (stands(j)) learned = math::times(learned, double{z(r, j)});
        }
        losses_[cell] = math::product_loss(product, y);
        logits_[cell] = product.logit();
        const Trained of = trained(row, k, std::exp(learned.log_q), heads);
        const bool tells = tells_delay(*batch_, cell);
        factor *= of.weight;
        value = math::product_loss(learned, of.label);
        math::Loss<double> by_odds{};
        if (tells) by_odds = delay_loss_of(row, k, learned.logit(), heads);
        if (classes.any()) by_odds = math::bce(learned.logit() + classes.shift, of.label);
        if (tells || classes.any()) value = by_odds.value;
        for (const int j : chain(k)) {
          if (!stands(j)) continue;
          const double slope =
              tells || classes.any()
                  ? by_odds.slope * math::product_logit_slope(learned, double{z(r, j)})
                  : math::product_slope(learned, double{z(r, j)}, of.label);
          add(k, j, scale[own] * factor * slope);
        }
      } else {
        auto loss = own_loss(tasks[own], logit, y);
        losses_[cell] = loss.value;
        if (tasks[own].kind == TaskKind::kBinary && (classes.any() || !is_final(row, k))) {
          const Trained of = trained(row, k, math::sigmoid(logit), heads);
          factor *= of.weight;
          if (classes.any() || of.label != y) loss = math::bce(logit + classes.shift, of.label);
          if (tells_delay(*batch_, cell)) loss = delay_loss_of(row, k, logit, heads);
        }
        value = loss.value;
        add(k, k, scale[own] * factor * loss.slope);
      }
      weighed_[cell] = factor * value;
    }
    if (!is_learned(row)) std::fill(slopes.begin(), slopes.end(), 0.0);  // 0 · ∞ is not 0
    for (int k = 0; k < T; ++k) dz(r, k) = static_cast<Value>(slopes[static_cast<std::size_t>(k)]);
  }
}

template void TaskLosses::run(int, View<const float>, const std::vector<double>&,
                              const FeedbackHeads&, View<float>, View<float>);
template void TaskLosses::run(int, View<const double>, const std::vector<double>&,
                              const FeedbackHeads&, View<double>, View<double>);

std::vector<TaskLoss> TaskLosses::sums() const {
  const int T = static_cast<int>(schema_.tasks().size());
  std::vector<TaskLoss> sums(static_cast<std::size_t>(T));
  for (int i = 0; i < batch_->rows; ++i) {
    if (!is_learned(i)) continue;
    for (int k = 0; k < T; ++k) {
      const std::size_t cell = index(i, k);
      if (!std::isnan(batch_->labels[cell])) {
        sums[static_cast<std::size_t>(k)].sum += weighed_[cell];
      }
    }
  }
  for (std::size_t k = 0; k < sums.size(); ++k) sums[k].count = counts_[k];
  return sums;
}

}  // namespace millrace
