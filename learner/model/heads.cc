#include "learner/model/heads.h"

namespace millrace {
namespace {

std::vector<int> with_output(std::vector<int> hidden) {
  hidden.push_back(1);
  return hidden;
}

}  // namespace

template <class T>
Heads<T>::Heads(int tasks, int inputs, const std::vector<int>& hidden, long& offset,
                ActivationPlan& plan)
    : towers_(tasks, inputs, with_output(hidden), MlpBank<T>::Last::kLinear, offset, plan),
      input_slope_(plan.reserve(tasks * inputs)) {
  for (int t = 0; t < tasks; ++t) tower_.push_back(towers_.member(t));
}

template <class T>
void Heads<T>::append_slots(int input_parts, std::vector<ParameterSlot>& slots) const {
  millrace::append_slots(towers_, "tower", 0, 1, input_parts, true, slots);
}

template <class T>
long Heads<T>::output_bias(int task) const {
  return towers_.layers().back().bias + task;
}

template <class T>
void Heads<T>::forward(const T* weights, Stack<T> v, const Activations<T>& at, View<T> z) const {
  towers_.forward(weights, v, at);
  at.backend.copy(at.view(towers_.layers().back().output, z.rows), z);
}

template <class T>
Stack<T> Heads<T>::backward(const T* weights, Stack<const T> v, View<const T> dz,
                            std::span<const int> towers, const Activations<T>& at,
                            GradientTarget<T> target) const {
  const Stack<T> dv = side_by_side(at.view(input_slope_, dz.rows), towers_.count());
  if (static_cast<int>(towers.size()) == towers_.count()) {
    towers_.backward(weights, v, false, side_by_side(dz, towers_.count()), at, target.block,
                     target.add, dv);
    return dv;
  }
  for (const int t : towers) {
    tower_[static_cast<std::size_t>(t)].backward(weights, v[t], false, dz.cols_from(t, 1), at,
                                                 target.block, target.add, dv[t]);
  }
  return dv;
}

template class Heads<float>;
template class Heads<double>;

}  // namespace millrace
