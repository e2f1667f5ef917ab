// Task weights: their sum, where each method comes to rest, what an absent task and a partial batch
// change, and that all of it comes back from the saved state.
#include "learner/balance/balancer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "learner/balance/gradnorm.h"
#include "learner/balance/loss_ratio.h"
#include "learner/balance/task_weights.h"
#include "learner/balance/uncertainty.h"
#include "learner/base/random.h"

namespace millrace {
namespace {

std::vector<Task> make_tasks() {
  Task click{"ctr"}, dwell{"dwell"}, like{"like"};
  dwell.kind = TaskKind::kRegression;
  return {click, dwell, like};
}

std::vector<Task> make_tasks(int count) {
  std::vector<Task> tasks(static_cast<std::size_t>(count));
  for (std::size_t k = 0; k < tasks.size(); ++k) tasks[k].name = "t" + std::to_string(k);
  return tasks;
}

double sum(std::span<const double> weights) {
  return std::accumulate(weights.begin(), weights.end(), 0.0);
}

std::vector<double> copy(std::span<const double> weights) {
  return {weights.begin(), weights.end()};
}

std::vector<TaskLoss> losses_of(std::initializer_list<double> means) {
  std::vector<TaskLoss> losses;
  for (const double mean : means) losses.push_back({mean * 10, mean >= 0 ? 10.0 : 0.0});
  for (TaskLoss& loss : losses) loss.sum = loss.count > 0 ? loss.sum : 0;
  return losses;
}

BalanceOptions options_of(BalanceMethod method) {
  BalanceOptions options;
  options.method = method;
  return options;
}

TEST(FixedBalancer, ScalesToTheNumberOfTasks) {
  BalanceOptions options = options_of(BalanceMethod::kFixed);
  options.weights = {{"ctr", 4}, {"like", 0.5}};
  const auto balancer = make_balancer(options, make_tasks(), 1);
  const auto weights = balancer->weights();
  EXPECT_NEAR(sum(weights), 3, 1e-12);
  EXPECT_NEAR(weights[0] / weights[1], 4, 1e-12);
  EXPECT_NEAR(weights[2] / weights[1], 0.5, 1e-12);
}

// PLE eq. 10: ω_k(t) ∝ ω_k(0) γ_k^t.
TEST(FixedBalancer, FollowsAGeometricScheduleByWindows) {
  BalanceOptions options = options_of(BalanceMethod::kFixed);
  options.weights = {{"ctr", 4}};
  options.decay = {{"ctr", 0.5}, {"like", 1.25}};
  options.window = 3;
  options.min_weight = 0;
  const auto balancer = make_balancer(options, make_tasks(), 1);
  for (int step = 1; step <= 12; ++step) {
    balancer->step({losses_of({1, 1, 1})});
    const int t = step / 3;
    const auto weights = balancer->weights();
    ASSERT_NEAR(weights[0] / weights[1], 4 * std::pow(0.5, t), 1e-9) << step;
    ASSERT_NEAR(weights[2] / weights[1], std::pow(1.25, t), 1e-9) << step;
    ASSERT_NEAR(sum(weights), 3, 1e-9);
  }
}

TEST(FixedBalancer, AScheduleNeverEndsInAWeightThatIsNotFinite) {
  BalanceOptions options = options_of(BalanceMethod::kFixed);
  options.decay = {{"ctr", 0.01}, {"like", 7}};
  options.window = 1;
  const auto balancer = make_balancer(options, make_tasks(), 1);
  for (int step = 0; step < 5000; ++step) balancer->step({losses_of({1, 1, 1})});
  EXPECT_NEAR(sum(balancer->weights()), 3, 1e-9);
  EXPECT_NEAR(balancer->weights()[0], balancer->weights()[1], 1e-9);  // both at the floor
  EXPECT_GT(balancer->weights()[0], 0);
}

// At the optimum of J the raw weight times the loss is ½, for both kinds of loss.
TEST(UncertaintyBalancer, ComesToRestWhereRawWeightTimesLossIsHalf) {
  for (const bool half : {false, true}) {
    BalanceOptions options;
    options.uncertainty.half_for_all = half;
    UncertaintyBalancer balancer(options, make_tasks());
    const std::vector<double> losses{0.2, 3.0, 0.6};
    for (int i = 0; i < 5000; ++i) {
      balancer.step({losses_of({0.2, 3.0, 0.6})});
      ASSERT_NEAR(sum(balancer.weights()), 3, 1e-9);
    }
    for (int k = 0; k < 3; ++k) {
      EXPECT_NEAR(balancer.raw_weight(k) * losses[static_cast<std::size_t>(k)], 0.5, 5e-3) << k;
    }
    // Σ = T keeps their ratios.
    EXPECT_NEAR(balancer.weights()[0] / balancer.weights()[1], 3.0 / 0.2, 0.5);
  }
}

TEST(UncertaintyBalancer, RawWeightsAreNotScaled) {
  BalanceOptions options;
  options.uncertainty.raw = true;
  UncertaintyBalancer balancer(options, make_tasks());
  for (int i = 0; i < 300; ++i) balancer.step({losses_of({0.2, 3.0, 0.6})});
  for (int k = 0; k < 3; ++k) {
    EXPECT_EQ(balancer.weights()[static_cast<std::size_t>(k)], balancer.raw_weight(k));
  }
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
  for (int i = 0; i < 5000; ++i) balancer.step({batch});
  EXPECT_NEAR(balancer.raw_weight(0), std::exp(5), 1e-9);
  EXPECT_NEAR(balancer.raw_weight(1), 0.5 * std::exp(-5), 1e-9);
  EXPECT_NEAR(balancer.weights()[1] / balancer.weights()[2], 1, 1e-9);  // both at the floor
  EXPECT_GT(balancer.weights()[1], 0.04);
}

TEST(UncertaintyBalancer, AnAbsentTaskKeepsItsState) {
  UncertaintyBalancer balancer(BalanceOptions{}, make_tasks());
  for (int i = 0; i < 50; ++i) balancer.step({losses_of({2, 2, 2})});
  const double before = balancer.raw_weight(2);
  for (int i = 0; i < 50; ++i) balancer.step({losses_of({2, 2, -1})});
  EXPECT_EQ(balancer.raw_weight(2), before);
  EXPECT_NE(balancer.raw_weight(0), before);
}

// Norms 4 : 1, no pull by losses: w₁ n₁ = w₂ n₂ and Σ = 2 leave (0.4, 1.6).
TEST(GradNormBalancer, BringsGradientsToOneSize) {
  BalanceOptions options = options_of(BalanceMethod::kGradnorm);
  options.gradnorm.alpha = 0;
  options.gradnorm.rate = 0.002;
  GradNormBalancer balancer(options, make_tasks(2));
  const std::vector<double> norms{4, 1};
  for (int i = 0; i < 3000; ++i) {
    balancer.step({losses_of({1, 1}), norms});
    ASSERT_NEAR(sum(balancer.weights()), 2, 1e-9);
  }
  EXPECT_NEAR(balancer.weights()[0], 0.4, 0.02);
  EXPECT_NEAR(balancer.weights()[1], 1.6, 0.02);
}

// Alone a task is its own mean: its gradient's size says nothing, not even by rounding.
TEST(GradNormBalancer, ATaskThatIsAloneIsNotCompared) {
  const auto weights_after = [](double alone) {
    GradNormBalancer balancer(options_of(BalanceMethod::kGradnorm), make_tasks(2));
    for (int i = 0; i < 20; ++i) {
      balancer.step({losses_of({1, 1}), std::vector<double>{0.7, 0.3}});
      balancer.step({std::vector<TaskLoss>{{1, 1}, {}}, std::vector<double>{alone, NAN}});
    }
    return copy(balancer.weights());
  };
  for (const double alone : {0.1, 0.3, 1.1, 3.7, 1e3}) {
    EXPECT_EQ(weights_after(alone), weights_after(0)) << alone;
  }
}

// One step to the letter of the paper, Adam's first step being the rate itself.
TEST(GradNormBalancer, OneStepIsThePapers) {
  BalanceOptions options = options_of(BalanceMethod::kGradnorm);
  options.gradnorm.loss_steps = 1;
  options.gradnorm.start_steps = 1;
  options.min_weight = 0;
  GradNormBalancer balancer(options, make_tasks(3));
  balancer.step({losses_of({2, 3, 5}), {}});  // L(0); no norms: nothing moves
  EXPECT_EQ(copy(balancer.weights()), (std::vector<double>{1, 1, 1}));
  const std::vector<double> norms{0.5, 2, 1};
  balancer.step({losses_of({1, 2.7, 2}), norms});
  const double relative[3] = {0.5, 0.9, 0.4}, mean = 0.6, gradient = 3.5 / 3;
  std::vector<double> expected;
  for (std::size_t k = 0; k < 3; ++k) {
    const double target = gradient * std::pow(relative[k] / mean, 1.5);
    expected.push_back(1 - (norms[k] > target ? 0.025 : -0.025));
  }
  const double scale = 3 / sum(expected);
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_NEAR(balancer.weights()[k], expected[k] * scale, 1e-7) << k;
  }
}

TEST(GradNormBalancer, ASlowTaskGetsALargerGradient) {
  GradNormBalancer balancer(options_of(BalanceMethod::kGradnorm), make_tasks(2));
  const std::vector<double> norms{1, 1};
  for (int i = 0; i < 20; ++i) balancer.step({losses_of({1, 1}), norms});
  for (int i = 0; i < 200; ++i) balancer.step({losses_of({0.9, 0.3}), norms});
  EXPECT_GT(balancer.weights()[0], 1.2);
  EXPECT_LT(balancer.weights()[1], 0.8);
}

TEST(GradNormBalancer, AnAbsentTaskKeepsItsWeightAndIsInNoMean) {
  GradNormBalancer three(options_of(BalanceMethod::kGradnorm), make_tasks(3));
  GradNormBalancer two(options_of(BalanceMethod::kGradnorm), make_tasks(2));
  for (int i = 0; i < 100; ++i) {
    const double nan = NAN;
    three.step({losses_of({1, 0.5 + i * 0.01, -1}), std::vector<double>{3, 1, nan}});
    two.step({losses_of({1, 0.5 + i * 0.01}), std::vector<double>{3, 1}});
    ASSERT_EQ(three.weights()[2], 1);
    ASSERT_NEAR(three.weights()[0], two.weights()[0], 1e-12);
    ASSERT_NEAR(sum(three.weights()), 3, 1e-9);
  }
  EXPECT_LT(two.weights()[0], 0.9);
}

TEST(GradNormBalancer, MeasuresEveryNthStep) {
  BalanceOptions options = options_of(BalanceMethod::kGradnorm);
  options.gradnorm.every = 3;
  GradNormBalancer balancer(options, make_tasks(2));
  const std::vector<double> norms{4, 1};
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(balancer.needs_norms(), i % 3 == 0);
    const std::vector<double> before = copy(balancer.weights());
    balancer.step({losses_of({1, 1}), norms});
    EXPECT_EQ(copy(balancer.weights()) == before, i % 3 != 0) << i;
  }
}

