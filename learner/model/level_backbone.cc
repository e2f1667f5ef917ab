#include "learner/model/level_backbone.h"

#include "learner/base/check.h"

namespace millrace {

template <class T>
LevelBackbone<T>::LevelBackbone(const std::vector<LevelShape>& levels, int tasks,
                                InputGroups groups, const ModelOptions& options, long& offset,
                                ActivationPlan& plan)
    : tasks_(tasks), groups_(std::move(groups)) {
  MILLRACE_CHECK(!levels.empty() && (groups_.count == 1 || groups_.count == tasks + 1));
  if (groups_.count > 1) {
    MILLRACE_CHECK(groups_.width() == levels[0].inputs);
    spread_ = plan.reserve(groups_.count * groups_.width());
    spread_slope_ = plan.reserve(groups_.count * groups_.width());
  }
  levels_.reserve(levels.size());
  for (LevelShape shape : levels) {
    shape.first_weight = gate_weights();
    const bool lowest = levels_.empty();
    const int width = (shape.one_input ? 1 : tasks) * shape.inputs;
    slopes_.push_back(lowest ? Slab{} : plan.reserve((tasks + 1) * shape.inputs));
    gate_inputs_.push_back(shape.gate_inputs ? plan.reserve(width) : Slab{});
    gate_slopes_.push_back(shape.gate_inputs ? plan.reserve(width) : Slab{});
    plan.reuse_temporaries();  // a level is done before the one below it begins
    levels_.emplace_back(shape, options, offset, plan);
  }
  for (int t = 0; t < tasks; ++t) every_task_.push_back(t);
  const ExpertLevel<T>& top = levels_.back();
  if (top.shape().gates < tasks) tower_slope_ = plan.reserve(top.outputs());
}

template <class T>
void LevelBackbone<T>::append_slots(std::vector<ParameterSlot>& slots) const {
  for (const ExpertLevel<T>& level : levels_) level.append_slots(slots);
}

// Without a shared gate below, the shared experts read what the first task does.
template <class T>
bool LevelBackbone<T>::has_shared_stream(std::size_t level) const {
  return levels_[level - 1].shape().shared_gate_weights > 0;
}

template <class T>
template <class U>
LevelInputs<U> LevelBackbone<T>::side_by_side_groups(View<U> x) const {
  const Stack<U> all = side_by_side(x, groups_.count);
  return {{all.first, tasks_, all.step}, all[tasks_], {}};
}

template <class T>
int LevelBackbone<T>::spread_width(View<const T> x) const {
  const int first = groups_.columns() - x.cols;
  int width = 0;
  for (const InputGroups::Part& part : groups_.parts) width += part.from >= first ? part.width : 0;
  return width;
}

template <class T>
void LevelBackbone<T>::spread(View<const T> x, const Activations<T>& at) const {
  if (groups_.count == 1) return;
  const int width = spread_width(x), first = groups_.columns() - x.cols;
  const Stack<T> groups =
      side_by_side(at.view(spread_, x.rows).cols_from(0, groups_.count * width), groups_.count);
  int column = 0;
  for (const InputGroups::Part& part : groups_.parts) {
    if (part.from < first) continue;
    for (int g = 0; g < groups_.count; ++g) {
      const int from = part.from - first + (part.own ? g * part.width : 0);
      at.backend.copy(x.cols_from(from, part.width), groups[g].cols_from(column, part.width));
    }
    column += part.width;
  }
}

template <class T>
void LevelBackbone<T>::collect(View<T> dx, const Activations<T>& at) const {
  const Stack<T> groups = side_by_side(at.view(spread_slope_, dx.rows), groups_.count);
  int column = 0;
  for (const InputGroups::Part& part : groups_.parts) {
    for (int g = 0; g < groups_.count; ++g) {
      const View<const T> from = groups[g].cols_from(column, part.width);
      const View<T> to = dx.cols_from(part.from + (part.own ? g * part.width : 0), part.width);
      part.own || g == 0 ? at.backend.copy(from, to) : at.backend.add(from, to);
    }
    column += part.width;
  }
}

template <class T>
LevelInputs<const T> LevelBackbone<T>::inputs(std::size_t level, View<const T> x,
                                              const Activations<T>& at) const {
  LevelInputs<const T> read;
  if (level == 0 && groups_.count == 1) {
    read.shared = x;
  } else if (level == 0) {
    const View<const T> all = at.view(spread_, x.rows);
    read = side_by_side_groups(all.cols_from(0, groups_.count * spread_width(x)));
  } else {
    const ExpertLevel<T>& below = levels_[level - 1];
    const Stack<T> v = below.mixed(at, x.rows);
    read.tasks = v;
    read.shared = has_shared_stream(level) ? below.shared_mixed(at, x.rows) : v[0];
  }
  if (levels_[level].shape().gate_inputs) {
    // Of the candidates' part of x alone, narrower than the whole.
    const View<T> sums = at.view(gate_inputs_[level], x.rows);
    read.gates = side_by_side(sums.cols_from(0, tasks_ * read.shared.cols), tasks_);
  }
  return read;
}

template <class T>
void LevelBackbone<T>::sum_gate_inputs(std::size_t level, const LevelInputs<const T>& x,
                                       const Activations<T>& at) const {
  if (!levels_[level].shape().gate_inputs) return;
  const View<T> sums =
      at.view(gate_inputs_[level], x.shared.rows).cols_from(0, tasks_ * x.shared.cols);
  const Stack<T> sum = side_by_side(sums, tasks_);
  for (int t = 0; t < tasks_; ++t) {
    at.backend.copy(x.tasks[t], sum[t]);
    at.backend.add(x.shared, sum[t]);
  }
}

template <class T>
Stack<T> LevelBackbone<T>::forward(const T* weights, View<const T> x,
                                   const Activations<T>& at) const {
  spread(x, at);
  const LevelInputs<const T> read = inputs(0, x, at);
  sum_gate_inputs(0, read, at);
  levels_[0].forward(weights, read, at);
  return above_first(weights, x.rows, x, at);
}

template <class T>
Stack<T> LevelBackbone<T>::above_first(const T* weights, int rows, View<const T> x,
                                       const Activations<T>& at) const {
  for (std::size_t j = 1; j < levels_.size(); ++j) {
    const LevelInputs<const T> read = inputs(j, x, at);
    sum_gate_inputs(j, read, at);
    levels_[j].forward(weights, read, at);
  }
  return tower_inputs(at, rows);
}

template <class T>
Stack<T> LevelBackbone<T>::tower_inputs(const Activations<T>& at, int rows) const {
  Stack<T> v = levels_.back().mixed(at, rows);
  if (v.count < tasks_) v = {v.first, tasks_, 0};
  return v;
}

template <class T>
void LevelBackbone<T>::backward_top(const T* weights, View<const T> x, Stack<const T> dv,
                                    std::span<const int> towers, bool first,
                                    const Activations<T>& at, GradientTarget<T> last_shared) const {
  const ExpertLevel<T>& top = levels_.back();
  const LevelInputs<const T> read = inputs(levels_.size() - 1, x, at);
  if (top.shape().gates == tasks_) {
    top.backward_mix(weights, read, dv, {}, towers, first, at, last_shared);
    return;
  }
  const View<T> sum = at.view(tower_slope_, x.rows);
  for (std::size_t i = 0; i < towers.size(); ++i) {
    i == 0 ? at.backend.copy(dv[towers[i]], sum) : at.backend.add(dv[towers[i]], sum);
  }
  top.backward_mix(weights, read, Stack<const T>(sum), {}, std::span(every_task_).first(1), first,
                   at, last_shared);
}

template <class T>
void LevelBackbone<T>::backward_rest(const T* weights, View<const T> x, const Activations<T>& at,
                                     GradientTarget<T> target, bool by_loss, View<T> dx) const {
  for (std::size_t j = levels_.size(); j-- > 0;) {
    const LevelInputs<const T> read = inputs(j, x, at);
    LevelInputs<T> slopes;
    if (j > 0) {
      const Stack<T> all = side_by_side(at.view(slopes_[j], x.rows), tasks_ + 1);
      slopes = {{all.first, tasks_, all.step}, all[tasks_], {}};
    } else if (dx.data != nullptr) {
      slopes.shared = dx;
      if (groups_.count > 1) slopes = side_by_side_groups(at.view(spread_slope_, x.rows));
    }
    const bool summed = levels_[j].shape().gate_inputs && slopes.shared.data != nullptr;
    if (summed) slopes.gates = side_by_side(at.view(gate_slopes_[j], x.rows), tasks_);
    const bool top = j + 1 == levels_.size();
    levels_[j].backward_rest(weights, read, at, target, by_loss && top, slopes);
    for (int t = 0; summed && t < tasks_; ++t) {
      // gate input = x_t + x_s
      at.backend.add(slopes.gates[t], slopes.tasks[t]);
      at.backend.add(slopes.gates[t], slopes.shared);
    }
    if (j == 0) break;
    if (!has_shared_stream(j)) {
      at.backend.add(slopes.shared, slopes.tasks[0]);
      slopes.shared = {};
    }
    levels_[j - 1].backward_mix(weights, inputs(j - 1, x, at), slopes.tasks, slopes.shared,
                                every_task_, true, at, {});
  }
  if (dx.data != nullptr && groups_.count > 1) collect(dx, at);
}

template <class T>
void LevelBackbone<T>::transpose(Backend<T>& backend, const T* weights, bool inputs,
                                 T* transposed) const {
  for (std::size_t j = 0; j < levels_.size(); ++j) {
    levels_[j].transpose(backend, weights, j > 0 || inputs, transposed);
  }
}

template <class T>
void LevelBackbone<T>::forward_context(const T* weights, View<const T> context,
                                       View<T> shared) const {
  if (groups_.count == 1) {
    levels_[0].forward_context(weights, {{}, context, {}}, shared);
    return;
  }
  const auto count = static_cast<std::size_t>(groups_.count);
  std::vector<std::vector<T>> groups(count);
  for (const InputGroups::Part& part : groups_.parts) {
    if (part.from >= context.cols) break;
    for (std::size_t g = 0; g < count; ++g) {
      const T* from = context.data + part.from + (part.own ? static_cast<int>(g) * part.width : 0);
      groups[g].insert(groups[g].end(), from, from + part.width);
    }
  }
  const auto width = static_cast<int>(groups[0].size());
  std::vector<T> all, gate_inputs;
  for (const std::vector<T>& group : groups) all.insert(all.end(), group.begin(), group.end());
  for (std::size_t t = 0; t + 1 < count; ++t) {
    for (std::size_t d = 0; d < groups[t].size(); ++d) {
      gate_inputs.push_back(groups[t][d] + groups.back()[d]);
    }
  }
  LevelInputs<const T> read =
      side_by_side_groups(View<const T>{all.data(), 1, groups_.count * width});
  read.gates = side_by_side(View<const T>{gate_inputs.data(), 1, tasks_ * width}, tasks_);
  levels_[0].forward_context(weights, read, shared);
}

template <class T>
Stack<T> LevelBackbone<T>::forward_candidates(const T* weights, View<const T> shared,
                                              View<const T> candidates,
                                              const Activations<T>& at) const {
  spread(candidates, at);
  const LevelInputs<const T> read = inputs(0, candidates, at);
  sum_gate_inputs(0, read, at);
  levels_[0].forward_candidates(weights, shared, read, at);
  return above_first(weights, candidates.rows, candidates, at);
}

template <class T>
int LevelBackbone<T>::gate_weights() const {
  int count = 0;
  for (const ExpertLevel<T>& level : levels_) count += level.gate_weights();
  return count;
}

template <class T>
void LevelBackbone<T>::add_gate_weights(const Activations<T>& at, int rows,
                                        std::span<double> sums) const {
  for (const ExpertLevel<T>& level : levels_) {
    level.add_gate_weights(at, rows,
                           sums.subspan(static_cast<std::size_t>(level.shape().first_weight),
                                        static_cast<std::size_t>(level.gate_weights())));
  }
}

template <class T>
std::vector<std::string> LevelBackbone<T>::gate_experts(int task) const {
  return levels_.back().gate_experts(levels_.back().shape().gates == tasks_ ? task : 0);
}

template <class T>
Mixture<T> LevelBackbone<T>::gate(const Activations<T>& at, int rows, int task) const {
  return levels_.back().gate(at, rows, levels_.back().shape().gates == tasks_ ? task : 0);
}

template <class T>
std::vector<LowerGate> LevelBackbone<T>::lower_gates() const {
  std::vector<LowerGate> gates;
  for (std::size_t j = 0; j + 1 < levels_.size(); ++j) {
    for (int g = 0; g < levels_[j].all_gates(); ++g) {
      const int task = g < levels_[j].shape().gates ? g : -1;
      gates.push_back({static_cast<int>(j), task, levels_[j].gate_experts(g)});
    }
  }
  return gates;
}

template <class T>
Mixture<T> LevelBackbone<T>::lower_gate(const Activations<T>& at, int rows, int i) const {
  std::size_t level = 0;
  for (; i >= levels_[level].all_gates(); ++level) i -= levels_[level].all_gates();
  MILLRACE_CHECK(level + 1 < levels_.size());
  return levels_[level].gate(at, rows, i);
}

template class LevelBackbone<float>;
template class LevelBackbone<double>;

}  // namespace millrace
