#include "learner/train/dense_optimizer.h"

#include <algorithm>
#include <atomic>

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
DenseUpdater<T>::DenseUpdater(const DenseOptimizerOptions& options, long count)
    : rate_(options.rate), count_(count), m_(allocate_host<T>(count)), v_(allocate_host<T>(count)) {
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
void DenseUpdater<T>::step(T* weights, const T* gradient, double share, Threads& threads) {
  MILLRACE_CHECK(0 < share && share <= 1);
  share_sum_ += share;
  const auto step = math::adam_coefficients<T>(rate_, share, share_sum_);
  for_parts(count_, threads, [&](long begin, long end) {
    adam_pass(step, gradient + begin, m_.get() + begin, v_.get() + begin, weights + begin,
              end - begin);
  });
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
