#include "learner/model/model.h"

#include "learner/base/check.h"
#include "learner/model/backbone.h"
#include "learner/model/heads.h"
#include "learner/model/initialise.h"
#include "learner/model/mmoe.h"

namespace millrace {
namespace {

template <class T>
std::unique_ptr<Backbone<T>> make_backbone(int inputs, int tasks, const ModelOptions& options,
                                           long& offset, ActivationPlan& plan) {
  // The other backbones are refused by name where the configuration is read.
  MILLRACE_CHECK(options.backbone == BackboneKind::kMmoe);
  return std::make_unique<Mmoe<T>>(inputs, tasks, options, offset, plan);
}

}  // namespace

template <class T>
struct Model<T>::Parts {
  Parts(int inputs_, int context_inputs_, int tasks_, const ModelOptions& options)
      : inputs(inputs_),
        context_inputs(context_inputs_),
        tasks(tasks_),
        backbone(make_backbone<T>(inputs, tasks, options, parameter_count, plan)),
        heads(tasks, backbone->outputs(), options.tower_layers, parameter_count, plan) {
    MILLRACE_CHECK(inputs > 0 && tasks > 0 && 0 <= context_inputs && context_inputs <= inputs);
    backbone->append_slots(slots);
    heads.append_slots(slots);
  }

  const int inputs, context_inputs, tasks;
  long parameter_count = 0;
  ActivationPlan plan;
  std::unique_ptr<const Backbone<T>> backbone;
  Heads<T> heads;
  std::vector<ParameterSlot> slots;
};

template <class T>
Model<T>::Model(const Schema& schema, const ModelOptions& options)
    : Model(schema.inputs(), schema.context_width(), static_cast<int>(schema.tasks().size()),
            options) {}

template <class T>
Model<T>::Model(int inputs, int context_inputs, int tasks, const ModelOptions& options)
    : parts_(std::make_unique<Parts>(inputs, context_inputs, tasks, options)) {}

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
  return std::make_unique<Workspace>(backend, max_rows, parts_->plan.values_per_row());
}

template <class T>
void Model<T>::forward(const T* weights, View<const T> x, Workspace& work, View<T> z) const {
  MILLRACE_CHECK(0 < x.rows && x.rows <= work.at_.max_rows && x.cols == parts_->inputs);
  MILLRACE_CHECK(z.has_shape(x.rows, parts_->tasks));
  work.rows_ = x.rows;
  work.v_ = parts_->backbone->forward(weights, x, work.at_);
  parts_->heads.forward(weights, work.v_, work.at_, z);
}

template <class T>
void Model<T>::backward(const T* weights, View<const T> x, Workspace& work, View<const T> dz,
                        T* gradients, bool add, View<T> dx) const {
  MILLRACE_CHECK(x.rows == work.rows_ && dz.has_shape(x.rows, parts_->tasks));
  MILLRACE_CHECK(dx.data == nullptr || dx.has_shape(x.rows, x.cols));
  const Stack<T> dv = parts_->heads.backward(weights, work.v_, dz, work.at_, gradients, add);
  parts_->backbone->backward(weights, x, dv, work.at_, gradients, add, dx);
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
View<const T> Model<T>::gate(const Workspace& work, int task) const {
  MILLRACE_CHECK(0 <= task && task < parts_->tasks);
  return parts_->backbone->gate(work.at_, work.rows_, task);
}

template class Model<float>;
template class Model<double>;

}  // namespace millrace
