// The update of the dense block equals plain loops, whatever the number of chunks or threads; a
// gradient that is not finite is found wherever it stands; saved state goes on with the same bits.
#include "learner/train/dense_optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "learner/math/optimizer_step.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

constexpr int kWeights = 40'003;  // more than two parts, and no multiple of any block

DenseOptimizerOptions options() { return {.optimizer = DenseOptimizer::kAdam, .rate = 0.003}; }

template <class T>
std::vector<T*> pointers(std::vector<Matrix<T>>& chunks) {
  std::vector<T*> result;
  for (auto& chunk : chunks) result.push_back(chunk.values.data());
  return result;
}

template <class T>
std::vector<Matrix<T>> random_chunks(int count, std::uint64_t seed) {
  std::vector<Matrix<T>> chunks;
  for (int c = 0; c < count; ++c) {
    chunks.emplace_back(1, kWeights, seed * 100 + static_cast<std::uint64_t>(c));
  }
  return chunks;
}

/// `steps` steps from the same start; batches of every third step are partial.
template <class T>
std::vector<T> train(DenseUpdater<T>& updater, Matrix<T> weights, int chunks, int first, int last,
                     int threads) {
  Threads pool(threads);
  for (int s = first; s < last; ++s) {
    auto gradients = random_chunks<T>(chunks, static_cast<std::uint64_t>(s + 1));
    EXPECT_TRUE(updater.sum(pointers(gradients), pool));
    updater.step(weights.values.data(), gradients[0].values.data(), s % 3 == 2 ? 0.25 : 1, pool);
  }
  return weights.values;
}

TEST(DenseUpdater, EqualsPlainLoops) {
  for (const int chunks : {1, 2, 4}) {
    DenseUpdater<double> updater(options(), kWeights);
    const Matrix<double> start(1, kWeights, 1);
    const auto trained = train(updater, start, chunks, 0, 10, 1);

    std::vector<double> w = start.values, m(kWeights), v(kWeights);
    double sum = 0;
    for (int s = 0; s < 10; ++s) {
      const auto gradients = random_chunks<double>(chunks, static_cast<std::uint64_t>(s + 1));
      const double share = s % 3 == 2 ? 0.25 : 1;
      const double b1 = std::pow(0.9, share), b2 = std::pow(0.999, share);
      sum += share;
      for (std::size_t i = 0; i < w.size(); ++i) {
        double g = 0;
        for (const auto& chunk : gradients) g += chunk.values[i];
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * share * g * g;
        w[i] -= 0.003 * share * (m[i] / (1 - std::pow(0.9, sum))) /
                (std::sqrt(v[i] / (1 - std::pow(0.999, sum))) + 1e-8);
      }
    }
    EXPECT_DOUBLE_EQ(updater.steps(), sum);
    EXPECT_LT(distance(trained, w), 1e-12) << chunks << " chunks";
  }
}

