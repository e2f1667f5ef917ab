// The whole step against a plain trainer in double: weights, rows, task weights and metrics after
// full and partial batches of both streams, with labels missing, weights, chains and `fnw`.
#include <gtest/gtest.h>

#include "learner/train/trainer.h"
#include "tests/learner/train/reference_trainer.h"
#include "tests/learner/train/stream.h"

namespace millrace {
namespace {

void expect_near(const Figures& figures, const ReferenceTrainer::Metric& metric) {
  EXPECT_EQ(figures.rows, metric.rows);
  EXPECT_EQ(figures.positives, metric.positives);
  if (figures.log_loss) {
    EXPECT_NEAR(*figures.log_loss, metric.loss / metric.weight, 2e-4);
    EXPECT_NEAR(*figures.calibration, metric.prediction / metric.label, 2e-4);
  }
  EXPECT_EQ(figures.rmse.has_value(), metric.squares > 0);
  if (figures.rmse) {
    EXPECT_NEAR(*figures.rmse, std::sqrt(metric.squares / metric.weight), 2e-3);
  }
}

class TrainerOracle : public ::testing::TestWithParam<FeedbackPolicy> {};

TEST_P(TrainerOracle, TwentySteps) {
  const Schema schema(stream::features(), stream::tasks(GetParam()));
  const LearnerOptions options = stream::options();
  Trainer trainer("m", schema, options);
  ReferenceTrainer reference(schema, options);
  stream::Source source(schema, 5);
  const int sizes[] = {32, 32, 5, 17, 32, 1, 32, 8, 8, 8, 8, 32, 31, 32, 2, 32, 32, 11, 32, 32};
  int at_once = 0;
  for (const int rows : sizes) {
    const Stream which = rows % 2 == 1 ? Stream::kAtOnce : Stream::kMatured;
    at_once += which == Stream::kAtOnce;
    const Batch batch = source.next(rows, which);
    trainer.train(batch);
    reference.train(batch);
  }
  ASSERT_GT(at_once, 3);

  const Publication got = trainer.publish();
  ASSERT_TRUE(got.complete);
  EXPECT_LT(distance(got.dense->parameters, reference.weights), 2e-4);
  for (std::size_t t = 0; t < reference.tables.size(); ++t) {
    const TableUpdate& table = got.tables[t];
    ASSERT_EQ(table.keys.size(), reference.tables[t].size());
    for (std::size_t i = 0; i < table.keys.size(); ++i) {
      const auto& row = reference.tables[t].at(table.keys[i]);
      for (std::size_t d = 0; d < row.weight.size(); ++d) {
        ASSERT_NEAR(table.rows[i * row.weight.size() + d], row.weight[d], 1e-3) << table.keys[i];
      }
    }
  }
  const TrainerReport report = trainer.report();
  const std::vector<double> weights = reference.task_weights();
  for (int k = 0; k < stream::kTasks; ++k) {
    const auto at = static_cast<std::size_t>(k);
    SCOPED_TRACE(report.tasks[at].name);
    EXPECT_NEAR(report.tasks[at].weight, weights[at], 1e-5);
    expect_near(report.tasks[at].all, reference.own[at]);
    EXPECT_EQ(report.tasks[at].entire.has_value(), schema.tasks()[at].entire_space);
    if (report.tasks[at].entire) expect_near(report.tasks[at].entire->all, reference.entire[at]);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, TrainerOracle,
                         ::testing::Values(FeedbackPolicy::kWait, FeedbackPolicy::kFnw));

}  // namespace
}  // namespace millrace
