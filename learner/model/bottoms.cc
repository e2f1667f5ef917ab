#include "learner/model/bottoms.h"

#include <algorithm>

#include "learner/base/check.h"
#include "learner/base/hash.h"

namespace millrace {
namespace {

template <class T>
Stack<T> part_of(Stack<T> stack, int first, int count) {
  stack.first = stack[first];
  stack.count = count;
  return stack;
}

}  // namespace

template <class T>
Bottoms<T>::Bottoms(int inputs, int tasks, const ModelOptions& options, long& offset,
                    ActivationPlan& plan)
    : inputs_(inputs),
      tasks_(tasks),
      own_(options.backbone == BackboneKind::kSharedBottom ? 0 : tasks),
      shared_(options.backbone == BackboneKind::kSeparate ? 0 : 1),
      count_(own_ + shared_),
      width_(options.expert_layers.at(0)),
      units_(options.expert_layers.back()),
      mixes_(options.backbone == BackboneKind::kSharedSpecific &&
             options.shared_mix != SharedMix::kConcat),
      learns_(options.shared_mix == SharedMix::kLearned),
      dropout_(static_cast<T>(options.dropout)),
      weight_(reserve_parameters(offset, long{inputs} * count_ * width_)),
      bias_(reserve_parameters(offset, long{count_} * width_)),
      first_(plan.reserve(count_ * width_)),
      first_slope_(plan.reserve(count_ * width_)) {
  for (std::size_t l = 1; l < options.expert_layers.size(); ++l) {
    above_.emplace_back(count_, options.expert_layers[l - 1],
                        std::vector<int>{options.expert_layers[l]}, MlpBank<T>::Last::kRelu, offset,
                        plan);
  }
  if (shared_ > 0 && !above_.empty()) last_shared_ = above_.back().member(own_);
  if (mixes_) similarity_ = reserve_parameters(offset, 2L * tasks);
  gates_ = plan.reserve(2 * tasks);
  gate_slopes_ = plan.reserve(2 * tasks);
  loss_gates_ = plan.reserve(2 * tasks);
  ones_ = plan.reserve(count_);
  one_slopes_ = plan.reserve(count_);
  joined_ = plan.reserve(shared_ * own_ * outputs());
  loss_slopes_ = plan.reserve(count_ * units_);
  sum_ = plan.reserve(units_);
}

template <class T>
std::string Bottoms<T>::name(int bottom) const {
  return bottom < own_ ? "task_bottom." + std::to_string(bottom) : "bottom.0";
}

template <class T>
void Bottoms<T>::append_slots(std::vector<ParameterSlot>& slots) const {
  const auto task = [&](int i) { return i < own_ ? i : -1; };
  for (int i = 0; i < count_; ++i) {
    slots.push_back({.name = name(i) + ".layer.0.weight",
                     .offset = weight_ + long{i} * width_,
                     .rows = inputs_,
                     .cols = width_,
                     .stride = long{count_} * width_,
                     .gain = 2,
                     .task = task(i),
                     .alone = above_.empty()});
    slots.push_back({.name = name(i) + ".layer.0.bias",
                     .offset = bias_ + long{i} * width_,
                     .rows = 1,
                     .cols = width_,
                     .stride = width_,
                     .gain = 0,
                     .task = task(i)});
  }
  for (std::size_t l = 0; l < above_.size(); ++l) {
    append_bank_slots(
        above_[l], [&](int i) { return name(i); }, task, static_cast<int>(l) + 1, 2, 1, slots);
  }
  for (int t = 0; mixes_ && t < tasks_; ++t) {
    slots.push_back({.name = "similarity." + std::to_string(t) + ".layer.0.weight",
                     .offset = similarity_ + 2L * t,
                     .rows = 1,
                     .cols = 2,
                     .stride = 2,
                     .gain = 0,
                     .task = t,
                     .trained = learns_,
                     .start = learns_ ? 0 : 0.5});
  }
}

template <class T>
Stack<T> Bottoms<T>::outputs_of(std::size_t l, const Activations<T>& at, int rows) const {
  return side_by_side(at.view(l == 0 ? first_ : above_[l - 1].layers().back().output, rows),
                      count_);
}

template <class T>
Stack<T> Bottoms<T>::slopes_of(std::size_t l, const Activations<T>& at, int rows) const {
  if (l > 0) return above_[l - 1].output_slope(at, rows);
  return side_by_side(at.view(first_slope_, rows), count_);
}

template <class T>
void Bottoms<T>::drop(std::size_t l, const Activations<T>& at, int rows) const {
  if (!drops(at)) return;
  const Stack<T> y = outputs_of(l, at, rows);
  for (int i = 0; i < count_; ++i) {
    const std::uint64_t stream = hash_bytes("dropout." + name(i) + "." + std::to_string(l));
    at.backend.dropout(y[i], dropout_, {at.pass->seed, stream, at.pass->step, at.pass->first_row});
  }
}

template <class T>
Stack<T> Bottoms<T>::forward(const T* weights, View<const T> x, const Activations<T>& at) const {
  const int columns = count_ * width_;
  at.backend.dense(x, View<const T>{weights + weight_, inputs_, columns},
                   View<const T>{weights + bias_, 1, columns}, columns, at.view(first_, x.rows));
  return after_first(weights, x.rows, at);
}

template <class T>
Stack<T> Bottoms<T>::after_first(const T* weights, int rows, const Activations<T>& at) const {
  drop(0, at, rows);
  for (std::size_t l = 0; l < above_.size(); ++l) {
    above_[l].forward(weights, outputs_of(l, at, rows), at);
    drop(l + 1, at, rows);
  }
  const Stack<T> y = outputs_of(above_.size(), at, rows);
  const View<T> ones = at.view(ones_, rows);
  // The softmax of a single logit.
  at.backend.softmax(side_by_side(ones, count_), side_by_side(ones, count_));
  if (own_ == 0) return {y.first, tasks_, 0};
  if (shared_ == 0) return y;
  const Stack<T> v = side_by_side(at.view(joined_, rows), tasks_);
  for (int t = 0; !mixes_ && t < tasks_; ++t) {
    at.backend.copy(y[t], v[t].cols_from(0, units_));
    at.backend.copy(y[own_], v[t].cols_from(units_, units_));
  }
  if (!mixes_) return v;
  const View<T> g = at.view(gates_, rows);
  at.backend.fill_rows(View<const T>{weights + similarity_, 1, 2 * tasks_}, g);
  if (learns_) at.backend.softmax(side_by_side(g, tasks_), side_by_side(g, tasks_));
  at.backend.mix(mixture(at, rows), v);
  return v;
}

template <class T>
Mixture<T> Bottoms<T>::through(bool own, const Activations<T>& at, int rows) const {
  Mixture<T> mixture;
  const Stack<T> ones = side_by_side(at.view(ones_, rows), count_);
  mixture.g = own ? part_of(ones, 0, own_) : part_of(ones, own_, 1);
  mixture.reach.own = own ? 1 : 0;
  mixture.reach.rest = own ? count_ : own_;
  mixture.y = Stack<const T>(outputs_of(above_.size(), at, rows));
  return mixture;
}

template <class T>
Mixture<T> Bottoms<T>::mixture(const Activations<T>& at, int rows) const {
  Mixture<T> mixture;
  mixture.g = side_by_side(at.view(gates_, rows), tasks_);
  mixture.reach.own = 1;
  mixture.reach.rest = own_;
  mixture.y = Stack<const T>(outputs_of(above_.size(), at, rows));
  return mixture;
}

template <class T>
void Bottoms<T>::backward_top(const T* /*weights*/, View<const T> x, Stack<const T> dv,
                              std::span<const int> towers, bool first, const Activations<T>& at,
                              GradientTarget<T> last_shared) const {
  const int rows = x.rows;
  const Stack<T> sum = slopes_of(above_.size(), at, rows);
  const Stack<T> dy = first ? sum : side_by_side(at.view(loss_slopes_, rows), count_);
  const ExpertStack<T> slopes(dy);
  bool add = false;
  if (own_ > 0) {
    // In the logits of softmax: of no use where the similarities are measured.
    const Stack<T> all = side_by_side(at.view(gate_slopes_, rows), tasks_);
    const Stack<T> du = mixes_ ? (first ? all : side_by_side(at.view(loss_gates_, rows), tasks_))
                               : side_by_side(at.view(one_slopes_, rows), count_);
    for (int t = 0; mixes_ && first && t < tasks_; ++t) at.backend.clear(du[t]);
    for (const int t : towers) {
      MixtureSlopes<T> one{mixes_ ? mixture(at, rows) : through(true, at, rows), part_of(dv, t, 1),
                           part_of(du, t, 1)};
      one.mixture.g = part_of(one.mixture.g, t, 1);
      one.mixture.first_gate = t;
      one.dv.first = one.dv.first.cols_from(0, units_);
      at.backend.mix_backward({&one, 1}, true, add, slopes);
      add = true;
      if (mixes_ && !first) at.backend.add(du[t], all[t]);
    }
  }
  if (shared_ > 0 && !mixes_) {
    const View<T> joined = at.view(sum_, rows);
    for (std::size_t i = 0; i < towers.size(); ++i) {
      const View<const T> slope = dv[towers[i]].cols_from(own_ > 0 ? units_ : 0, units_);
      i == 0 ? at.backend.copy(slope, joined) : at.backend.add(slope, joined);
    }
    const MixtureSlopes<T> all{through(false, at, rows), Stack<const T>(joined),
                               at.view(one_slopes_, rows).cols_from(own_, 1)};
    at.backend.mix_backward({&all, 1}, true, add, slopes);
  }
  for (int i = 0; drops(at) && i < count_; ++i) at.backend.scale(dy[i], 1 / (1 - dropout_));
  if (shared_ > 0 && last_shared.block != nullptr) {
    if (above_.empty()) {
      at.backend.dense_weights_backward(x, dy[own_], last_shared.add,
                                        View<T>{last_shared.block, inputs_, units_}, {});
    } else {
      last_shared_.last_weights_backward(outputs_of(above_.size() - 1, at, rows)[own_], dy[own_],
                                         at, last_shared.block, last_shared.add);
    }
  }
  for (int i = 0; !first && i < count_; ++i) at.backend.add(dy[i], sum[i]);
}

template <class T>
void Bottoms<T>::backward_rest(const T* weights, View<const T> x, const Activations<T>& at,
                               GradientTarget<T> target, bool by_loss, View<T> dx) const {
  const int rows = x.rows, columns = count_ * width_;
  for (std::size_t l = above_.size(); l-- > 0;) {
    const bool known = by_loss && own_ == 0 && l + 1 == above_.size();
    const Stack<T> slopes = slopes_of(l, at, rows);
    above_[l].backward(weights, outputs_of(l, at, rows), true, slopes_of(l + 1, at, rows), at,
                       target.block, target.add, slopes, !known);
    for (int i = 0; drops(at) && i < count_; ++i) at.backend.scale(slopes[i], 1 / (1 - dropout_));
  }
  const View<T> dfirst = at.view(first_slope_, rows);
  if (target.block != nullptr) {
    at.backend.dense_weights_backward(x, dfirst, target.add,
                                      View<T>{target.block + weight_, inputs_, columns},
                                      View<T>{target.block + bias_, 1, columns});
    if (mixes_) {
      const View<T> logits{target.block + similarity_, 1, 2 * tasks_};
      if (learns_) {
        at.backend.dense_weights_backward({}, at.view(gate_slopes_, rows), target.add, {}, logits);
      } else if (!target.add) {
        at.backend.clear(logits);
      }
    }
  }
  if (dx.data != nullptr) {
    const T* const transposed = at.transposed;
    at.backend.dense_inputs_backward(dfirst, View<const T>{weights + weight_, inputs_, columns},
                                     transposed == nullptr
                                         ? View<const T>{}
                                         : View<const T>{transposed + weight_, columns, inputs_},
                                     {}, dx);
  }
}

template <class T>
void Bottoms<T>::transpose(Backend<T>& backend, const T* weights, bool inputs,
                           T* transposed) const {
  for (const MlpBank<T>& bank : above_) bank.transpose(backend, weights, transposed);
  if (!inputs) return;
  const int columns = count_ * width_;
  backend.transpose(View<const T>{weights + weight_, inputs_, columns},
                    View<T>{transposed + weight_, columns, inputs_});
}

template <class T>
std::vector<std::string> Bottoms<T>::last_shared() const {
  if (shared_ == 0) return {};
  return {name(own_) + ".layer." + std::to_string(above_.size()) + ".weight"};
}

template <class T>
void Bottoms<T>::forward_context(const T* weights, View<const T> context, View<T> shared) const {
  const int columns = count_ * width_;
  MILLRACE_CHECK(context.rows == 1 && shared.has_shape(1, columns));
  std::copy_n(weights + bias_, columns, shared.data);
  for (int d = 0; d < context.cols; ++d) {
    math::mix_add(context.data[d], weights + weight_ + long{d} * columns, shared.data, columns);
  }
}

template <class T>
Stack<T> Bottoms<T>::forward_candidates(const T* weights, View<const T> shared,
                                        View<const T> candidates, const Activations<T>& at) const {
  const int columns = count_ * width_, from = inputs_ - candidates.cols;
  at.backend.dense(
      candidates, View<const T>{weights + weight_ + long{from} * columns, candidates.cols, columns},
      shared, columns, at.view(first_, candidates.rows));
  return after_first(weights, candidates.rows, at);
}

template <class T>
std::vector<std::string> Bottoms<T>::gate_experts(int task) const {
  if (!mixes_) return {};
  return {name(task), name(own_)};
}

template <class T>
Mixture<T> Bottoms<T>::gate(const Activations<T>& at, int rows, int task) const {
  Mixture<T> one;
  one.g.count = 0;
  if (!mixes_) return one;
  one = mixture(at, rows);
  one.g = part_of(one.g, task, 1);
  one.first_gate = task;
  return one;
}

template class Bottoms<float>;
template class Bottoms<double>;

}  // namespace millrace
