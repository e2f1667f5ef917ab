#include "learner/train/dense_optimizer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <utility>

#include "learner/base/check.h"

namespace millrace {
namespace {

/// Weights that one part of a pass takes: enough to be worth a thread, and within its cache.
constexpr long kPart = 16384;

constexpr double kAdagradEpsilon = 1e-10;

/// Runs pass(begin, end) over all parts of [0, count).
template <class Pass>
void for_parts(long count, Threads& threads, const Pass& pass) {
  const long parts = (count + kPart - 1) / kPart;
  threads.run(static_cast<int>(parts), [&](int part) {
    const long begin = part * kPart;
    pass(begin, std::min(count, begin + kPart));
  });
}

/// sum ← sum + other; returns 0, or NaN where the square of a sum is not finite: such a gradient
/// would leave a second moment that no later step could bring back. 0·x is 0 for finite x alone.
template <class T>
T add_chunk(T* __restrict sum, const T* __restrict other, long count) {
  T marks[32] = {};
  long i = 0;
  for (; i + 32 <= count; i += 32) {
    for (int j = 0; j < 32; ++j) {
      sum[i + j] += other[i + j];
      marks[j] += 0 * (sum[i + j] * sum[i + j]);
    }
  }
  for (; i < count; ++i) {
    sum[i] += other[i];
    marks[0] += 0 * (sum[i] * sum[i]);
  }
  for (int j = 1; j < 32; ++j) marks[0] += marks[j];
  return marks[0];
}

/// As `add_chunk`, without adding anything.
template <class T>
T mark_not_finite(const T* values, long count) {
  T marks[32] = {};
  long i = 0;
  for (; i + 32 <= count; i += 32) {
    for (int j = 0; j < 32; ++j) marks[j] += 0 * (values[i + j] * values[i + j]);
  }
  for (; i < count; ++i) marks[0] += 0 * (values[i] * values[i]);
  for (int j = 1; j < 32; ++j) marks[0] += marks[j];
  return marks[0];
}

constexpr long kPiece = 1024;  // measured while it is in the nearest cache

/// Adds Σ before², Σ (after − before)² and the largest |after| of a piece.
template <class T, class Sums>
void measure(const T* __restrict before, const T* __restrict after, long count, Sums& sums) {
  constexpr int kLanes = 16;  // of four sums: more would not stay in registers
  T weights[kLanes] = {}, change[kLanes] = {}, largest[kLanes] = {}, marks[kLanes] = {};
  const auto add = [&](long i, int lane) {
    const T moved = after[i] - before[i], size = std::abs(after[i]);
    weights[lane] += before[i] * before[i];
    change[lane] += moved * moved;
    largest[lane] = largest[lane] < size ? size : largest[lane];
    marks[lane] += 0 * size;
  };
  long i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) add(i + lane, lane);
  }
  for (int lane = 0; i < count; ++i, ++lane) add(i, lane);
  for (int lane = 0; lane < kLanes; ++lane) {
    sums.weights += double{weights[lane]};
    sums.change += double{change[lane]};
    sums.largest = std::max(sums.largest, double{largest[lane]});
    sums.mark += double{marks[lane]};
  }
}

/// Calls use(offset, cols) for each row of each slot.
template <class Use>
void for_slots(std::span<const ParameterSlot> slots, const Use& use) {
  for (const ParameterSlot& slot : slots) {
    for (int row = 0; row < slot.rows; ++row) use(slot.offset + row * slot.stride, slot.cols);
  }
}

