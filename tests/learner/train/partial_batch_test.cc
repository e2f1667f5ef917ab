// The rule for partial batches (a batch of n < B rows counts as the fraction n / B of a step): what
// is learned does not depend on how a stream is cut, which live traffic decides.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <random>

#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"

namespace millrace {
namespace {

constexpr int kBatch = 1024;

struct Losses {
  double click, like;
};

/// One stationary stream of so many full batches, cut as `next_size` says, trained once; the log
/// losses of its last fifth.
Losses train(const DenseOptimizerOptions& dense, int batches,
             const std::function<int()>& next_size) {
  const Schema schema(stream::features(), stream::tasks());
  LearnerOptions options = stream::options(kBatch);
  options.train.dense = dense;
  options.train.embedding.rate = 0.1;
  Trainer trainer("m", schema, options);
  stream::Source source(schema, 12);
  for (int left = batches * kBatch; left > 0;) {
    const int rows = std::min(left, next_size());
    trainer.train(source.next(rows));
    left -= rows;
  }
  const TrainerReport report = trainer.report();
  return {*report.tasks[stream::kClick].last_fifth.log_loss,
          *report.tasks[stream::kLike].last_fifth.log_loss};
}

/// From single rows to full batches, as traffic rises and falls.
std::function<int()> mixed_sizes() {
  auto random = std::make_shared<std::mt19937_64>(3);
  return [random] {
    return std::min(kBatch,
                    static_cast<int>(std::exp2(static_cast<double>((*random)() % 1100) / 100)));
  };
}

// Full steps for partial batches, or a fixed scale for the rows' gradients, end 0.8 % away.
TEST(PartialBatches, LearnTheSameHoweverTheStreamIsCut) {
  const Losses full = train({}, 300, [] { return kBatch; });
  const Losses small = train({}, 300, [] { return 8; });
  const Losses mixed = train({}, 300, mixed_sizes());
  for (const Losses& cut : {small, mixed}) {
    EXPECT_NEAR(cut.click / full.click, 1, 0.004);
    EXPECT_NEAR(cut.like / full.like, 1, 0.004);
  }
  EXPECT_LT(full.click, 0.62);  // and something was learned
}

std::vector<DenseOptimizerOptions> others() {
  std::vector<DenseOptimizerOptions> all(5);
  all[0] = {.optimizer = DenseOptimizer::kSgd, .rate = 0.1};
  all[1] = {.optimizer = DenseOptimizer::kSgd, .rate = 0.02, .momentum = 0.9};
  all[2] = {.optimizer = DenseOptimizer::kAdagrad, .rate = 0.03};
  all[3] = {.optimizer = DenseOptimizer::kAdamw, .rate = 0.003};
  all[3].weight_decay = 1;
  all[4].clip_norm = 0.3;
  all[4].schedule = {.shape = ScheduleShape::kExponential, .warmup = 10, .length = 100};
  return all;
}

// The other optimisers, decay, a limit of the norm, and a schedule.
TEST(PartialBatches, LearnTheSameWithEveryOptimizerAndSchedule) {
  for (const DenseOptimizerOptions& dense : others()) {
    // Adam takes longer until its gradients are mostly noise; before, smaller batches learn faster.
    const bool adam = dense.optimizer >= DenseOptimizer::kAdam;
    const Losses full = train(dense, adam ? 300 : 100, [] { return kBatch; });
    const Losses mixed = train(dense, adam ? 300 : 100, mixed_sizes());
    EXPECT_NEAR(mixed.click / full.click, 1, 0.01) << choice_name(dense.optimizer);
    EXPECT_NEAR(mixed.like / full.like, 1, 0.01) << choice_name(dense.optimizer);
    EXPECT_LT(full.click, 0.65) << choice_name(dense.optimizer);
  }
}

}  // namespace
}  // namespace millrace
