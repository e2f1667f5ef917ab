#include "learner/model/model.h"

#include <algorithm>
#include <cmath>

#include "learner/base/check.h"
#include "learner/model/backbone.h"
#include "learner/model/bottoms.h"
#include "learner/model/heads.h"
#include "learner/model/initialise.h"
#include "learner/model/level_backbone.h"
#include "learner/model/mmoe.h"
#include "learner/model/ple.h"
#include "learner/model/stem.h"

namespace millrace {
namespace {

template <class T>
std::unique_ptr<Backbone<T>> make_backbone(int inputs, const InputGroups& groups, int tasks,
                                           const ModelOptions& options, long& offset,
                                           ActivationPlan& plan) {
  std::vector<LevelShape> levels;
  switch (options.backbone) {
    case BackboneKind::kMmoe:
      levels = mmoe_levels(inputs, tasks, options);
      break;
    case BackboneKind::kCgc:
    case BackboneKind::kPle:
      levels = ple_levels(inputs, tasks, options);
      break;
    case BackboneKind::kStem:
      levels = stem_levels(groups.width(), tasks, options);
      break;
    case BackboneKind::kSharedBottom:
    case BackboneKind::kSharedSpecific:
    case BackboneKind::kSeparate:
      return std::make_unique<Bottoms<T>>(inputs, tasks, options, offset, plan);
  }
  return std::make_unique<LevelBackbone<T>>(levels, tasks, groups, options, offset, plan);
}

/// Of a model that is not told of features: all columns are in every group.
InputGroups groups_of(int inputs, int context_inputs, int tasks, const ModelOptions& options) {
  InputGroups groups;
  if (options.backbone != BackboneKind::kStem) return groups;
  groups.count = tasks + 1;
  if (context_inputs > 0) groups.parts.push_back({0, context_inputs, false});
  if (inputs > context_inputs) {
    groups.parts.push_back({context_inputs, inputs - context_inputs, false});
  }
  return groups;
}

// The mixture's rows that weigh something.
template <class T>
void tally_rows(Backend<T>& backend, const Mixture<T>& mixture, std::span<const float> row_weights,
                GateTally& tally) {
  const int B = mixture.g.first.rows, n = mixture.g.first.cols, H = mixture.y[0].cols;
  const auto count = static_cast<std::size_t>(n), units = static_cast<std::size_t>(H);
  tally.sum.assign(count, 0);
  tally.squares.assign(count, 0);
  tally.zeros.assign(count, 0);
  tally.fired.assign(count * units, 0);
  const auto weighs = [&](int r) {
    return row_weights.empty() || row_weights[static_cast<std::size_t>(r)] != 0;
  };
  std::vector<T> values(static_cast<std::size_t>(B) * std::max(count, units));
  backend.download(mixture.g[0], {values.data(), B, n});
  for (int r = 0; r < B; ++r) {
    if (!weighs(r)) continue;
    ++tally.rows;
    double entropy = 0;
    for (std::size_t c = 0; c < count; ++c) {
      const auto g = static_cast<double>(values[static_cast<std::size_t>(r) * count + c]);
      tally.sum[c] += g;
      tally.squares[c] += g * g;
      if (g > 0) entropy -= g * std::log(g);
    }
    if (n > 1) tally.entropy += entropy / std::log(n);
  }
  for (std::size_t c = 0; c < count; ++c) {
    const int expert = mixture.reach.expert(mixture.first_gate, static_cast<int>(c));
    backend.download(mixture.y[expert], {values.data(), B, H});
    for (int r = 0; r < B; ++r) {
      if (!weighs(r)) continue;
      for (std::size_t h = 0; h < units; ++h) {
        const bool fires = values[static_cast<std::size_t>(r) * units + h] != 0;
        tally.zeros[c] += fires ? 0 : 1;
        if (fires) tally.fired[c * units + h] = 1;
      }
    }
  }
}

}  // namespace

template <class T>
struct Model<T>::Parts {
  Parts(int inputs_, int context_inputs_, int tasks_, const InputGroups& groups,
        const ModelOptions& options)
      : inputs(inputs_),
        context_inputs(context_inputs_),
        tasks(tasks_),
        balances(options.load_balance > 0),
        backbone(make_backbone<T>(inputs, groups, tasks, options, parameter_count, plan)),
        heads(tasks, backbone->outputs(), options.tower_layers, parameter_count, plan) {
    MILLRACE_CHECK(inputs > 0 && tasks > 0 && 0 <= context_inputs && context_inputs <= inputs);
    backbone->append_slots(slots);
    heads.append_slots(backbone->output_parts(), slots);
    for (int t = 0; t < tasks; ++t) all_towers.push_back(t);
    for (const std::string& name : backbone->last_shared()) {
      const auto slot = std::find_if(slots.begin(), slots.end(),
                                     [&](const ParameterSlot& s) { return s.name == name; });
      MILLRACE_CHECK(slot != slots.end());
      last_shared.push_back(*slot);
      last_shared_count += long{slot->rows} * slot->cols;
    }
  }

