#include <algorithm>
#include <cmath>

#include "learner/base/check.h"
#include "learner/model/expert_level.h"

namespace millrace {
namespace {

/// What softplus makes `value` of.
double before_softplus(double value) { return value + std::log(-std::expm1(-value)); }

}  // namespace

template <class T>
Stack<T> ExpertLevel<T>::logits(const Gates& gates, const Activations<T>& at, int rows) const {
  if (linear_gates_) return gate_part(gates, &Stream::first, at, rows);
  return side_by_side(at.view(gates.above->layers().back().output, rows), gates.count);
}

template <class T>
void ExpertLevel<T>::weigh(const Gates& gates, const T* weights, int rows,
                           const Activations<T>& at) const {
  const Stack<T> u = logits(gates, at, rows);
  const Stack<T> g = side_by_side(at.view(gates.g, rows), gates.count);
  if (options_.learn_temperature) {
    at.backend.temper(View<const T>{weights + gates.temperature, 1, gates.count},
                      static_cast<T>(options_.least_temperature), u);
  } else if (options_.gate_temperature != 1) {
    for (int t = 0; t < u.count; ++t) {
      at.backend.scale(u[t], static_cast<T>(1 / options_.gate_temperature));
    }
  }
  at.backend.softmax(u, g);
  if (options_.gate_dropout == 0 || at.pass == nullptr || !at.pass->training) return;
  for (int t = 0; t < g.count; ++t) {
    at.backend.drop_weights(g[t], static_cast<T>(options_.gate_dropout),
                            {at.pass->seed, gates.random[static_cast<std::size_t>(t)],
                             at.pass->step, at.pass->first_row});
  }
}

template <class T>
void ExpertLevel<T>::backward_weigh(const Gates& gates, const T* weights, int rows,
                                    const Activations<T>& at, GradientTarget<T> target) const {
  const Stack<T> du = logit_slopes(gates, at, rows);
  const Pass* pass = at.pass;
  if (options_.gate_entropy > 0 && pass != nullptr && pass->training && pass->batch_rows > 0) {
    const Stack<const T> g = side_by_side(at.view(gates.g, rows), gates.count);
    const auto factor = static_cast<T>(options_.gate_entropy / pass->batch_rows);
    for_weighty_rows(pass->row_weights, rows, [&](int first, int count) {
      for (int t = 0; t < g.count; ++t) {
        at.backend.add_entropy_slope(g[t].rows_from(first, count), factor,
                                     du[t].rows_from(first, count));
      }
    });
  }
  if (options_.load_balance > 0 && pass != nullptr && pass->training && pass->batch_rows > 0) {
    MILLRACE_CHECK(at.gate_means != nullptr);
    const Stack<const T> g = side_by_side(at.view(gates.g, rows), gates.count);
    const int n = gates.weights;
    const auto factor = static_cast<T>(options_.load_balance * 2 * n / pass->batch_rows);
    for_weighty_rows(pass->row_weights, rows, [&](int first, int count) {
      for (int t = 0; t < g.count; ++t) {
        const View<const T> means{at.gate_means + gates.first_weight + t * n, 1, n};
        at.backend.add_share_slope(g[t].rows_from(first, count), means, factor,
                                   du[t].rows_from(first, count));
      }
    });
  }
  if (options_.learn_temperature) {
    const View<T> drho{target.block == nullptr ? nullptr : target.block + gates.temperature, 1,
                       gates.count};
    at.backend.temper_backward(View<const T>{weights + gates.temperature, 1, gates.count},
                               static_cast<T>(options_.least_temperature), logits(gates, at, rows),
                               target.add, du, drho);
  } else if (options_.gate_temperature != 1) {
    for (int t = 0; t < du.count; ++t) {
      at.backend.scale(du[t], static_cast<T>(1 / options_.gate_temperature));
    }
  }
}

template <class T>
int ExpertLevel<T>::gate_weights() const {
  return shape_.gates * shape_.gate_weights + shape_.shared_gate_weights;
}

template <class T>
void ExpertLevel<T>::add_gate_weights(const Activations<T>& at, int rows,
                                      std::span<double> sums) const {
  std::vector<T> values;
  for (const Gates* gates : {&gates_, shared_gate_ ? &*shared_gate_ : nullptr}) {
    if (gates == nullptr) continue;
    const View<T> g = at.view(gates->g, rows);
    values.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(g.cols));
    const View<T> host{values.data(), rows, g.cols};
    at.backend.download(g, host);
    double* const to = sums.data() + gates->first_weight - shape_.first_weight;
    for_weighty_rows(at.pass->row_weights, rows, [&](int first, int count) {
      for (int r = first; r < first + count; ++r) {
        for (int c = 0; c < g.cols; ++c) to[c] += static_cast<double>(host(r, c));
      }
    });
  }
}

template <class T>
void ExpertLevel<T>::append_temperatures(const Gates& gates,
                                         const std::function<std::string(int)>& name,
                                         const std::function<int(int)>& task,
                                         std::vector<ParameterSlot>& slots) const {
  const std::string last = std::to_string(options_.gate_layers.size());
  for (int t = 0; options_.learn_temperature && t < gates.count; ++t) {
    slots.push_back(
        {.name = name(t) + ".layer." + last + ".temperature",
         .offset = gates.temperature + t,
         .rows = 1,
         .cols = 1,
         .stride = 1,
         .gain = 0,
         .task = task(t),
         .start = before_softplus(options_.gate_temperature - options_.least_temperature)});
  }
}

template int ExpertLevel<float>::gate_weights() const;
template int ExpertLevel<double>::gate_weights() const;
template void ExpertLevel<float>::add_gate_weights(const Activations<float>&, int,
                                                   std::span<double>) const;
template void ExpertLevel<double>::add_gate_weights(const Activations<double>&, int,
                                                    std::span<double>) const;
template Stack<float> ExpertLevel<float>::logits(const Gates&, const Activations<float>&,
                                                 int) const;
template void ExpertLevel<float>::weigh(const Gates&, const float*, int,
                                        const Activations<float>&) const;
template void ExpertLevel<float>::backward_weigh(const Gates&, const float*, int,
                                                 const Activations<float>&,
                                                 GradientTarget<float>) const;
template void ExpertLevel<float>::append_temperatures(const Gates&,
                                                      const std::function<std::string(int)>&,
                                                      const std::function<int(int)>&,
                                                      std::vector<ParameterSlot>&) const;
template Stack<double> ExpertLevel<double>::logits(const Gates&, const Activations<double>&,
                                                   int) const;
template void ExpertLevel<double>::weigh(const Gates&, const double*, int,
                                         const Activations<double>&) const;
template void ExpertLevel<double>::backward_weigh(const Gates&, const double*, int,
                                                  const Activations<double>&,
                                                  GradientTarget<double>) const;
template void ExpertLevel<double>::append_temperatures(const Gates&,
                                                       const std::function<std::string(int)>&,
                                                       const std::function<int(int)>&,
                                                       std::vector<ParameterSlot>&) const;

}  // namespace millrace
