// A whole step cut into chunks and tiles, as the trainer cuts it: the same bits with one thread and
// with more, and the same gradients as the batch in one piece.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "learner/device/devices.h"
#include "learner/device/threads.h"
#include "learner/model/model.h"
#include "learner/train/chunks.h"
#include "learner/train/dense_optimizer.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

constexpr int kRows = 1100, kInputs = 20, kTasks = 2;

struct Step {
  explicit Step(int threads, const ModelOptions& options = {})
      : pool(threads),
        model(kInputs, 0, kTasks, options),
        weights(static_cast<std::size_t>(model.parameter_count())) {
    model.initialise(1, weights);
    for (int c = 0; c < Chunks::kMost; ++c) {
      work.push_back(model.workspace(*cpu, tile));
      gradients.emplace_back(weights.size());
    }
  }

  /// Sums the gradients of ⟨z, dz⟩ into gradients[0].
  bool backward() {
    const Chunks chunks(kRows);
    pool.run(chunks.count, [&](int c) {
      auto& gradient = gradients[static_cast<std::size_t>(c)];
      for (int first = chunks.begin(c); first < chunks.end(c); first += tile) {
        const int rows = std::min(tile, chunks.end(c) - first);
        const auto x_tile = x.view().rows_from(first, rows);
        auto& memory = *work[static_cast<std::size_t>(c)];
        model.forward(weights.data(), x_tile, memory, z.view().rows_from(first, rows));
        model.backward(weights.data(), x_tile, memory,
                       View<const float>(dz.view()).rows_from(first, rows), gradient.data(),
                       first > chunks.begin(c), dx.view().rows_from(first, rows));
      }
    });
    std::vector<float*> sums;
    for (int c = 0; c < chunks.count; ++c) {
      sums.push_back(gradients[static_cast<std::size_t>(c)].data());
    }
    return updater.sum(sums, pool);
  }

  /// The backward passes read transposes that are formed once.
  void transpose() {
    transposed.resize(weights.size());
    model.transpose(*cpu, weights.data(), true, transposed.data());
    for (auto& memory : work) memory->use_transposed(transposed.data());
  }

  Threads pool;
  std::unique_ptr<Backend<float>> cpu = open_device<float>("cpu");
  Model<float> model;
  const int tile = Chunks::tile(model.parameter_count());
  std::vector<float> weights, transposed;
  std::vector<std::unique_ptr<Model<float>::Workspace>> work;
  std::vector<std::vector<float>> gradients;
  DenseUpdater<float> updater{{}, model.parameter_count()};
  Matrix<float> x{kRows, kInputs, 1}, dz{kRows, kTasks, 2}, z{kRows, kTasks}, dx{kRows, kInputs};
};

TEST(TrainingStep, ThreadsChangeNoBit) {
  Step one(1), two(2);
  for (int s = 0; s < 5; ++s) {
    for (Step* step : {&one, &two}) {
      ASSERT_TRUE(step->backward());
      step->updater.step(step->weights.data(), step->gradients[0].data(), 1, step->pool);
    }
  }
  EXPECT_EQ(one.weights, two.weights);
  EXPECT_EQ(one.dx.values, two.dx.values);
}

TEST(TrainingStep, WeightsTransposedOnceChangeNoBit) {
  for (const auto& choice : Choices<BackboneKind>::all) {
    SCOPED_TRACE(choice.name);
    ModelOptions options;
    options.backbone = choice.value;
    options.expert_layers = {24, 16};
    options.gate_layers = {8};
    Step plain(1, options), transposed(1, options);
    transposed.transpose();
    ASSERT_TRUE(plain.backward() && transposed.backward());
    EXPECT_EQ(plain.gradients[0], transposed.gradients[0]);
    EXPECT_EQ(plain.dx.values, transposed.dx.values);
  }
}

TEST(TrainingStep, ChunksAndTilesGiveTheGradientsOfTheWholeBatch) {
  Step step(1);
  ASSERT_TRUE(step.backward());
  const auto work = step.model.workspace(*step.cpu, kRows);
  Matrix<float> z(kRows, kTasks), dx(kRows, kInputs);
  std::vector<float> gradient(step.weights.size());
  step.model.forward(step.weights.data(), step.x, *work, z);
  step.model.backward(step.weights.data(), step.x, *work, step.dz, gradient.data(), false, dx);
  EXPECT_LT(distance(step.z.values, z.values), 1e-5);
  EXPECT_LT(distance(step.dx.values, dx.values), 1e-5);
  EXPECT_LT(distance(step.gradients[0], gradient), 1e-5);
}

TEST(TrainingStep, AnInputThatIsNotFiniteIsFound) {
  Step step(1);
  step.x(777, 3) = NAN;
  EXPECT_FALSE(step.backward());
}

}  // namespace
}  // namespace millrace