/// Where the slots stand that are weights (no biases, no scalars), as few ranges as there can be.
std::vector<std::pair<long, long>> weights_of(std::span<const ParameterSlot> slots) {
  std::vector<std::pair<long, long>> ranges;
  for (const ParameterSlot& slot : slots) {
    if (!slot.trained || !slot.name.ends_with("weight")) continue;
    for_slots(std::span<const ParameterSlot>(&slot, 1),
              [&](long at, int cols) { ranges.emplace_back(at, at + cols); });
  }
  std::sort(ranges.begin(), ranges.end());
  std::vector<std::pair<long, long>> joined;
  for (const auto& range : ranges) {
    if (!joined.empty() && range.first <= joined.back().second) {
      joined.back().second = std::max(joined.back().second, range.second);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

}  // namespace

/// What one step does to every weight.
template <class T>
struct DenseUpdater<T>::Plan {
  T scale = 1;  ///< Of the gradient.
  T rate = 0;   ///< Adagrad's.
  T kept = 1;   ///< Of the weights that decay.
  math::AdamStep<T> adam{};
  math::SgdStep<T> sgd{};
  std::span<const TaskGradient<T>> by_task;
};

template <class T>
int DenseUpdater<T>::states(DenseOptimizer optimizer) {
  const bool one = optimizer == DenseOptimizer::kSgd || optimizer == DenseOptimizer::kAdagrad;
  return one ? 1 : 2;
}

template <class T>
DenseUpdater<T>::DenseUpdater(const DenseOptimizerOptions& options, long count,
                              std::vector<ParameterSlot> slots, int tasks)
    : options_(options),
      count_(count),
      slots_(std::move(slots)),
      sums_(static_cast<std::size_t>((count + kPart - 1) / kPart)) {
  MILLRACE_CHECK(count > 0);
  if (options_.optimizer == DenseOptimizer::kAdamw) decayed_ = weights_of(slots_);
  for (int s = 0; s < states(options_.optimizer); ++s) {
    states_.push_back(allocate_host<T>(count));
  }
  if (!options_.task_states) return;
  MILLRACE_CHECK(options_.optimizer != DenseOptimizer::kSgd);
  task_states_ = TaskStates<T>(slots_, tasks, states(options_.optimizer));
  task_steps_.reserve(static_cast<std::size_t>(tasks));
}

template <class T>
bool DenseUpdater<T>::sum(std::span<T* const> chunks, Threads& threads) {
  MILLRACE_CHECK(!chunks.empty());
  std::atomic<bool> finite{true};
  for_parts(count_, threads, [&](long begin, long end) {
    T mark = 0;
    for (long first = begin; first < end; first += kPiece) {
      T* const sum = chunks[0] + first;
      const long count = std::min(kPiece, end - first);
      // A sum once not finite stays so: the last mark tells of all.
      T marks = chunks.size() == 1 ? mark_not_finite(sum, count) : T(0);
      for (std::size_t c = 1; c < chunks.size(); ++c) {
        marks = add_chunk(sum, chunks[c] + first, count);
      }
      mark += marks;
    }
    if (mark != 0) finite = false;
  });
  return finite;
}

template <class T>
double DenseUpdater<T>::norm(const T* gradient, Threads& threads) {
  for_parts(count_, threads, [&](long begin, long end) {
    double sum = 0;
    for (long i = begin; i < end; ++i) sum += double{gradient[i]} * double{gradient[i]};
    sums_[static_cast<std::size_t>(begin / kPart)].change = sum;
  });
  double all = 0;
  for (const Sums& sum : sums_) all += sum.change;
  return std::sqrt(all);
}

template <class T>
auto DenseUpdater<T>::plan(const T* gradient, double share, Threads& threads,
                           std::span<const TaskGradient<T>> by_task) -> Plan {
  Plan plan;
  plan.by_task = by_task;
  const double rate = options_.rate * scheduled_share(options_.schedule, share_sum_);
  double scale = 1;
  if (options_.clip_norm > 0) {
    const double size = std::sqrt(share) * norm(gradient, threads);
    if (size > options_.clip_norm) scale = options_.clip_norm / size;
  }
  plan.scale = static_cast<T>(scale);
  task_steps_.clear();
  for (const TaskGradient<T>& of : by_task) {
    const double steps = task_states_.advance(of.task, share);
    task_steps_.push_back(math::adam_coefficients<T>(rate, share, steps));
  }
  switch (options_.optimizer) {
    case DenseOptimizer::kSgd:
      plan.sgd = math::sgd_coefficients<T>(rate, share, options_.momentum);
      break;
    case DenseOptimizer::kAdagrad:
      plan.scale = static_cast<T>(scale * share);
      plan.rate = static_cast<T>(rate);
      break;
    case DenseOptimizer::kAdamw:
      plan.kept = static_cast<T>(std::pow(1 - rate * options_.weight_decay, share));
      [[fallthrough]];
    case DenseOptimizer::kAdam:
      plan.adam = math::adam_coefficients<T>(rate, share, share_sum_);
      break;
  }
  return plan;
}

template <class T>
void DenseUpdater<T>::move(const Plan& plan, const math::AdamStep<T>& adam, const T* __restrict g,
                           T* __restrict a, T* __restrict b, T* __restrict w, long count) const {
  switch (options_.optimizer) {
    case DenseOptimizer::kSgd:
      for (long i = 0; i < count; ++i) math::sgd(plan.sgd, plan.scale * g[i], a[i], w[i]);
      return;
    case DenseOptimizer::kAdagrad:
      for (long i = 0; i < count; ++i) {
        math::adagrad(plan.rate, T(kAdagradEpsilon), plan.scale * g[i], a[i], w[i]);
      }
      return;
    case DenseOptimizer::kAdam:
    case DenseOptimizer::kAdamw:
      for (long i = 0; i < count; ++i) math::adam(adam, plan.scale * g[i], a[i], b[i], w[i]);
      return;
  }
}

// The weights [first, first + count).
template <class T>
void DenseUpdater<T>::update(const Plan& plan, const T* gradient, T* weights, long first,
                             long count) {
  T* const w = weights + first;
  const long last = first + count;
  if (plan.kept != 1) {
    auto range = std::partition_point(decayed_.begin(), decayed_.end(),
                                      [&](const auto& r) { return r.second <= first; });
    for (; range != decayed_.end() && range->first < first + count; ++range) {
      const long end = std::min(range->second - first, count);
      for (long i = std::max(range->first - first, 0L); i < end; ++i) w[i] *= plan.kept;
    }
  }
  const bool two = states_.size() > 1;
  // What is summed, up to `end`.
  long from = first;
  const auto move_to = [&](long end) {
    move(plan, plan.adam, gradient + from, states_[0].get() + from,
         two ? states_[1].get() + from : nullptr, weights + from, end - from);
    from = end;
  };
  const auto runs = task_states_.runs();
  auto run =
      std::partition_point(runs.begin(), runs.end(), [&](const auto& r) { return r.end <= first; });
  for (; run != runs.end() && run->begin < last; ++run) {
    move_to(std::max(run->begin, first));
    const long end = std::min(run->end, last), at = run->at + from - run->begin;
    for (std::size_t i = 0; i < plan.by_task.size(); ++i) {
      const TaskGradient<T>& of = plan.by_task[i];
      move(plan, task_steps_[i], of.values + from, task_states_.state(of.task, 0, at),
           two ? task_states_.state(of.task, 1, at) : nullptr, weights + from, end - from);
    }
    from = end;
  }
  move_to(last);
}

template <class T>
auto DenseUpdater<T>::step(T* weights, const T* gradient, double share, Threads& threads,
                           std::span<const ParameterSlot> kept,
                           std::span<const TaskGradient<T>> by_task) -> Change {
  MILLRACE_CHECK(0 < share && share <= 1);
  share_sum_ += share;
  if (!options_.task_states) by_task = {};
  const Plan step = plan(gradient, share, threads, by_task);
  const bool clips = options_.clip == UpdateClipping::kClippy;
  if (clips) before_.assign(weights, weights + count_);  // measured once it is clipped
  const auto for_moved = [&](const auto& use) {
    use(weights);
    for (const Buffer<T>& state : states_) use(state.get());
  };
  std::vector<T> aside;
  for_moved([&](const T* values) {
    for_slots(kept, [&](long at, int cols) {
      aside.insert(aside.end(), values + at, values + at + cols);
    });
  });
  for_parts(count_, threads, [&](long begin, long end) {
    Sums& sum = sums_[static_cast<std::size_t>(begin / kPart)];
    sum = {};
    std::array<T, kPiece> before;
    for (long first = begin; first < end; first += kPiece) {
      const long count = std::min(kPiece, end - first);
      std::copy_n(weights + first, count, before.data());
      update(step, gradient, weights, first, count);
      if (!clips) measure(before.data(), weights + first, count, sum);
    }
  });
  if (clips) {
    clip(weights, before_.data());
    measure(before_.data(), weights, count_, sums_[0]);
  }
  auto from = aside.begin();
  for_moved([&](T* values) {
    for_slots(kept, [&](long at, int cols) {
      std::copy_n(from, cols, values + at);
      from += cols;
    });
  });
  Sums all;
  for (const Sums& sum : sums_) {
    all.weights += sum.weights;
    all.change += sum.change;
    all.largest = sum.largest <= all.largest ? all.largest : sum.largest;
    all.mark += sum.mark;
  }
  return {std::sqrt(all.weights), std::sqrt(all.change), all.largest + all.mark};
}

template <class T>
void DenseUpdater<T>::clip(T* weights, const T* before) {
  const T relative = static_cast<T>(options_.clip_relative);
  const T absolute = static_cast<T>(options_.clip_absolute);
  for (const ParameterSlot& slot : slots_) {
    const std::span<const ParameterSlot> one(&slot, 1);
    T scale = 1;
    for_slots(one, [&](long at, int cols) {
      for (long i = at; i < at + cols; ++i) {
        const T most = relative * std::abs(before[i]) + absolute;
        const T change = std::abs(weights[i] - before[i]);
        if (change * scale > most) scale = most / change;
      }
    });
    if (scale == 1) continue;
    for_slots(one, [&](long at, int cols) {
      for (long i = at; i < at + cols; ++i) {
        weights[i] = before[i] + scale * (weights[i] - before[i]);
      }
    });
  }
}

template <class T>
void DenseUpdater<T>::save(ByteWriter& writer) const {
  writer.put(share_sum_);
  for (const Buffer<T>& state : states_) {
    writer.put_all(std::span<const T>(state.get(), static_cast<std::size_t>(count_)));
  }
  task_states_.save(writer);
}

template <class T>
void DenseUpdater<T>::restore(ByteReader& reader) {
  share_sum_ = reader.get<double>();
  for (const Buffer<T>& state : states_) {
    const std::vector<T> saved = reader.get_all<T>();
    if (static_cast<long>(saved.size()) != count_) {
      throw StateError("the saved optimiser is of another number of weights");
    }
    std::copy(saved.begin(), saved.end(), state.get());
  }
  task_states_.restore(reader);
}

template class DenseUpdater<float>;
template class DenseUpdater<double>;

}  // namespace millrace