  const int inputs, context_inputs, tasks;
  long parameter_count = 0;
  ActivationPlan plan;
  const bool balances;
  std::unique_ptr<const Backbone<T>> backbone;
  Heads<T> heads;
  std::vector<ParameterSlot> slots, last_shared;
  long last_shared_count = 0;
  std::vector<int> all_towers;
};

template <class T>
Model<T>::Model(const Schema& schema, const ModelOptions& options)
    : Model(schema, schema.context_width(), options) {}

template <class T>
Model<T>::Model(const Schema& schema, int context_inputs, const ModelOptions& options)
    : parts_(std::make_unique<Parts>(
          schema.inputs(), context_inputs, static_cast<int>(schema.tasks().size()),
          options.backbone == BackboneKind::kStem ? stem_groups(schema) : InputGroups{}, options)) {
}

template <class T>
Model<T>::Model(int inputs, int context_inputs, int tasks, const ModelOptions& options)
    : parts_(std::make_unique<Parts>(inputs, context_inputs, tasks,
                                     groups_of(inputs, context_inputs, tasks, options), options)) {}

template <class T>
Model<T>::~Model() = default;

template <class T>
int Model<T>::inputs() const {
  return parts_->inputs;
}

template <class T>
int Model<T>::context_inputs() const {
  return parts_->context_inputs;
}

template <class T>
int Model<T>::tasks() const {
  return parts_->tasks;
}

template <class T>
long Model<T>::parameter_count() const {
  return parts_->parameter_count;
}

template <class T>
const std::vector<ParameterSlot>& Model<T>::parameters() const {
  return parts_->slots;
}

template <class T>
long Model<T>::output_bias(int task) const {
  MILLRACE_CHECK(0 <= task && task < parts_->tasks);
  return parts_->heads.output_bias(task);
}

template <class T>
void Model<T>::initialise(std::uint64_t seed, std::span<T> weights) const {
  MILLRACE_CHECK(static_cast<long>(weights.size()) == parts_->parameter_count);
  initialise_slots(parts_->slots, seed, weights);
}

template <class T>
auto Model<T>::workspace(Backend<T>& backend, int max_rows) const -> std::unique_ptr<Workspace> {
  MILLRACE_CHECK(max_rows > 0);
  auto work = std::make_unique<Workspace>(backend, max_rows, parts_->plan);
  if (gate_weights() > 0) {
    work->gate_means_ = backend.allocate(gate_weights());
    work->at_.gate_means = work->gate_means_.get();
  }
  return work;
}

template <class T>
void Model<T>::forward(const T* weights, View<const T> x, Workspace& work, View<T> z,
                       const Pass& pass) const {
  MILLRACE_CHECK(0 < x.rows && x.rows <= work.at_.max_rows && x.cols == parts_->inputs);
  MILLRACE_CHECK(z.has_shape(x.rows, parts_->tasks));
  work.rows_ = x.rows;
  work.pass_ = pass;
  work.at_.pass = &work.pass_;
  work.v_ = parts_->backbone->forward(weights, x, work.at_);
  parts_->heads.forward(weights, work.v_, work.at_, z);
}

template <class T>
void Model<T>::backward(const T* weights, View<const T> x, Workspace& work, View<const T> dz,
                        T* gradients, bool add, View<T> dx) const {
  MILLRACE_CHECK(x.rows == work.rows_ && dz.has_shape(x.rows, parts_->tasks));
  MILLRACE_CHECK(dx.data == nullptr || dx.has_shape(x.rows, x.cols));
  backward_loss(weights, x, work, {dz, parts_->all_towers}, gradients, add, dx);
}

template <class T>
void Model<T>::backward_loss(const T* weights, View<const T> x, Workspace& work,
                             const LossSlope& loss, T* gradients, bool add, View<T> dx) const {
  MILLRACE_CHECK(x.rows == work.rows_ && loss.dz.has_shape(x.rows, parts_->tasks));
  MILLRACE_CHECK(dx.data == nullptr || dx.has_shape(x.rows, x.cols));
  const GradientTarget<T> target{gradients, add};
  const Stack<T> dv =
      parts_->heads.backward(weights, work.v_, loss.dz, loss.towers, work.at_, target);
  const Backbone<T>& backbone = *parts_->backbone;
  backbone.backward_top(weights, x, dv, loss.towers, true, work.at_, {});
  backbone.backward_rest(weights, x, work.at_, target, false, dx);
}

template <class T>
void Model<T>::transpose(Backend<T>& backend, const T* weights, bool inputs, T* transposed) const {
  parts_->backbone->transpose(backend, weights, inputs, transposed);
  parts_->heads.transpose(backend, weights, transposed);
}

template <class T>
void Model<T>::round(Backend<T>& backend, const T* weights, std::uint32_t* pairs) const {
  for (const ParameterSlot& slot : parts_->slots) {
    backend.round_rows({weights + slot.offset, slot.rows, slot.cols, slot.stride},
                       pairs + slot.offset);
  }
}

template <class T>
void Model<T>::backward_by_loss(const T* weights, View<const T> x, Workspace& work,
                                std::span<const LossSlope> losses, T* gradients, bool add,
                                View<T> dx, std::span<T* const> last_shared) const {
  MILLRACE_CHECK(!losses.empty() && last_shared.size() == losses.size() && gradients != nullptr);
  const Backbone<T>& backbone = *parts_->backbone;
  std::vector<std::uint8_t> reached(static_cast<std::size_t>(parts_->tasks));
  for (std::size_t s = 0; s < losses.size(); ++s) {
    const LossSlope& loss = losses[s];
    MILLRACE_CHECK(x.rows == work.rows_ && loss.dz.has_shape(x.rows, parts_->tasks));
    Stack<T> dv;
    for (std::size_t i = 0; i < loss.towers.size(); ++i) {
      std::uint8_t& tower = reached[static_cast<std::size_t>(loss.towers[i])];
      dv = parts_->heads.backward(weights, work.v_, loss.dz, loss.towers.subspan(i, 1), work.at_,
                                  {gradients, add || tower != 0});
      tower = 1;
    }
    backbone.backward_top(weights, x, dv, loss.towers, s == 0, work.at_, {last_shared[s], add});
  }
  MILLRACE_CHECK(std::find(reached.begin(), reached.end(), 0) == reached.end());
  backbone.backward_rest(weights, x, work.at_, {gradients, add}, true, dx);
  long from = 0;
  for (const ParameterSlot& slot : parts_->last_shared) {
    const View<T> to{gradients + slot.offset, slot.rows, slot.cols, slot.stride};
    for (std::size_t s = 0; s < losses.size(); ++s) {
      const View<const T> part{last_shared[s] + from, slot.rows, slot.cols};
      s == 0 ? work.at_.backend.copy(part, to) : work.at_.backend.add(part, to);
    }
    from += long{slot.rows} * slot.cols;
  }
}

template <class T>
const std::vector<ParameterSlot>& Model<T>::last_shared() const {
  return parts_->last_shared;
}

template <class T>
long Model<T>::last_shared_count() const {
  return parts_->last_shared_count;
}

template <class T>
Stack<const T> Model<T>::tower_inputs(const Workspace& work) const {
  return work.v_;
}

template <class T>
int Model<T>::tower_width() const {
  return parts_->backbone->outputs();
}

template <class T>
int Model<T>::context_units() const {
  return parts_->backbone->context_units();
}

template <class T>
void Model<T>::forward_context(const T* weights, View<const T> context, View<T> shared) const {
  MILLRACE_CHECK(context.has_shape(1, parts_->context_inputs));
  parts_->backbone->forward_context(weights, context, shared);
}

template <class T>
void Model<T>::forward_candidates(const T* weights, View<const T> shared, View<const T> candidates,
                                  Workspace& work, View<T> z) const {
  const int B = candidates.rows;
  MILLRACE_CHECK(0 < B && B <= work.at_.max_rows);
  MILLRACE_CHECK(candidates.cols == parts_->inputs - parts_->context_inputs);
  MILLRACE_CHECK(z.has_shape(B, parts_->tasks));
  work.rows_ = B;
  work.v_ = parts_->backbone->forward_candidates(weights, shared, candidates, work.at_);
  parts_->heads.forward(weights, work.v_, work.at_, z);
}

template <class T>
void Model<T>::follow(T* gradients, double rows, std::span<const std::uint8_t> learns,
                      T* weights) const {
  MILLRACE_CHECK(rows > 0 && static_cast<int>(learns.size()) == parts_->tasks);
  parts_->backbone->follow(gradients, rows, learns, weights);
}

template <class T>
void Model<T>::set_similarity(int task, double similarity, T* weights) const {
  MILLRACE_CHECK(0 <= similarity && similarity <= 1);
  const std::string name = "similarity." + std::to_string(task) + ".layer.0.weight";
  for (const ParameterSlot& slot : parts_->slots) {
    if (slot.trained || slot.name != name) continue;
    weights[slot.offset] = static_cast<T>(1 - similarity);
    weights[slot.offset + 1] = static_cast<T>(similarity);
  }
}

template <class T>
View<const T> Model<T>::gate(const Workspace& work, int task) const {
  MILLRACE_CHECK(0 <= task && task < parts_->tasks);
  const Mixture<T> mixture = parts_->backbone->gate(work.at_, work.rows_, task);
  return mixture.g.count == 0 ? View<const T>{} : mixture.g[0];
}

template <class T>
int Model<T>::gate_weights() const {
  return parts_->balances ? parts_->backbone->gate_weights() : 0;
}

template <class T>
void Model<T>::add_gate_weights(const Workspace& work, std::span<double> sums) const {
  MILLRACE_CHECK(static_cast<int>(sums.size()) == gate_weights());
  parts_->backbone->add_gate_weights(work.at_, work.rows_, sums);
}

template <class T>
void Model<T>::set_gate_means(Workspace& work, std::span<const double> means) const {
  MILLRACE_CHECK(static_cast<int>(means.size()) == gate_weights());
  std::vector<T> values;
  for (const double mean : means) values.push_back(static_cast<T>(mean));
  const int count = static_cast<int>(means.size());
  work.at_.backend.upload(View<const T>{values.data(), 1, count},
                          View<T>{work.gate_means_.get(), 1, count});
}

template <class T>
std::vector<std::string> Model<T>::gate_experts(int task) const {
  MILLRACE_CHECK(0 <= task && task < parts_->tasks);
  return parts_->backbone->gate_experts(task);
}

template <class T>
void Model<T>::tally_gates(const Workspace& work, std::span<GateTally> tallies) const {
  MILLRACE_CHECK(static_cast<int>(tallies.size()) == parts_->tasks);
  for (int t = 0; t < parts_->tasks; ++t) {
    const Mixture<T> mixture = parts_->backbone->gate(work.at_, work.rows_, t);
    if (mixture.g.count == 0) continue;
    GateTally tally;
    tally.experts = parts_->backbone->gate_experts(t);
    tally_rows(work.at_.backend, mixture, work.pass_.row_weights, tally);
    tallies[static_cast<std::size_t>(t)].add(tally);
  }
}

template <class T>
std::vector<LowerGate> Model<T>::lower_gates() const {
  return parts_->backbone->lower_gates();
}

template <class T>
void Model<T>::tally_lower_gates(const Workspace& work, std::span<GateTally> tallies) const {
  const std::vector<LowerGate> gates = lower_gates();
  MILLRACE_CHECK(tallies.size() == gates.size());
  for (std::size_t i = 0; i < gates.size(); ++i) {
    GateTally tally;
    tally.experts = gates[i].experts;
    tally_rows(work.at_.backend,
               parts_->backbone->lower_gate(work.at_, work.rows_, static_cast<int>(i)),
               work.pass_.row_weights, tally);
    tallies[i].add(tally);
  }
}

template class Model<float>;
template class Model<double>;

}  // namespace millrace