// The mean loss of the first steps is what later ones are compared with; or ln 2; or it drifts.
TEST(GradNormBalancer, TheLossThatATaskStartedFrom) {
  const auto first_weight = [](StartLoss start, double drift) {
    BalanceOptions options = options_of(BalanceMethod::kGradnorm);
    options.gradnorm.start_loss = start;
    options.gradnorm.start_steps = 4;
    options.gradnorm.loss_steps = 1;
    options.gradnorm.start_drift = drift;
    options.gradnorm.rate = 0.01;
    GradNormBalancer balancer(options, make_tasks(2));
    for (int i = 0; i < 4; ++i) balancer.step({losses_of({0.1, 0.6}), {}});
    for (int i = 0; i < 500; ++i) {
      balancer.step({losses_of({0.1, 0.6}), std::vector<double>{1, 1}});
    }
    return balancer.weights()[0];
  };
  EXPECT_NEAR(first_weight(StartLoss::kMeasured, 0), 1, 0.03);
  EXPECT_LT(first_weight(StartLoss::kLn2, 0), 0.3);  // far below ln 2: it is quick
  EXPECT_NEAR(first_weight(StartLoss::kLn2, 0.2), 1, 0.1);
}

TEST(WindowBalancer, DwaOfEqualRatiosIsOne) {
  BalanceOptions options = options_of(BalanceMethod::kDwa);
  options.window = 2;
  WindowBalancer balancer(options, 3);
  double fall = 1;
  for (int i = 0; i < 20; ++i, fall *= 0.9) {
    balancer.step({losses_of({0.5 * fall, 3 * fall, 20 * fall})});
    for (const double weight : balancer.weights()) ASSERT_NEAR(weight, 1, 1e-9) << i;
  }
}

