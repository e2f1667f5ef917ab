#include "learner/publish/served_logits.h"

#include <algorithm>

#include "learner/math/activation.h"
#include "learner/math/delayed_feedback.h"
#include "learner/math/product_head.h"

namespace millrace {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

bool is_product(const Task& task) { return task.entire_space && task.given >= 0; }
bool is_fnc(const Task& task) { return task.policy == FeedbackPolicy::kFnc; }

}  // namespace

ServedLogits::ServedLogits(const Schema& schema) : tasks_(schema.tasks()) {
  for (int k = 0; k < static_cast<int>(tasks_.size()); ++k) {
    std::vector<int> chain;
    for (int j = k; j >= 0; j = tasks_[at(j)].given) chain.push_back(j);
    std::reverse(chain.begin(), chain.end());
    const auto any = [&](auto&& holds) {
      return std::any_of(chain.begin(), chain.end(), [&](int j) { return holds(tasks_[at(j)]); });
    };
    has_fnc_.push_back(any(is_fnc));
    corrected_.push_back(has_fnc_.back() || any([](const Task& t) { return t.logit_shift != 0; }));
    corrects_ = corrects_ || corrected_.back();
    chains_.push_back(std::move(chain));
  }
}

double ServedLogits::shifted(const float* z, int task) const {
  return double{z[task]} + tasks_[at(task)].logit_shift;
}

double ServedLogits::log_chain(const float* z, int task) const {
  const Task& t = tasks_[at(task)];
  if (!is_product(t)) {
    return log_own(z, task) + (t.given >= 0 ? log_chain(z, t.given) : 0);
  }
  math::Product<double> product;
  for (const int j : chains_[at(task)]) product = math::times(product, shifted(z, j));
  return is_fnc(t) ? math::fnc_log_probability(product.log_q, product.log_not_q) : product.log_q;
}

double ServedLogits::log_own(const float* z, int task) const {
  const Task& t = tasks_[at(task)];
  // What the chain has beyond its conditions, and no more than all of it.
  if (is_product(t)) return std::min(0.0, log_chain(z, task) - log_chain(z, t.given));
  const double logit = shifted(z, task);
  const double log_b = -math::softplus(-logit);
  return is_fnc(t) ? math::fnc_log_probability(log_b, -math::softplus(logit)) : log_b;
}

double ServedLogits::own(const float* z, int task) const {
  const Task& t = tasks_[at(task)];
  if (t.kind != TaskKind::kBinary) return z[task];
  const bool plain = is_product(t) ? !has_fnc_[at(task)] : !is_fnc(t);
  return plain ? shifted(z, task) : math::logit_of_log(log_own(z, task));
}

double ServedLogits::product(const float* z, int task) const {
  if (has_fnc_[at(task)]) return math::logit_of_log(log_chain(z, task));
  math::Product<double> product;
  for (const int j : chains_[at(task)]) product = math::times(product, shifted(z, j));
  return product.logit();
}

}  // namespace millrace
