#include "learner/embedding/row_optimizer.h"

#include <bit>
#include <cmath>
#include <cstddef>

#include "learner/base/check.h"
#include "learner/device/vector.h"
#include "learner/math/optimizer_step.h"

namespace millrace {
namespace {

constexpr float kAdagradEpsilon = 1e-10F;
// How many rows ahead of the one that moves are on their way from memory.
constexpr std::size_t kAhead = 20;

/// The largest absolute value of many rows; NaN where one is not finite.
class Largest {
 public:
  void add(const float* values, int count) {
    int d = 0;
    for (; d + kWidth <= count; d += kWidth) {
      Vec<float, kWidth> some;
      load(values + d, some);
      add(some);
    }
    if (d == count) return;
    Vec<float, kWidth> rest{};
    for (int lane = 0; d < count; ++d, ++lane) rest[lane] = values[d];
    add(rest);
  }
  float value() const {
    float largest = 0, mark = 0;
    for (int lane = 0; lane < kWidth; ++lane) {
      largest = largest < most_[lane] ? most_[lane] : largest;
      mark += marks_[lane];
    }
    return largest + mark;
  }

 private:
  static constexpr int kWidth = kLanes<float>;
  void add(const Vec<float, kWidth>& some) {
    const Vec<float, kWidth> size = some < 0 ? -some : some;
    most_ = most_ < size ? size : most_;
    marks_ += 0 * some;  // 0·x is 0 for finite x alone
  }
  Vec<float, kWidth> most_{}, marks_{};
};

}  // namespace

int RowOptimizer::state(int dimension) const {
  const int moment = decays() ? 1 : 0;
  switch (options_.optimizer) {
    case EmbeddingOptimizer::kSgd:
      return moment;
    case EmbeddingOptimizer::kAdagrad:
      return dimension + moment;
    case EmbeddingOptimizer::kRowwiseAdagrad:
      return 1 + moment;
    case EmbeddingOptimizer::kFtrl:
      return (options_.l1 > 0 ? 2 : 1) * dimension + moment;
    case EmbeddingOptimizer::kAdam:
      return 2 + 2 * dimension + moment;
  }
  return 0;
}

bool RowOptimizer::starts_at_zero() const {
  return options_.optimizer == EmbeddingOptimizer::kFtrl && options_.l1 > 0;
}

void RowOptimizer::set_rate_factor(double factor) {
  MILLRACE_CHECK(factor >= 0 && (factor == 1 || !starts_at_zero()));
  rate_factor_ = factor;
}

// What is done to a row before its own update.
void RowOptimizer::regularise(float* values, int dimension, float* gradient,
                              std::uint32_t now) const {
  if (decays()) {
    float& moment = values[dimension + state(dimension) - 1];
    const auto before = std::bit_cast<std::uint32_t>(moment);
    if (now == 0) now = 1;  // 0 is the moment of a row that was never used
    if (before != 0) {
      const double steps = static_cast<double>(now - before) / kUnitsPerStep;
      const auto kept =
          static_cast<float>(std::exp(-options_.rate * rate_factor_ * options_.decay * steps));
      for (int d = 0; d < dimension; ++d) values[d] *= kept;
    }
    moment = std::bit_cast<float>(now);
  }
  if (options_.l2 > 0 && options_.optimizer != EmbeddingOptimizer::kFtrl) {
    const auto l2 = static_cast<float>(options_.l2);
    for (int d = 0; d < dimension; ++d) gradient[d] += l2 * values[d];
  }
}

// `update` moves one row: (weights, state, gradient).
template <class Update>
float RowOptimizer::update(std::span<const EmbeddingTable::Used> used, int dimension,
                           float* gradients, std::uint32_t now, const Update& update) const {
  const bool plain =
      !decays() && (options_.l2 == 0 || options_.optimizer == EmbeddingOptimizer::kFtrl);
  const auto width = static_cast<std::size_t>(dimension);
  const std::size_t bytes = (width + static_cast<std::size_t>(state(dimension))) * sizeof(float);
  Largest largest;
  for (std::size_t u = 0; u < used.size(); ++u) {
    if (u + kAhead < used.size()) {
      const char* const ahead = reinterpret_cast<const char*>(used[u + kAhead].values);
      for (std::size_t line = 0; line < bytes; line += 64) __builtin_prefetch(ahead + line, 1);
    }
    float* const values = used[u].values;
    float* const gradient = gradients + u * width;
    if (!plain) regularise(values, dimension, gradient, now);
    update(values, values + dimension, gradient);
    largest.add(values, dimension);
  }
  return largest.value();
}

float RowOptimizer::step(std::span<const EmbeddingTable::Used> used, int D, float* gradients,
                         std::uint32_t now) const {
  const auto rate = static_cast<float>(options_.rate * rate_factor_);
  switch (options_.optimizer) {
    case EmbeddingOptimizer::kSgd:
      return update(used, D, gradients, now,
                    [=](float* __restrict w, float*, const float* __restrict g) {
                      for (int d = 0; d < D; ++d) w[d] -= rate * g[d];
                    });
    case EmbeddingOptimizer::kAdagrad:
      return update(used, D, gradients, now,
                    [=](float* __restrict w, float* __restrict n, const float* __restrict g) {
                      for (int d = 0; d < D; ++d) {
                        math::adagrad(rate, kAdagradEpsilon, g[d], n[d], w[d]);
                      }
                    });
    case EmbeddingOptimizer::kRowwiseAdagrad:
      return update(used, D, gradients, now, [=](float* w, float* n, const float* g) {
        math::rowwise_adagrad(rate, kAdagradEpsilon, g, D, *n, w);
      });
    case EmbeddingOptimizer::kFtrl: {
      if (options_.l1 > 0) {
        const math::FtrlStep<float> step{rate, static_cast<float>(options_.beta),
                                         static_cast<float>(options_.l1),
                                         static_cast<float>(options_.l2)};
        return update(used, D, gradients, now,
                      [=](float* __restrict w, float* __restrict z, const float* __restrict g) {
                        for (int d = 0; d < D; ++d) {
                          math::ftrl_sparse(step, g[d], z[d], z[D + d], w[d]);
                        }
                      });
      }
      const auto damping = static_cast<float>(options_.beta + double{rate} * options_.l2);
      return update(used, D, gradients, now,
                    [=](float* __restrict w, float* __restrict n, const float* __restrict g) {
                      for (int d = 0; d < D; ++d) math::ftrl(rate, damping, g[d], n[d], w[d]);
                    });
    }
    case EmbeddingOptimizer::kAdam: {
      const math::LazyAdamStep<float> step{rate, static_cast<float>(options_.beta1),
                                           static_cast<float>(options_.beta2),
                                           static_cast<float>(options_.epsilon)};
      return update(used, D, gradients, now,
                    [=](float* __restrict w, float* __restrict c, const float* __restrict g) {
                      math::lazy_adam(step, g, D, c[0], c[1], c + 2, c + 2 + D, w);
                    });
    }
  }
  return 0;
}

}  // namespace millrace
