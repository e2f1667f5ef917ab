// How much labels count in what is learned: classes that weigh and are corrected for end where all
// labels would have; task weights keep their sum; a curriculum lets tasks in by the data alone.
#include "learner/train/label_tools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numeric>
#include <random>

#include "learner/math/loss.h"
#include "learner/train/task_losses.h"
#include "learner/train/trainer.h"
#include "tests/support/numeric.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
enum TaskIndex { kView, kBuy, kSpent, kTasks };

const Schema& schema() {
  static const Schema schema = [] {
    Feature x;
    x.name = "x";
    x.kind = FeatureKind::kDense;
    x.width = 3;
    std::vector<Task> tasks(kTasks);
    tasks[kView].name = "view";
    tasks[kBuy].name = "buy";
    tasks[kBuy].given = kView;
    tasks[kBuy].entire_space = true;
    tasks[kSpent].name = "spent";
    tasks[kSpent].kind = TaskKind::kCount;
    tasks[kSpent].given = kView;
    return Schema({x}, tasks);
  }();
  return schema;
}

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

/// Rows whose probabilities are known: few views, and few of those buy.
class Source {
 public:
  explicit Source(std::uint64_t seed) : random_(seed) {}

  Batch next(int rows) {
    Batch batch = empty_batch(schema(), Stream::kMatured);
    batch.rows = rows;
    std::uniform_real_distribution<double> unit;
    std::normal_distribution<double> normal;
    for (int i = 0; i < rows; ++i) {
      double x[3];
      for (double& value : x) batch.dense.push_back(static_cast<float>(value = normal(random_)));
      const bool view = unit(random_) < sigmoid(-2.5 + x[0] + 0.5 * x[1]);
      const bool buy = view && unit(random_) < sigmoid(-1 + x[2]);
      std::poisson_distribution<int> spent(std::exp(0.5 * x[1]));
      const float count = static_cast<float>(spent(random_));
      for (const float label : {view ? 1.0F : 0.0F, buy ? 1.0F : 0.0F, view ? count : kMissing}) {
        batch.labels.push_back(label);
      }
      for (const bool holds : {true, view, view}) batch.condition.push_back(holds);
      batch.weights.push_back(1);
      batch.users.push_back(0);
    }
    time_ += 250;
    batch.due = {time_};
    return batch;
  }

 private:
  std::mt19937_64 random_;
  std::int64_t time_ = 1'764'000'000'000;
};

LearnerOptions options() {
  LearnerOptions options;
  options.train.batch = 64;
  options.model.experts = 2;
  options.model.expert_layers = {8};
  options.model.tower_layers = {};
  return options;
}

TrainerReport report_of(const LearnerOptions& options, int batches) {
  Trainer trainer("m", schema(), options);
  Source source(5);
  for (int i = 0; i < batches; ++i) trainer.train(source.next(64));
  return trainer.report();
}

// Fewer zeros in the loss, and what is served is calibrated as if all weighed alike.
TEST(LabelTools, ARatioKeepsTheCalibration) {
  LearnerOptions balanced = options();
  balanced.train.labels.ratio = {{"view", 1}, {"buy", 2}};
  const TrainerReport with = report_of(balanced, 3000), without = report_of(options(), 3000);
  for (const int k : {kView, kBuy}) {
    const auto at = static_cast<std::size_t>(k);
    EXPECT_NEAR(*with.tasks[at].last_fifth.calibration, 1, 0.08) << k;
    EXPECT_NEAR(*without.tasks[at].last_fifth.calibration, 1, 0.08) << k;
    EXPECT_NEAR(*with.tasks[at].last_fifth.log_loss, *without.tasks[at].last_fifth.log_loss, 0.01);
  }
  EXPECT_NEAR(*with.tasks[kBuy].entire->last_fifth.calibration, 1, 0.08);
  // Rows and positives are those of all labels.
  EXPECT_EQ(with.tasks[kView].all.rows, without.tasks[kView].all.rows);
  EXPECT_EQ(with.tasks[kView].all.positives, without.tasks[kView].all.positives);
}