TEST(WindowBalancer, DwaIsTheSoftmaxOfLossRatios) {
  BalanceOptions options = options_of(BalanceMethod::kDwa);
  options.window = 1;
  options.min_weight = 0;
  WindowBalancer balancer(options, 3);
  balancer.step({losses_of({1, 2, 4})});
  balancer.step({losses_of({1, 2, 4})});
  balancer.step({losses_of({0.5, 2, 6})});
  const double e[3] = {std::exp(0.5 / 2), std::exp(1.0 / 2), std::exp(1.5 / 2)};
  for (std::size_t k = 0; k < 3; ++k) {
    EXPECT_NEAR(balancer.weights()[k], 3 * e[k] / (e[0] + e[1] + e[2]), 1e-12);
  }
}

TEST(WindowBalancer, DwaOfLossesNearZeroStaysFinite) {
  BalanceOptions options = options_of(BalanceMethod::kDwa);
  options.window = 1;
  WindowBalancer balancer(options, 3);
  for (const double loss : {0.0, 1.0, 0.0, 1e-300, 5.0, 0.0}) {
    balancer.step({std::vector<TaskLoss>{{loss, 1}, {-loss, 1}, {1, 1}}});
    ASSERT_NEAR(sum(balancer.weights()), 3, 1e-9);
    for (const double weight : balancer.weights()) ASSERT_GT(weight, 0.04);
  }
}

