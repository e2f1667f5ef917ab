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