TEST(LabelTools, ClassWeightsHaveTheRatioAndTheMeanOne) {
  LabelOptions ratio;
  ratio.ratio = {{"view", 1.5}};
  LabelTools tools(schema(), ratio);
  Source source(1);
  double rows = 0, views = 0;
  for (int i = 0; i < 200; ++i) {
    const Batch batch = source.next(50);
    tools.add(batch);
    rows += 50;
    for (int r = 0; r < 50; ++r) views += double{batch.labels[static_cast<std::size_t>(r * 3)]};
  }
  tools.begin(0);
  const ClassWeights view = tools.classes()[kView];
  const double share = views / rows, rate = 1.5 * share / (1 - share);
  EXPECT_NEAR(view.negative / view.positive, rate, 1e-3);
  EXPECT_NEAR(view.positive * share + view.negative * (1 - share), 1, 1e-3);
  EXPECT_DOUBLE_EQ(view.shift, -std::log(view.negative / view.positive));
  EXPECT_FALSE(tools.classes()[kBuy].any());
  // Where there are few enough already, nothing happens.
  ratio.ratio = {{"view", 100}};
  LabelTools idle(schema(), ratio);
  idle.add(source.next(64));
  idle.begin(0);
  EXPECT_EQ(idle.classes()[kView].positive, 1);
  EXPECT_EQ(idle.classes()[kView].negative, 1);
  EXPECT_FALSE(idle.classes()[kView].any());
}

// The loss of the shifted logit, of z and of the product: slopes against finite differences.
TEST(LabelTools, SlopesAreThoseOfTheShiftedLoss) {
  const std::vector<ClassWeights> classes{{2, 0.5, std::log(4.0)}, {3, 0.3, std::log(10.0)}, {}};
  constexpr int kRows = 12;
  Source source(3);
  const Batch batch = source.next(kRows);
  const Matrix<float> z(kRows, kTasks, 4);
  Matrix<float> dz(kRows, kTasks);
  FeedbackHeads heads(schema(), FeedbackOptions{}, 3, kRows, 1, kRows, 1);
  heads.begin(batch, std::vector<std::uint8_t>(kTasks, 1));
  TaskLosses losses(schema(), kRows);
  losses.begin(batch, classes);
  const std::vector<double> scale{0.7, 1.3, 0};
  losses.run(0, z.view(), scale, heads, dz.view());
  double sums[2] = {0, 0};
  for (int i = 0; i < kRows; ++i) {
    std::vector<double> at{double{z(i, 0)}, double{z(i, 1)}, 0};
    const auto loss = [&](std::size_t k) {
      const double q = sigmoid(at[0]) * (k == kBuy ? sigmoid(at[1]) : 1);
      const double p = sigmoid(std::log(q / (1 - q)) + classes[k].shift);
      const double y = double{batch.labels[static_cast<std::size_t>(i * kTasks) + k]};
      return (y > 0.5 ? classes[k].positive : classes[k].negative) *
             -(y * std::log(p) + (1 - y) * std::log(1 - p));
    };
    const auto expected =
        slopes(at, [&] { return scale[0] * loss(kView) + scale[1] * loss(kBuy); });
    EXPECT_NEAR(dz(i, 0), expected[0], 1e-5);
    EXPECT_NEAR(dz(i, 1), expected[1], 1e-5);
    sums[0] += loss(kView), sums[1] += loss(kBuy);
    // What is measured knows nothing of it.
    EXPECT_NEAR(losses.loss(i, kView),
                math::bce(at[0], double{batch.labels[static_cast<std::size_t>(i * kTasks)]}).value,
                1e-9);
  }
  EXPECT_NEAR(losses.sums()[kView].sum, sums[0], 1e-6);
  EXPECT_NEAR(losses.sums()[kBuy].sum, sums[1], 1e-6);
}