// w ∝ −(1 − κ)^γ ln κ
TEST(WindowBalancer, DtpFavoursWhatIsPredictedBadly) {
  BalanceOptions options = options_of(BalanceMethod::kDtp);
  options.window = 2;
  options.share = 1;
  options.focus = 2;
  options.min_weight = 0;
  WindowBalancer balancer(options, 3);
  EXPECT_FALSE(balancer.needs_performance());
  balancer.step({losses_of({1, 1, 1})});
  EXPECT_TRUE(balancer.needs_performance());
  const std::vector<double> figures{0.9, 0.6, NAN};
  balancer.step({losses_of({1, 1, 1}), {}, figures});
  const double a = -0.1 * 0.1 * std::log(0.9), b = -0.4 * 0.4 * std::log(0.6);
  EXPECT_NEAR(balancer.weights()[0], 2 * a / (a + b), 1e-12);
  EXPECT_NEAR(balancer.weights()[1], 2 * b / (a + b), 1e-12);
  EXPECT_EQ(balancer.weights()[2], 1);
}

TEST(WindowBalancer, PerformanceFavoursWhatIsPredictedWell) {
  BalanceOptions options = options_of(BalanceMethod::kPerformance);
  options.window = 1;
  WindowBalancer balancer(options, 2);
  const std::vector<double> figures{0.9, 0.3};
  balancer.step({losses_of({1, 1}), {}, figures});
  EXPECT_NEAR(balancer.weights()[0], 0.9 * 1 + 0.1 * 2 * 0.75, 1e-12);
  for (int i = 0; i < 200; ++i) balancer.step({losses_of({1, 1}), {}, figures});
  EXPECT_NEAR(balancer.weights()[0], 1.5, 1e-6);
  EXPECT_NEAR(balancer.weights()[1], 0.5, 1e-6);
}

