#include <algorithm>

#include "learner/base/check.h"
#include "learner/math/running_mean.h"
#include "learner/model/expert_level.h"

namespace millrace {
namespace {

/// Rows of memory of the running statistics: at batches of 256 the share of 0.1 a batch that is
/// usual for batch normalisation.
constexpr double kNormRows = 2'560;
/// What they start from, mean 0 and variance 1, counts as so many: the deviation of a first batch
/// of one row is none.
constexpr double kStartRows = 64;

/// The columns of a stack that stands side by side, as one matrix.
template <class T>
View<T> all_columns(Stack<T> stack) {
  MILLRACE_CHECK(stack.count == 1 || stack.step == stack.first.cols);
  View<T> all = stack.first;
  all.cols *= stack.count;
  return all;
}

}  // namespace

template <class T>
void ExpertLevel<T>::reserve_norm(Stream& stream, long& offset, ActivationPlan& plan) const {
  const int units = stream.experts * outputs_;
  for (long* place : {&stream.scale, &stream.shift, &stream.mean, &stream.variance}) {
    *place = reserve_parameters(offset, units);
  }
  stream.known = reserve_parameters(offset, stream.experts);
  stream.normal = plan.reserve(units);
  stream.output = plan.reserve(units);
}

template <class T>
void ExpertLevel<T>::append_norms(const Stream& stream, std::vector<ParameterSlot>& slots) const {
  const std::string last = ".layer." + std::to_string(options_.expert_layers.size() - 1) + ".";
  for (int i = 0; i < stream.experts; ++i) {
    const int e = stream.first_expert + i;
    const auto append = [&](const char* what, long place, int units, bool trained, double start) {
      slots.push_back({.name = expert_name(e) + last + what,
                       .offset = place + long{i} * units,
                       .rows = 1,
                       .cols = units,
                       .stride = units,
                       .gain = 0,
                       .task = task_of(e),
                       .trained = trained,
                       .start = start});
    };
    append("scale", stream.scale, outputs_, true, 1);
    append("shift", stream.shift, outputs_, true, 0);
    append("mean", stream.mean, outputs_, false, 0);
    append("variance", stream.variance, outputs_, false, 1);
    append("known", stream.known, 1, false, kStartRows / kNormRows);
  }
}

template <class T>
Normalisation<T> ExpertLevel<T>::norm(const T* weights, const Stream& stream, int first,
                                      int count) const {
  const auto at = [&](long place) { return View<const T>{weights + place + first, 1, count}; };
  return {at(stream.scale), at(stream.shift), at(stream.mean), at(stream.variance)};
}

template <class T>
void ExpertLevel<T>::normalise(const T* weights, int rows, const Activations<T>& at) const {
  for (const Stream& stream : streams_) {
    if (stream.experts == 0) continue;
    at.backend.normalise(all_columns(stream_last(stream, at, rows)),
                         norm(weights, stream, 0, stream.experts * outputs_),
                         at.view(stream.normal, rows), at.view(stream.output, rows));
    // Where the experts' last layer is their first, that product has no ReLU for its gates alone.
    if (linear_gates_ || !stream.above.empty()) continue;
    const int gates = stream.width - stream.gate_column;
    if (gates > 0)
      at.backend.rectify(at.view(stream.first, rows).cols_from(stream.gate_column, gates));
  }
}

template <class T>
void ExpertLevel<T>::swish_backward(const ExpertStack<T>& dy, const Activations<T>& at,
                                    int rows) const {
  for (const Stream& stream : streams_) {
    for (int i = 0; i < stream.experts; ++i) {
      const View<T> h = at.view(stream.normal, rows).cols_from(i * outputs_, outputs_);
      at.backend.swish_backward(h, dy[stream.first_expert + i]);
    }
  }
}

template <class T>
View<const T> ExpertLevel<T>::before_norm(const T* weights, int i, View<const T> dh,
                                          const Activations<T>& at) const {
  const Stream& stream = streams_[shape_.one_input ? 0 : static_cast<std::size_t>(shape_.tasks)];
  const int member = shape_.own * shape_.tasks + i - stream.first_expert;
  const View<T> slope = at.view(last_slope_, dh.rows);
  at.backend.copy(dh, slope);
  at.backend.normalise_backward(stream_last(stream, at, dh.rows)[member],
                                norm(weights, stream, member * outputs_, outputs_), false, {}, {},
                                slope);
  return slope;
}

template <class T>
void ExpertLevel<T>::normalise_backward(const T* weights, const Stream& stream, int rows,
                                        const Activations<T>& at, GradientTarget<T> target) const {
  if (stream.experts == 0) return;
  const int units = stream.experts * outputs_;
  const View<const T> last = all_columns(stream_last(stream, at, rows));
  const Normalisation<T> with = norm(weights, stream, 0, units);
  const auto slopes_of = [&](long place, int count) {
    return View<T>{target.block == nullptr ? nullptr : target.block + place, 1, count};
  };
  at.backend.normalise_backward(last, with, target.add, slopes_of(stream.scale, units),
                                slopes_of(stream.shift, units),
                                all_columns(stream_slopes(stream, at, rows)));
  if (target.block == nullptr) return;
  const View<T> sum = slopes_of(stream.mean, units), squares = slopes_of(stream.variance, units);
  if (!target.add) {
    at.backend.clear(sum);
    at.backend.clear(squares);
    at.backend.clear(slopes_of(stream.known, stream.experts));
  }
  if (at.pass == nullptr || !at.pass->training) return;
  for_weighty_rows(at.pass->row_weights, rows, [&](int first, int count) {
    at.backend.add_deviations(last.rows_from(first, count), with.mean, sum, squares);
  });
}

template <class T>
void ExpertLevel<T>::follow(T* gradients, double rows, std::span<const std::uint8_t> learns,
                            T* weights) const {
  for (const Stream& stream : streams_) {
    for (int i = 0; options_.expert_norm && i < stream.experts; ++i) {
      const int task = task_of(stream.first_expert + i), first = i * outputs_;
      T *sum = gradients + stream.mean + first, *squares = gradients + stream.variance + first;
      if (task < 0 || learns[static_cast<std::size_t>(task)] != 0) {
        T* known = weights + stream.known + i;
        const double count = static_cast<double>(*known) * kNormRows;
        const double share = math::running_share(count, rows, kNormRows);
        T *mean = weights + stream.mean + first, *variance = weights + stream.variance + first;
        for (int u = 0; u < outputs_; ++u) {
          // Chan et al. 1983, with the share of the batch instead of its count.
          const double step = static_cast<double>(sum[u]) / rows;
          const double within = std::max(0.0, static_cast<double>(squares[u]) / rows - step * step);
          mean[u] += static_cast<T>(share * step);
          variance[u] = static_cast<T>(
              (1 - share) * (static_cast<double>(variance[u]) + share * step * step) +
              share * within);
        }
        *known = static_cast<T>(std::min(1.0, (count + rows) / kNormRows));
      }
      std::fill_n(sum, outputs_, T(0));
      std::fill_n(squares, outputs_, T(0));
    }
  }
}

template void ExpertLevel<float>::reserve_norm(Stream&, long&, ActivationPlan&) const;
template void ExpertLevel<float>::append_norms(const Stream&, std::vector<ParameterSlot>&) const;
template void ExpertLevel<float>::normalise(const float*, int, const Activations<float>&) const;
template void ExpertLevel<float>::swish_backward(const ExpertStack<float>&,
                                                 const Activations<float>&, int) const;
template void ExpertLevel<float>::normalise_backward(const float*, const Stream&, int,
                                                     const Activations<float>&,
                                                     GradientTarget<float>) const;
template View<const float> ExpertLevel<float>::before_norm(const float*, int, View<const float>,
                                                           const Activations<float>&) const;
template void ExpertLevel<float>::follow(float*, double, std::span<const std::uint8_t>,
                                         float*) const;
template void ExpertLevel<double>::reserve_norm(Stream&, long&, ActivationPlan&) const;
template void ExpertLevel<double>::append_norms(const Stream&, std::vector<ParameterSlot>&) const;
template void ExpertLevel<double>::normalise(const double*, int, const Activations<double>&) const;
template void ExpertLevel<double>::swish_backward(const ExpertStack<double>&,
                                                  const Activations<double>&, int) const;
template void ExpertLevel<double>::normalise_backward(const double*, const Stream&, int,
                                                      const Activations<double>&,
                                                      GradientTarget<double>) const;
template View<const double> ExpertLevel<double>::before_norm(const double*, int, View<const double>,
                                                             const Activations<double>&) const;
template void ExpertLevel<double>::follow(double*, double, std::span<const std::uint8_t>,
                                          double*) const;

}  // namespace millrace