TEST(LabelTools, TaskWeightsKeepTheirSum) {
  LabelOptions rare;
  rare.effective_count = 0.999;
  rare.oversample = {{"spent", 4}};
  LabelTools tools(schema(), rare);
  Source source(2);
  double labels[kTasks] = {0, 0, 0};
  for (int i = 0; i < 40; ++i) {
    const Batch batch = source.next(50);
    tools.add(batch);
    for (std::size_t cell = 0; cell < batch.labels.size(); ++cell) {
      const float label = batch.labels[cell];
      if (!std::isnan(label)) labels[cell % 3] += cell % 3 == kSpent ? 1 : double{label};
    }
  }
  const std::vector<double> omega{0.6, 1.5, 0.9};
  std::vector<double> weighed;
  tools.weigh(omega, weighed);
  EXPECT_NEAR(weighed[0] + weighed[1] + weighed[2], 3, 1e-12);
  const auto rarity = [&](int k) { return 0.001 / (1 - std::pow(0.999, labels[k])); };
  EXPECT_NEAR(weighed[kBuy] / weighed[kView], 1.5 / 0.6 * rarity(kBuy) / rarity(kView), 1e-9);
  EXPECT_NEAR(weighed[kSpent] / weighed[kView], 4 * 0.9 / 0.6 * rarity(kSpent) / rarity(kView),
              1e-9);
  LabelTools(schema(), {}).weigh(omega, weighed);
  EXPECT_EQ(weighed, omega);
}

TEST(LabelTools, ACurriculumLetsBigTasksInFirst) {
  LabelOptions in_turn;
  in_turn.curriculum.labels = 100;
  LabelTools tools(schema(), in_turn);
  Source source(4);
  tools.begin(0);
  EXPECT_THAT(tools.joined(), ::testing::ElementsAre(0, 0, 0));
  tools.add(source.next(64));
  tools.begin(1);  // as many counts of what was spent as views, and fewer bought
  EXPECT_THAT(tools.joined(), ::testing::ElementsAre(1, 0, 1));
  int batches = 1;
  for (; tools.joined()[kBuy] == 0 && batches < 100; ++batches) {
    tools.add(source.next(64));
    tools.begin(1);
  }
  EXPECT_GT(batches, 20);
  EXPECT_LT(batches, 100);

  LabelOptions by_step;
  by_step.curriculum.steps = {{"buy", 2.5}};
  LabelTools steps(schema(), by_step);
  steps.begin(2.4);
  EXPECT_THAT(steps.joined(), ::testing::ElementsAre(1, 0, 1));
  steps.begin(2.5);
  EXPECT_THAT(steps.joined(), ::testing::ElementsAre(1, 1, 1));
}

// Nothing of a task that has not joined is learned: its weight changes no bit of what is.
TEST(LabelTools, ATaskThatHasNotJoinedIsMeasuredAlone) {
  LearnerOptions late = options(), missing = options();
  late.balance.method = missing.balance.method = BalanceMethod::kFixed;
  late.train.labels.curriculum.steps = {{"buy", 1e9}};
  Trainer with("m", schema(), late), without("m", schema(), missing);
  Source source(6);
  for (int i = 0; i < 30; ++i) {
    Batch batch = source.next(64);
    with.train(batch);
    for (std::size_t r = 0; r < 64; ++r) batch.labels[r * kTasks + kBuy] = kMissing;
    without.train(batch);
  }
  EXPECT_EQ(with.publish().dense->parameters, without.publish().dense->parameters);
  EXPECT_EQ(with.report().tasks[kBuy].all.rows > 0, true);
  EXPECT_FALSE(with.report().tasks[kBuy].loss);
}

TEST(LabelTools, ARestartChangesNoBit) {
  LearnerOptions all = options();
  all.train.labels.ratio = {{"view", 2}, {"buy", 3}};
  all.train.labels.oversample = {{"buy", 2}};
  all.train.labels.effective_count = 0.99;
  all.train.labels.curriculum = {60, {{"spent", 7.5}}};
  all.train.dense.schedule = {.shape = ScheduleShape::kCosine, .warmup = 5, .length = 20};
  Source source(7);
  std::vector<Batch> batches;
  for (int i = 0; i < 60; ++i) batches.push_back(source.next(i % 3 == 0 ? 17 : 64));
  Trainer whole("m", schema(), all);
  auto trainer = std::make_unique<Trainer>("m", schema(), all);
  StateLog log, undisturbed;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    whole.train(batches[i]);
    trainer->train(batches[i]);
    if (i % 9 != 4) continue;
    log.commit(*trainer);
    trainer = std::make_unique<Trainer>("m", schema(), all);
    log.restore(*trainer);
  }
  log.commit(*trainer);
  undisturbed.commit(whole);
  EXPECT_THAT(differences(log.digested(), undisturbed.digested()), ::testing::IsEmpty());
}

}  // namespace
}  // namespace millrace