TEST(RandomBalancer, DrawsAnewEachStepByTheSeed) {
  const BalanceOptions options = options_of(BalanceMethod::kRandom);
  const auto one = make_balancer(options, make_tasks(3), 1),
             two = make_balancer(options, make_tasks(3), 2);
  EXPECT_NE(copy(one->weights()), copy(two->weights()));
  std::vector<double> mean(3);
  for (int i = 0; i < 4000; ++i) {
    const auto before = copy(one->weights());
    one->step({losses_of({1, 1, 1})});
    ASSERT_NE(copy(one->weights()), before);
    ASSERT_NEAR(sum(one->weights()), 3, 1e-9);
    for (std::size_t k = 0; k < 3; ++k) mean[k] += one->weights()[k] / 4000;
  }
  for (const double weight : mean) EXPECT_NEAR(weight, 1, 0.05);
}

class EveryMethod : public ::testing::TestWithParam<BalanceMethod> {
 protected:
  // Losses, norms and figures of 128 tasks of which two in five are missing.
  struct Measures {
    std::vector<TaskLoss> losses;
    std::vector<double> norms, figures;
  };
  static Measures draw(std::uint64_t step, int tasks) {
    Measures m;
    for (int k = 0; k < tasks; ++k) {
      const auto bits = philox(7, static_cast<std::uint64_t>(k), step);
      const bool there = to_unit(bits[0]) > 0.4;
      const double count = there ? 1 + bits[1] % 50 : 0;
      // Sizes over many orders, and now and then a loss of nothing at all.
      const double mean = bits[2] % 20 == 0 ? 0 : std::pow(10.0, to_unit(bits[2]) * 12 - 6);
      m.losses.push_back({there ? mean * count : 0, count});
      m.norms.push_back(there ? mean * to_unit(bits[3]) : NAN);
      m.figures.push_back(there && bits[3] % 3 != 0 ? to_unit(bits[1]) : NAN);
    }
    return m;
  }
  static BalanceOptions many(BalanceMethod method) {
    BalanceOptions options = options_of(method);
    options.window = 5;
    options.decay = {{"t3", 0.9}};
    return options;
  }
};

TEST_P(EveryMethod, ManyTasksWithMissingLabelsStayFiniteAndSumToTheirNumber) {
  TaskWeights weights(many(GetParam()), make_tasks(128), 1);
  for (std::uint64_t step = 0; step < 600; ++step) {
    const Measures m = draw(step, 128);
    weights.add(m.losses, 0.7, m.norms, m.figures);
    ASSERT_NEAR(sum(weights.weights()), 128, 1e-6);
    for (const double weight : weights.weights()) {
      ASSERT_TRUE(std::isfinite(weight));
      ASSERT_GT(weight, 0);
    }
  }
}

TEST_P(EveryMethod, ComesBackBitForBitInTheMiddleOfAStep) {
  const BalanceOptions options = many(GetParam());
  TaskWeights one(options, make_tasks(9), 1);
  for (std::uint64_t step = 0; step < 101; ++step) {
    const Measures m = draw(step, 9);
    one.add(m.losses, 0.4, m.norms, m.figures);
  }
  ByteWriter writer;
  one.save(writer);
  TaskWeights two(options, make_tasks(9), 1);
  ByteReader reader(writer.bytes());
  two.restore(reader);
  EXPECT_TRUE(reader.at_end());
  for (std::uint64_t step = 101; step < 160; ++step) {
    const Measures m = draw(step, 9);
    for (TaskWeights* of : {&one, &two}) of->add(m.losses, 0.4, m.norms, m.figures);
    ASSERT_EQ(copy(one.weights()), copy(two.weights())) << step;
  }
  TaskWeights three(options, make_tasks(9), 1);
  ByteReader short_reader(std::string_view(writer.bytes()).substr(0, writer.size() - 1));
  EXPECT_THROW(three.restore(short_reader), StateError);
}

