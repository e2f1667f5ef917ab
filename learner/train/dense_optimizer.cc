#include "learner/train/dense_optimizer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <utility>

#include "learner/base/check.h"
#include "learner/math/optimizer_step.h"

namespace millrace {
namespace {

/// Weights that one part of a pass takes: enough to be worth a thread, and within its cache.
constexpr long kPart = 16384;

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

template <class T>
void adam_pass(const math::AdamStep<T>& step, const T* __restrict g, T* __restrict m,
               T* __restrict v, T* __restrict w, long count) {
  for (long i = 0; i < count; ++i) math::adam(step, g[i], m[i], v[i], w[i]);
}

/// What a part's step did. `mark` is 0, or NaN where a weight is not finite.
struct Sums {
  double weights = 0, change = 0, largest = 0, mark = 0;
};

constexpr long kPiece = 1024;  // measured while it is in the nearest cache

/// Adds Σ before², Σ (after − before)² and the largest |after| of a piece.
template <class T>
void measure(const T* __restrict before, const T* __restrict after, long count, Sums& sums) {
  constexpr int kLanes = 32;
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

template <class T>
void restore_moments(ByteReader& reader, T* moments, long count) {
  const std::vector<T> saved = reader.get_all<T>();
  if (static_cast<long>(saved.size()) != count) {
    throw StateError("the saved optimiser is of another number of weights");
  }
  std::copy(saved.begin(), saved.end(), moments);
}

}  // namespace

template <class T>
DenseUpdater<T>::DenseUpdater(const DenseOptimizerOptions& options, long count,
                              std::vector<ParameterSlot> slots)
    : options_(options),
      count_(count),
      slots_(std::move(slots)),
      m_(allocate_host<T>(count)),
      v_(allocate_host<T>(count)) {
  // The other optimisers are refused by name where the configuration is read.
  MILLRACE_CHECK(options.optimizer == DenseOptimizer::kAdam && count > 0);
}

template <class T>
bool DenseUpdater<T>::sum(std::span<T* const> chunks, Threads& threads) {
  MILLRACE_CHECK(!chunks.empty());
  std::atomic<bool> finite{true};
  for_parts(count_, threads, [&](long begin, long end) {
    T* const sum = chunks[0] + begin;
    // A sum once not finite stays so: the last mark tells of all.
    T mark = 0;
    if (chunks.size() == 1) mark = mark_not_finite(sum, end - begin);
    for (std::size_t c = 1; c < chunks.size(); ++c) {
      mark = add_chunk(sum, chunks[c] + begin, end - begin);
    }
    if (mark != 0) finite = false;
  });
  return finite;
}

template <class T>
auto DenseUpdater<T>::step(T* weights, const T* gradient, double share, Threads& threads,
                           std::span<const ParameterSlot> kept) -> Change {
  MILLRACE_CHECK(0 < share && share <= 1);
  share_sum_ += share;
  const auto step = math::adam_coefficients<T>(options_.rate, share, share_sum_);
  const bool clips = options_.clip == UpdateClipping::kClippy;
  if (clips) before_.assign(weights, weights + count_);  // measured once it is clipped
  std::vector<T> aside;
  for (T* values : {weights, m_.get(), v_.get()}) {
    for_slots(kept, [&](long at, int cols) {
      aside.insert(aside.end(), values + at, values + at + cols);
    });
  }
  std::vector<Sums> sums(static_cast<std::size_t>((count_ + kPart - 1) / kPart));
  for_parts(count_, threads, [&](long begin, long end) {
    Sums& sum = sums[static_cast<std::size_t>(begin / kPart)];
    std::array<T, kPiece> before;
    for (long first = begin; first < end; first += kPiece) {
      const long count = std::min(kPiece, end - first);
      std::copy_n(weights + first, count, before.data());
      adam_pass(step, gradient + first, m_.get() + first, v_.get() + first, weights + first, count);
      if (!clips) measure(before.data(), weights + first, count, sum);
    }
  });
  if (clips) {
    clip(weights, before_.data());
    measure(before_.data(), weights, count_, sums[0]);
  }
  auto from = aside.begin();
  for (T* values : {weights, m_.get(), v_.get()}) {
    for_slots(kept, [&](long at, int cols) {
      std::copy_n(from, cols, values + at);
      from += cols;
    });
  }
  Sums all;
  for (const Sums& sum : sums) {
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
  writer.put_all(std::span<const T>(m_.get(), static_cast<std::size_t>(count_)));
  writer.put_all(std::span<const T>(v_.get(), static_cast<std::size_t>(count_)));
}

template <class T>
void DenseUpdater<T>::restore(ByteReader& reader) {
  share_sum_ = reader.get<double>();
  restore_moments(reader, m_.get(), count_);
  restore_moments(reader, v_.get(), count_);
}

template class DenseUpdater<float>;
template class DenseUpdater<double>;

}  // namespace millrace
