// The gradients of a batch's chunks add up to the same bits with one thread, in two buffers, and
// with several, in one for each chunk; and what is not finite is told wherever it stands.
#include "learner/train/gradient_sum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "tests/support/numeric.h"

namespace millrace {
namespace {

constexpr int kWeights = 40'000;  // of several parts of a pass

struct Summed {
  std::vector<float> gradient;
  bool finite;
};

Summed sum(const std::vector<Matrix<float>>& gradients, int thread_count) {
  const int chunks = static_cast<int>(gradients.size());
  std::vector<std::vector<float>> memory(
      static_cast<std::size_t>(gradient_buffers(chunks, thread_count)),
      std::vector<float>(kWeights, 7));
  std::vector<float*> buffers;
  for (std::vector<float>& buffer : memory) buffers.push_back(buffer.data());
  DenseUpdater<float> updater({}, kWeights);
  Threads threads(thread_count);
  const bool finite = sum_of_chunks(chunks, buffers, updater, threads,
                                    [&](int chunk, int /*thread*/, float* gradient) {
                                      const auto& of = gradients[static_cast<std::size_t>(chunk)];
                                      std::copy(of.values.begin(), of.values.end(), gradient);
                                    });
  return {memory[0], finite};
}

std::vector<Matrix<float>> draw(int chunks) {
  std::vector<Matrix<float>> gradients;
  for (int c = 0; c < chunks; ++c) gradients.emplace_back(1, kWeights, 11 + c);
  return gradients;
}

TEST(GradientSum, IsTheSameOfOneThreadAndOfSeveral) {
  for (int chunks = 1; chunks <= 4; ++chunks) {
    const std::vector<Matrix<float>> gradients = draw(chunks);
    const Summed one = sum(gradients, 1), several = sum(gradients, 3);
    EXPECT_EQ(one.gradient, several.gradient) << chunks;
    EXPECT_TRUE(one.finite && several.finite) << chunks;
  }
}

TEST(GradientSum, TellsOfWhatIsNotFiniteInAnyChunk) {
  for (int chunks = 1; chunks <= 4; ++chunks) {
    for (int bad = 0; bad < chunks; ++bad) {
      std::vector<Matrix<float>> gradients = draw(chunks);
      gradients[static_cast<std::size_t>(bad)].values[kWeights - 3] =
          std::numeric_limits<float>::infinity();
      EXPECT_FALSE(sum(gradients, 1).finite) << bad << " of " << chunks;
      EXPECT_FALSE(sum(gradients, 3).finite) << bad << " of " << chunks;
    }
  }
}

TEST(GradientSum, OneThreadNeedsTwoBuffers) {
  EXPECT_EQ(gradient_buffers(1, 1), 1);
  EXPECT_EQ(gradient_buffers(4, 1), 2);
  EXPECT_EQ(gradient_buffers(4, 2), 4);
}

}  // namespace
}  // namespace millrace