TEST_P(EveryMethod, TheFirstStepsAreAtFixedWeights) {
  BalanceOptions options = many(GetParam());
  options.warmup_steps = 20;
  options.weights = {{"t0", 3}};
  if (GetParam() == BalanceMethod::kFixed) options.decay.clear();
  TaskWeights weights(options, make_tasks(5), 1);
  for (std::uint64_t step = 0; step < 20; ++step) {
    ASSERT_NEAR(weights.weights()[0], 15.0 / 7, 1e-12) << step;
    ASSERT_NEAR(weights.weights()[1], 5.0 / 7, 1e-12) << step;
    const Measures m = draw(step, 5);
    weights.add(m.losses, 1, m.norms, m.figures);
  }
  EXPECT_EQ(std::abs(weights.weights()[0] - 15.0 / 7) < 1e-9, GetParam() == BalanceMethod::kFixed);
}

// Tasks carried over keep what is known of them, a new one starts as in a new model.
TEST_P(EveryMethod, CarriesTasksOverToAnotherSet) {
  const BalanceOptions options = many(GetParam());
  TaskWeights old(options, make_tasks(4), 1);
  for (std::uint64_t step = 0; step < 50; ++step) {
    const Measures m = draw(step, 4);
    old.add(m.losses, 1, m.norms, m.figures);
  }
  ByteWriter writer;
  old.save(writer);
  const std::vector<Task> all = make_tasks(6);
  const std::vector<Task> wanted{all[2], all[5], all[0]};
  const std::string moved = TaskWeights::migrate(writer.bytes(), options, 4, wanted, {2, -1, 0});
  TaskWeights now(options, wanted, 1);
  ByteReader reader(moved);
  now.restore(reader);
  EXPECT_TRUE(reader.at_end());
  EXPECT_NEAR(sum(now.weights()), 3, 1e-6);
  const bool by_task =
      GetParam() != BalanceMethod::kRandom && GetParam() != BalanceMethod::kUncertainty;
  if (by_task) {  // Uncertainty's floor, and its clamp, are of another set.
    EXPECT_NEAR(now.weights()[0] / now.weights()[2], old.weights()[2] / old.weights()[0], 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod,
                         ::testing::Values(BalanceMethod::kFixed, BalanceMethod::kUncertainty,
                                           BalanceMethod::kGradnorm, BalanceMethod::kDwa,
                                           BalanceMethod::kDtp, BalanceMethod::kPerformance,
                                           BalanceMethod::kRandom),
                         [](const auto& test) { return std::string(choice_name(test.param)); });

// Four quarters of a batch are the batch.
TEST(TaskWeights, PartialBatchesSumToOneStep) {
  TaskWeights whole(BalanceOptions{}, make_tasks(), 1), parts(BalanceOptions{}, make_tasks(), 1);
  for (int i = 0; i < 20; ++i) {
    whole.add(std::vector<TaskLoss>{{8, 16}, {24, 8}, {2, 2}}, 1);
    const std::vector<double> initial = copy(parts.weights());
    for (int quarter = 0; quarter < 4; ++quarter) {
      EXPECT_EQ(copy(parts.weights()), initial);
      EXPECT_EQ(parts.completes(0.25), quarter == 3);
      parts.add(
          std::vector<TaskLoss>{
              {2, 4}, {6, 2}, {quarter == 2 ? 2.0 : 0.0, quarter == 2 ? 2.0 : 0.0}},
          0.25);
    }
    ASSERT_EQ(whole.steps(), parts.steps());
    for (std::size_t k = 0; k < 3; ++k) ASSERT_DOUBLE_EQ(whole.weights()[k], parts.weights()[k]);
  }
}

}  // namespace
}  // namespace millrace
