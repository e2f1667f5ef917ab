// The rule for partial batches (a batch of n < B rows counts as the fraction n / B of a step): what
// is learned does not depend on how a stream is cut, which live traffic decides.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"

namespace millrace {
namespace {

constexpr int kBatch = 1024, kRows = 300 * kBatch;

struct Losses {
  double click, like;
};

/// One stationary stream, cut as `next_size` says, trained once; the log losses of its last fifth.
Losses train(const std::function<int()>& next_size) {
  const Schema schema(stream::features(), stream::tasks());
  LearnerOptions options = stream::options(kBatch);
  options.train.dense.rate = 0.003;
  options.train.embedding.rate = 0.1;
  Trainer trainer("m", schema, options);
  stream::Source source(schema, 12);
  for (int left = kRows; left > 0;) {
    const int rows = std::min(left, next_size());
    trainer.train(source.next(rows));
    left -= rows;
  }
  const TrainerReport report = trainer.report();
  return {*report.tasks[stream::kClick].last_fifth.log_loss,
          *report.tasks[stream::kLike].last_fifth.log_loss};
}

// Full steps for partial batches, or a fixed scale for the rows' gradients, end 0.8 % away.
TEST(PartialBatches, LearnTheSameHoweverTheStreamIsCut) {
  const Losses full = train([] { return kBatch; });
  const Losses small = train([] { return 8; });
  std::mt19937_64 random(3);
  const Losses mixed = train([&] {
    // From single rows to full batches, as traffic rises and falls.
    return std::min(kBatch,
                    static_cast<int>(std::exp2(static_cast<double>(random() % 1100) / 100)));
  });
  for (const Losses& cut : {small, mixed}) {
    EXPECT_NEAR(cut.click / full.click, 1, 0.004);
    EXPECT_NEAR(cut.like / full.like, 1, 0.004);
  }
  EXPECT_LT(full.click, 0.62);  // and something was learned
}

}  // namespace
}  // namespace millrace
