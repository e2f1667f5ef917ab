// Task weights: their sum, where uncertainty weighting comes to rest, what an absent task and a
// partial batch change, and that all of it comes back from the saved state.
#include "learner/balance/balancer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "learner/balance/uncertainty.h"

namespace millrace {
namespace {

std::vector<Task> make_tasks() {
  Task click{"ctr"}, dwell{"dwell"}, like{"like"};
  dwell.kind = TaskKind::kRegression;
  return {click, dwell, like};
}

double sum(std::span<const double> weights) {
  return std::accumulate(weights.begin(), weights.end(), 0.0);
}

TEST(FixedBalancer, ScalesToTheNumberOfTasks) {
  BalanceOptions options;
  options.method = BalanceMethod::kFixed;
  options.weights = {{"ctr", 4}, {"like", 0.5}};
  const auto balancer = make_balancer(options, make_tasks());
  const auto weights = balancer->weights();
  EXPECT_NEAR(sum(weights), 3, 1e-12);
  EXPECT_NEAR(weights[0] / weights[1], 4, 1e-12);
  EXPECT_NEAR(weights[2] / weights[1], 0.5, 1e-12);
}

// At the optimum of J the raw weight times the loss is ½, for both kinds of loss.
TEST(UncertaintyBalancer, ComesToRestWhereRawWeightTimesLossIsHalf) {
  UncertaintyBalancer balancer(BalanceOptions{}, make_tasks());
  const std::vector<double> losses{0.2, 3.0, 0.6};
  std::vector<TaskLoss> batch;
  for (const double loss : losses) batch.push_back({loss * 10, 10});
  for (int i = 0; i < 5000; ++i) {
    balancer.add(batch, 1);
    ASSERT_NEAR(sum(balancer.weights()), 3, 1e-9);
  }
  for (int k = 0; k < 3; ++k) {
    EXPECT_NEAR(balancer.raw_weight(k) * losses[static_cast<std::size_t>(k)], 0.5, 5e-3) << k;
  }
  // Σ = T keeps their ratios.
  EXPECT_NEAR(balancer.weights()[0] / balancer.weights()[1], 3.0 / 0.2, 0.5);
}

// ½ belongs to the squared distance; Poisson's loss is a negative log likelihood.
TEST(UncertaintyBalancer, FactorsFollowTheLoss) {
  std::vector<Task> tasks = make_tasks();
  tasks[2].kind = TaskKind::kCount;
  tasks.push_back({"watch"});
  tasks[3].kind = TaskKind::kDuration;
  const UncertaintyBalancer balancer(BalanceOptions{}, tasks);
  EXPECT_EQ(balancer.raw_weight(0), 1);
  EXPECT_EQ(balancer.raw_weight(1), 0.5);
  EXPECT_EQ(balancer.raw_weight(2), 1);
  EXPECT_EQ(balancer.raw_weight(3), 0.5);
}

TEST(UncertaintyBalancer, LogVarianceStaysWithinFive) {
  UncertaintyBalancer balancer(BalanceOptions{}, make_tasks());
  const std::vector<TaskLoss> batch{{1e-9, 1}, {1e9, 1}, {1, 1}};
  for (int i = 0; i < 5000; ++i) balancer.add(batch, 1);
  EXPECT_NEAR(balancer.raw_weight(0), std::exp(5), 1e-9);
  EXPECT_NEAR(balancer.raw_weight(1), 0.5 * std::exp(-5), 1e-9);
  EXPECT_NEAR(balancer.weights()[1] / balancer.weights()[2], 1, 1e-9);  // both at the floor
  EXPECT_GT(balancer.weights()[1], 0.04);
}

TEST(UncertaintyBalancer, AnAbsentTaskKeepsItsState) {
  UncertaintyBalancer balancer(BalanceOptions{}, make_tasks());
  for (int i = 0; i < 50; ++i) balancer.add(std::vector<TaskLoss>{{2, 1}, {2, 1}, {2, 1}}, 1);
  const double before = balancer.raw_weight(2);
  for (int i = 0; i < 50; ++i) balancer.add(std::vector<TaskLoss>{{2, 1}, {2, 1}, {0, 0}}, 1);
  EXPECT_EQ(balancer.raw_weight(2), before);
  EXPECT_NE(balancer.raw_weight(0), before);
}

// Four quarters of a batch are the batch.
TEST(UncertaintyBalancer, PartialBatchesSumToOneStep) {
  UncertaintyBalancer whole(BalanceOptions{}, make_tasks());
  UncertaintyBalancer parts(BalanceOptions{}, make_tasks());
  for (int i = 0; i < 20; ++i) {
    whole.add(std::vector<TaskLoss>{{8, 16}, {24, 8}, {2, 2}}, 1);
    const std::vector<double> initial(parts.weights().begin(), parts.weights().end());
    for (int quarter = 0; quarter < 4; ++quarter) {
      EXPECT_EQ(std::vector<double>(parts.weights().begin(), parts.weights().end()), initial);
      parts.add(
          std::vector<TaskLoss>{
              {2, 4}, {6, 2}, {quarter == 2 ? 2.0 : 0.0, quarter == 2 ? 2.0 : 0.0}},
          0.25);
    }
    for (int k = 0; k < 3; ++k) ASSERT_DOUBLE_EQ(whole.raw_weight(k), parts.raw_weight(k));
  }
}

TEST(UncertaintyBalancer, ComesBackBitForBit) {
  UncertaintyBalancer one(BalanceOptions{}, make_tasks());
  const std::vector<TaskLoss> batch{{2, 4}, {0, 0}, {5, 2}};
  for (int i = 0; i < 7; ++i) one.add(batch, 0.4);
  ByteWriter writer;
  one.save(writer);
  UncertaintyBalancer two(BalanceOptions{}, make_tasks());
  ByteReader reader(writer.bytes());
  two.restore(reader);
  EXPECT_TRUE(reader.at_end());
  for (int i = 0; i < 7; ++i) {
    one.add(batch, 0.4);
    two.add(batch, 0.4);
    for (std::size_t k = 0; k < 3; ++k) EXPECT_EQ(one.weights()[k], two.weights()[k]);
  }
  ByteReader short_reader(std::string_view(writer.bytes()).substr(0, writer.size() - 1));
  EXPECT_THROW(two.restore(short_reader), StateError);
}

}  // namespace
}  // namespace millrace