// Two weight matrices side by side, a bias, a weight and a bias again; what is left is a bias too.
std::vector<ParameterSlot> slots() {
  return {{"a.weight", 0, 100, 60, 200, 0},
          {"b.weight", 60, 100, 140, 200, 0},
          {"a.bias", 20'000, 1, 60, 60, 0},
          {"c.weight", 20'060, 1, 15'000, 15'000, 0},
          {"c.bias", 35'060, 1, kWeights - 35'060, kWeights, 0}};
}
bool decays(std::size_t i) { return i < 20'000 || (20'060 <= i && i < 35'060); }

std::vector<DenseOptimizerOptions> all_options() {
  std::vector<DenseOptimizerOptions> all;
  for (const DenseOptimizer optimizer : {DenseOptimizer::kSgd, DenseOptimizer::kAdagrad,
                                         DenseOptimizer::kAdam, DenseOptimizer::kAdamw}) {
    for (const double momentum : {0.0, 0.9}) {
      DenseOptimizerOptions one{.optimizer = optimizer, .rate = 0.02};
      one.momentum = momentum;
      one.weight_decay = 0.3;
      if (momentum > 0 && optimizer != DenseOptimizer::kSgd) {
        one.clip_norm = 120;  // the gradients' norms are about 200, and 100 in partial batches
        one.schedule = {.shape = ScheduleShape::kCosine, .warmup = 3, .length = 8};
      }
      all.push_back(one);
    }
  }
  return all;
}

// Every optimiser, with and without momentum, a schedule and a limit of the norm.
TEST(DenseUpdater, EveryOptimizerEqualsPlainLoops) {
  for (const DenseOptimizerOptions& o : all_options()) {
    DenseUpdater<double> updater(o, kWeights, slots());
    const Matrix<double> start(1, kWeights, 1);
    const auto trained = train(updater, start, 1, 0, 12, 2);

    std::vector<double> w = start.values, m(kWeights), v(kWeights);
    double sum = 0;
    for (int s = 0; s < 12; ++s) {
      std::vector<double> g =
          std::move(random_chunks<double>(1, static_cast<std::uint64_t>(s + 1))[0].values);
      const double f = s % 3 == 2 ? 0.25 : 1;  // φ
      sum += f;
      const double rate = o.rate * scheduled_share(o.schedule, sum);
      double norm = 0;
      for (const double value : g) norm += f * value * value;
      if (o.clip_norm > 0 && std::sqrt(norm) > o.clip_norm) {
        for (double& value : g) value *= o.clip_norm / std::sqrt(norm);
      }
      for (std::size_t i = 0; i < w.size(); ++i) {
        if (o.optimizer == DenseOptimizer::kSgd) {
          const double keep = std::pow(o.momentum, f);
          m[i] = keep * m[i] + (1 - keep) / (1 - o.momentum) * g[i];
          w[i] -= rate * f * m[i];
        } else if (o.optimizer == DenseOptimizer::kAdagrad) {
          m[i] += f * g[i] * f * g[i];
          w[i] -= rate * f * g[i] / (std::sqrt(m[i]) + 1e-10);
        } else {
          const bool shrinks = o.optimizer == DenseOptimizer::kAdamw && decays(i);
          if (shrinks) w[i] *= std::pow(1 - rate * o.weight_decay, f);
          m[i] = std::pow(0.9, f) * m[i] + (1 - std::pow(0.9, f)) * g[i];
          v[i] = std::pow(0.999, f) * v[i] + (1 - std::pow(0.999, f)) * f * g[i] * g[i];
          w[i] -= rate * f * m[i] / (1 - std::pow(0.9, sum)) /
                  (std::sqrt(v[i] / (1 - std::pow(0.999, sum))) + 1e-8);
        }
      }
    }
    EXPECT_LT(distance(trained, w), 1e-11) << choice_name(o.optimizer) << ' ' << o.momentum;
  }
}

// At φ = 1 the formulas of the papers, to the bit.
TEST(DenseUpdater, FullBatchesAreThePlainRule) {
  Threads pool(1);
  for (const DenseOptimizerOptions& o : all_options()) {
    if (o.clip_norm > 0) continue;
    DenseUpdater<double> updater(o, kWeights, slots());
    Matrix<double> weights(1, kWeights, 1);
    std::vector<double> w = weights.values, m(kWeights), v(kWeights);
    for (int s = 1; s <= 4; ++s) {
      const Matrix<double> g(1, kWeights, 50 + static_cast<std::uint64_t>(s));
      updater.step(weights.values.data(), g.values.data(), 1, pool);
      const auto adam = math::adam_coefficients<double>(o.rate, 1, s);
      for (std::size_t i = 0; i < w.size(); ++i) {
        if (o.optimizer == DenseOptimizer::kSgd) {
          m[i] = o.momentum * m[i] + g.values[i];
          w[i] -= o.rate * m[i];
        } else if (o.optimizer == DenseOptimizer::kAdagrad) {
          math::adagrad(o.rate, 1e-10, g.values[i], m[i], w[i]);
        } else {
          if (o.optimizer == DenseOptimizer::kAdamw && decays(i)) {
            w[i] *= 1 - o.rate * o.weight_decay;
          }
          math::adam(adam, g.values[i], m[i], v[i], w[i]);
        }
      }
      // Compilers may fuse a product and a sum in one loop and not in the other.
      ASSERT_LT(distance(weights.values, w), 1e-15) << choice_name(o.optimizer);
    }
  }
}

// What shrinks over a full batch shrinks as far over its parts.
TEST(DenseUpdater, DecayGoesByElapsedSteps) {
  DenseOptimizerOptions decay{.optimizer = DenseOptimizer::kAdamw, .rate = 0.1};
  decay.weight_decay = 0.5;
  Threads pool(1);
  const Matrix<double> still(1, kWeights);
  std::vector<std::vector<double>> ends;
  for (const int parts : {1, 16}) {
    DenseUpdater<double> updater(decay, kWeights, slots());
    Matrix<double> weights(1, kWeights, 1);
    for (int s = 0; s < 10 * parts; ++s) {
      updater.step(weights.values.data(), still.values.data(), 1.0 / parts, pool);
    }
    ends.push_back(weights.values);
  }
  EXPECT_LT(distance(ends[1], ends[0]), 1e-13);
  const Matrix<double> start(1, kWeights, 1);
  EXPECT_NEAR(ends[0][0], start.values[0] * std::pow(0.95, 10), 1e-13);
  EXPECT_EQ(ends[0][20'010], start.values[20'010]);  // a bias
}

TEST(DenseUpdater, EveryOptimizerGoesOnAfterSaveAndRestoreAndWithAnyThreads) {
  for (const DenseOptimizerOptions& o : all_options()) {
    DenseUpdater<float> whole(o, kWeights, slots()), before(o, kWeights, slots()),
        after(o, kWeights, slots());
    const Matrix<float> start(1, kWeights, 1);
    const auto undisturbed = train(whole, start, 2, 0, 8, 1);
    Matrix<float> half(1, kWeights);
    half.values = train(before, start, 2, 0, 5, 2);
    ByteWriter writer;
    before.save(writer);
    ByteReader reader(writer.bytes());
    after.restore(reader);
    EXPECT_TRUE(reader.at_end());
    EXPECT_EQ(train(after, half, 2, 5, 8, 3), undisturbed) << choice_name(o.optimizer);
  }
}

// Adam, AdamW and Adagrad with a state of each task for what they share, as plain loops: tasks that
// are absent have no part in a step, their state stays, and their steps are counted apart.
TEST(DenseUpdater, StatesOfTasksEqualPlainLoops) {
  std::vector<ParameterSlot> parts = slots();
  parts[1].task = 0;         // b.weight
  parts[4].trained = false;  // c.bias
  const auto is_shared = [](std::size_t i) { return i < 20'000 ? i % 200 < 60 : i < 35'060; };
  for (DenseOptimizerOptions o : all_options()) {
    if (o.optimizer == DenseOptimizer::kSgd) continue;
    o.task_states = true;
    DenseUpdater<double> updater(o, kWeights, parts, 3);
    const Matrix<double> start(1, kWeights, 1);
    Matrix<double> trained = start;
    std::vector<double> w = start.values;
    struct State {
      double steps = 0;
      std::vector<double> m = std::vector<double>(kWeights), v = std::vector<double>(kWeights);
    };
    State states[4];  // of the sum last
    Threads pool(2);
    double sum = 0;
    for (int s = 0; s < 12; ++s) {
      const double f = s % 3 == 2 ? 0.25 : 1;  // φ
      std::vector<Matrix<double>> of;
      std::vector<TaskGradient<double>> by_task;
      std::vector<double> g(kWeights);
      for (int k = 0; k < 3; ++k) {
        of.emplace_back(1, kWeights, static_cast<std::uint64_t>(10 * s + k + 1));
      }
      for (int k = 0; k < 3; ++k) {
        if ((s + k) % 4 == 0) continue;
        by_task.push_back({k, of[static_cast<std::size_t>(k)].values.data()});
        for (std::size_t i = 0; i < g.size(); ++i) g[i] += by_task.back().values[i];
      }
      updater.step(trained.values.data(), g.data(), f, pool, {}, by_task);

      sum += f;
      const double rate = o.rate * scheduled_share(o.schedule, sum);
      double norm = 0;
      for (const double value : g) norm += f * value * value;
      const double scale =
          o.clip_norm > 0 && std::sqrt(norm) > o.clip_norm ? o.clip_norm / std::sqrt(norm) : 1;
      const auto move = [&](State& state, std::size_t i, double gradient) {
        gradient *= scale;
        double &m = state.m[i], &v = state.v[i];
        if (o.optimizer == DenseOptimizer::kAdagrad) {
          v += f * gradient * f * gradient;
          w[i] -= rate * f * gradient / (std::sqrt(v) + 1e-10);
          return;
        }
        m = std::pow(0.9, f) * m + (1 - std::pow(0.9, f)) * gradient;
        v = std::pow(0.999, f) * v + (1 - std::pow(0.999, f)) * f * gradient * gradient;
        w[i] -= rate * f * m / (1 - std::pow(0.9, state.steps)) /
                (std::sqrt(v / (1 - std::pow(0.999, state.steps))) + 1e-8);
      };
      states[3].steps += f;
      for (const auto& task : by_task) states[task.task].steps += f;
      for (std::size_t i = 0; i < w.size(); ++i) {
        const bool weight = decays(i) && i < 35'060;
        if (o.optimizer == DenseOptimizer::kAdamw && weight) {
          w[i] *= std::pow(1 - rate * o.weight_decay, f);
        }
        if (!is_shared(i)) move(states[3], i, g[i]);
        for (const auto& task : by_task) {
          if (is_shared(i)) move(states[task.task], i, task.values[i]);
        }
      }
    }
    EXPECT_LT(distance(trained.values, w), 1e-12) << choice_name(o.optimizer);
    EXPECT_GT(distance(trained.values, start.values), 1e-2);
  }
}

TEST(DenseUpdater, StatesOfTasksGoOnAfterSaveAndRestoreWithAnyThreads) {
  for (DenseOptimizerOptions o : all_options()) {
    if (o.optimizer == DenseOptimizer::kSgd) continue;
    o.task_states = true;
    DenseUpdater<float> whole(o, kWeights, slots(), 2), before(o, kWeights, slots(), 2),
        after(o, kWeights, slots(), 2);
    const Matrix<float> one(1, kWeights, 5), two(1, kWeights, 6);
    Matrix<float> sum(1, kWeights, 5);
    for (std::size_t i = 0; i < sum.values.size(); ++i) sum.values[i] += two.values[i];
    const auto train_on = [&](DenseUpdater<float>& updater, std::vector<float>& w, int first,
                              int last, int threads) {
      Threads pool(threads);
      for (int s = first; s < last; ++s) {
        std::vector<TaskGradient<float>> by_task{{1, two.values.data()}};
        if (s % 3 != 0) by_task.push_back({0, one.values.data()});
        const float* all = s % 3 != 0 ? sum.values.data() : two.values.data();
        updater.step(w.data(), all, s % 2 == 0 ? 0.5 : 1, pool, {}, by_task);
      }
    };
    std::vector<float> undisturbed = sum.values, halves = sum.values;
    train_on(whole, undisturbed, 0, 8, 1);
    train_on(before, halves, 0, 5, 2);
    ByteWriter writer;
    before.save(writer);
    ByteReader reader(writer.bytes());
    after.restore(reader);
    EXPECT_TRUE(reader.at_end());
    train_on(after, halves, 5, 8, 3);
    EXPECT_EQ(halves, undisturbed) << choice_name(o.optimizer);
    DenseUpdater<float> other(o, kWeights, slots(), 3);
    ByteReader again(writer.bytes());
    EXPECT_THROW(other.restore(again), StateError);
  }
}

TEST(DenseUpdater, WhatIsKeptStaysWithItsState) {
  for (const DenseOptimizerOptions& o : all_options()) {
    DenseUpdater<float> updater(o, kWeights, slots());
    Threads pool(2);
    Matrix<float> weights(1, kWeights, 1);
    const Matrix<float> gradient(1, kWeights, 2);
    const std::vector<ParameterSlot> kept{slots()[1], slots()[2]};
    updater.step(weights.values.data(), gradient.values.data(), 1, pool);
    const std::vector<float> before = weights.values;
    updater.step(weights.values.data(), gradient.values.data(), 1, pool, kept);
    EXPECT_EQ(weights.values[70], before[70]);
    EXPECT_EQ(weights.values[20'010], before[20'010]);
    EXPECT_NE(weights.values[10], before[10]);
    EXPECT_NE(weights.values[20'100], before[20'100]);
  }
}

TEST(DenseUpdater, ThreadsChangeNoBit) {
  std::vector<float> one;
  for (const int threads : {1, 2, 3}) {
    DenseUpdater<float> updater(options(), kWeights);
    const auto trained = train(updater, Matrix<float>(1, kWeights, 1), 4, 0, 6, threads);
    if (threads == 1) one = trained;
    EXPECT_EQ(trained, one);
  }
}

TEST(DenseUpdater, GoesOnAfterSaveAndRestoreWithTheSameBits) {
  DenseUpdater<float> whole(options(), kWeights), before(options(), kWeights),
      after(options(), kWeights);
  const Matrix<float> start(1, kWeights, 1);
  const auto undisturbed = train(whole, start, 2, 0, 8, 1);

  Matrix<float> half(1, kWeights);
  half.values = train(before, start, 2, 0, 4, 1);
  ByteWriter writer;
  before.save(writer);
  ByteReader reader(writer.bytes());
  after.restore(reader);
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(train(after, half, 2, 4, 8, 1), undisturbed);
}

TEST(DenseUpdater, RefusesSavedStateOfAnotherModel) {
  DenseUpdater<float> small(options(), 10), large(options(), 11);
  ByteWriter writer;
  small.save(writer);
  ByteReader reader(writer.bytes());
  EXPECT_THROW(large.restore(reader), StateError);
  ByteReader cut(std::string_view(writer.bytes()).substr(0, 20));
  EXPECT_THROW(small.restore(cut), StateError);
}

TEST(DenseUpdater, FindsWhatIsNotFiniteWhereverItStands) {
  Threads pool(2);
  DenseUpdater<float> updater(options(), kWeights);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const int count : {1, 2, 4}) {
    for (const int at : {0, 1, 31, 32, 16383, 16384, 40'000, kWeights - 1}) {
      for (const float bad : {NAN, infinity, -infinity}) {
        auto chunks = random_chunks<float>(count, 1);
        EXPECT_TRUE(updater.sum(pointers(chunks), pool));
        chunks[static_cast<std::size_t>(at % count)].values[static_cast<std::size_t>(at)] = bad;
        EXPECT_FALSE(updater.sum(pointers(chunks), pool)) << count << ' ' << at << ' ' << bad;
      }
    }
  }
  // Finite parts whose sum is not.
  auto chunks = random_chunks<float>(2, 1);
  for (auto& chunk : chunks) chunk.values[7] = 3e38f;
  EXPECT_FALSE(updater.sum(pointers(chunks), pool));
}

// Tang et al. 2023, algorithm 2, block by block, with Adam's update as Δ:
//   σ = min(1, min_i (r |w_i| + a) / |Δ_i|),  w ← w + σ Δ,  and the moments know nothing of σ.
TEST(DenseUpdater, ClippingFollowsItsFormula) {
  constexpr double kRate = 0.2, kRelative = 0.3, kAbsolute = 0.02;
  constexpr long kCount = 40;
  // Two matrices side by side with a bias below each, and what belongs to no slot.
  const std::vector<ParameterSlot> slots{
      {"a.weight", 0, 4, 3, 8, 0}, {"b.weight", 3, 4, 5, 8, 0}, {"a.bias", 32, 1, 3, 3, 0}};
  DenseOptimizerOptions clipping{.optimizer = DenseOptimizer::kAdam, .rate = kRate};
  clipping.clip = UpdateClipping::kClippy;
  clipping.clip_relative = kRelative;
  clipping.clip_absolute = kAbsolute;
  DenseUpdater<double> updater(clipping, kCount, slots);
  Threads pool(1);
  Matrix<double> weights(1, kCount, 5);
  weights.values[2] = weights.values[33] = 0;  // only a lets these move

  std::vector<double> w = weights.values, m(kCount), v(kCount);
  double share_sum = 0;
  int clipped = 0, whole = 0;
  for (int s = 0; s < 60; ++s) {
    Matrix<double> gradient(1, kCount, 100 + static_cast<std::uint64_t>(s));
    // Blocks are still now and then, so that not every update is clipped.
    for (double& g : gradient.values) g *= s % 7 == 0 ? 5 : 0.05;
    const double share = s % 3 == 2 ? 0.25 : 1;
    share_sum += share;
    const auto adam = math::adam_coefficients<double>(kRate, share, share_sum);
    std::vector<double> update(kCount);
    for (std::size_t i = 0; i < update.size(); ++i) {
      double after = w[i];
      math::adam(adam, gradient.values[i], m[i], v[i], after);
      update[i] = after - w[i];
    }
    std::vector<double> sigma(kCount, 1);
    for (const ParameterSlot& slot : slots) {
      double of_slot = 1;
      const auto for_all = [&](const auto& use) {
        for (int r = 0; r < slot.rows; ++r) {
          for (int c = 0; c < slot.cols; ++c) {
            use(static_cast<std::size_t>(slot.offset + r * slot.stride + c));
          }
        }
      };
      for_all([&](std::size_t i) {
        of_slot = std::min(of_slot, (kRelative * std::abs(w[i]) + kAbsolute) / std::abs(update[i]));
      });
      for_all([&](std::size_t i) { sigma[i] = of_slot; });
      ++(of_slot < 1 ? clipped : whole);
    }
    double norm = 0, change = 0, largest = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      norm += w[i] * w[i];
      change += sigma[i] * update[i] * sigma[i] * update[i];
      w[i] += sigma[i] * update[i];
      largest = std::max(largest, std::abs(w[i]));
    }
    const auto done = updater.step(weights.values.data(), gradient.values.data(), share, pool);
    ASSERT_LT(distance(weights.values, w), 1e-12) << "step " << s;
    EXPECT_NEAR(done.norm, std::sqrt(norm), 1e-12);
    EXPECT_NEAR(done.change, std::sqrt(change), 1e-12);
    EXPECT_NEAR(done.largest, largest, 1e-12);
  }
  EXPECT_GT(clipped, 20);
  EXPECT_GT(whole, 20);
}

}  // namespace
}  // namespace millrace
