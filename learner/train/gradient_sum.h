#pragma once

#include <algorithm>
#include <span>

#include "learner/device/threads.h"
#include "learner/train/dense_optimizer.h"

namespace millrace {

/// Buffers that `sum_of_chunks` needs for up to `chunks` chunks: of several threads, that fill them
/// beside each other, one a chunk; of one thread the sum and the chunk that is added to it.
constexpr int gradient_buffers(int chunks, int threads) {
  return threads > 1 ? chunks : std::min(chunks, 2);
}

/// Calls run(chunk, thread, gradient) for each of `chunks` chunks of a batch, which writes the
/// chunk's gradient, and adds them up in buffers[0], in their order: (c₀ + c₁) + c₂ + …. Returns
/// whether every sum is finite (DenseUpdater::sum). One thread does it chunk by chunk: the bits are
/// those of more threads, but two buffers stay in the cache where one a chunk would not.
/// Requires: `gradient_buffers` of these, each as long as the updater's block of weights.
template <class Run>
bool sum_of_chunks(int chunks, std::span<float* const> buffers, DenseUpdater<float>& updater,
                   Threads& threads, const Run& run) {
  if (threads.count() > 1 || chunks == 1) {
    threads.run(chunks, [&](int c, int t) { run(c, t, buffers[static_cast<std::size_t>(c)]); });
    return updater.sum(buffers.first(static_cast<std::size_t>(chunks)), threads);
  }
  bool finite = true;
  for (int c = 0; c < chunks; ++c) {
    run(c, 0, buffers[c == 0 ? 0 : 1]);
    if (c > 0) finite = updater.sum(buffers.first(2), threads);
  }
  return finite;
}

}  // namespace millrace
