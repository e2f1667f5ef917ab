// Heads of every kind, from labels to what is served: chains of four tasks, over the entire space
// or on their condition's rows, counts, durations and Huber's loss learn what is known to be true.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>

#include "learner/publish/score_formula.h"
#include "learner/publish/scorer.h"
#include "learner/train/trainer.h"

namespace millrace {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
enum TaskIndex { kClick, kCart, kBuy, kReturn, kItems, kWatch, kPrice, kTasks };

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

/// click → cart → buy → return; bit k of `entire`: whether task k is over the entire space.
Schema schema_of(unsigned entire) {
  Feature x;
  x.name = "x";
  x.kind = FeatureKind::kDense;
  x.width = 2;
  std::vector<Task> tasks(kTasks);
  const char* const names[] = {"click", "cart", "buy", "return_", "items", "watch", "price"};
  for (std::size_t k = 0; k < kTasks; ++k) tasks[k].name = names[k];
  for (const int k : {kCart, kBuy, kReturn}) {
    tasks[static_cast<std::size_t>(k)].given = k - 1;
    tasks[static_cast<std::size_t>(k)].entire_space = (entire >> k & 1U) != 0;
  }
  tasks[kItems].kind = TaskKind::kCount;
  tasks[kItems].given = kClick;
  tasks[kWatch].kind = TaskKind::kDuration;
  tasks[kWatch].given = kClick;
  tasks[kPrice].kind = TaskKind::kRegression;
  tasks[kPrice].loss = RegressionLoss::kHuber;
  tasks[kPrice].delta = 0.5;
  return Schema({x}, tasks);
}

struct Truth {
  explicit Truth(const double* x)
      : click(sigmoid(0.5 + x[0])),
        cart(sigmoid(0.2 + x[1])),
        buy(sigmoid(0.4 - x[0])),
        returned(sigmoid(-0.3 + 0.8 * x[1])),
        items(std::exp(0.4 + 0.5 * x[0])),
        watch(2 + x[1]),
        price(3 + 2 * x[0]) {}
  double click, cart, buy, returned, items, watch, price;
};

class Source {
 public:
  Source(const Schema& schema, std::uint64_t seed) : schema_(schema), random_(seed) {}

  Batch next(int rows) {
    Batch batch = empty_batch(schema_, Stream::kMatured);
    batch.rows = rows;
    for (int i = 0; i < rows; ++i) add_row(batch);
    time_ += 250;
    batch.due = {time_};
    return batch;
  }

 private:
  bool happens(double p) { return std::uniform_real_distribution<double>()(random_) < p; }

  // As the join would have it: what a condition decided is 0 over the entire space, else missing.
  void add_row(Batch& batch) {
    std::normal_distribution<double> normal;
    const double x[] = {normal(random_), normal(random_)};
    for (const double value : x) batch.dense.push_back(static_cast<float>(value));
    const Truth truth(x);
    bool so_far = true;
    const double chain[] = {truth.click, truth.cart, truth.buy, truth.returned};
    std::uint8_t holds[kTasks];
    for (std::size_t k = 0; k <= kReturn; ++k) {
      holds[k] = so_far ? 1 : 0;
      const bool is_known = so_far || schema_.tasks()[k].entire_space;
      so_far = so_far && happens(chain[k]);
      batch.labels.push_back(!is_known ? kMissing : so_far ? 1.0F : 0.0F);
    }
    const bool click = batch.labels[batch.labels.size() - 4] > 0.5F;
    std::poisson_distribution<int> items(truth.items);
    const double watch = std::max(0.0, truth.watch + 0.1 * normal(random_));
    // One price in twenty is nonsense: a mean follows it, Huber's loss hardly.
    const double price = truth.price + 0.1 * normal(random_) + (happens(0.05) ? 40 : 0);
    batch.labels.push_back(click ? static_cast<float>(items(random_)) : kMissing);
    batch.labels.push_back(click ? static_cast<float>(watch) : kMissing);  // transformed
    batch.labels.push_back(static_cast<float>(price));
    holds[kItems] = holds[kWatch] = click ? 1 : 0;
    holds[kPrice] = 1;
    batch.condition.insert(batch.condition.end(), holds, holds + kTasks);
    batch.weights.push_back(1);
    batch.users.push_back(0);
  }

  const Schema& schema_;
  std::mt19937_64 random_;
  std::int64_t time_ = 1'764'000'000'000;
};

LearnerOptions options() {
  LearnerOptions options;
  options.train.batch = 64;
  options.model.experts = 2;
  options.model.expert_layers = {16};
  options.model.tower_layers = {8};
  return options;
}

// What is served: each task given its conditions, near its truth; a formula multiplies them.
void check_served(const Schema& schema, Trainer& trainer, const TrainerReport& report) {
  ServingModel serving(schema);
  serving.apply(trainer.publish(), {1, 1});
  Scorer scorer(schema, options().model);
  Batch context = empty_batch(schema, Stream::kMatured), rows = context;
  context.rows = 1;
  context.dense = {0, 0};
  const std::vector<double> places{-1, 0, 1};
  for (const double a : places) {
    for (const double b : places) {
      rows.dense.insert(rows.dense.end(), {static_cast<float>(a), static_cast<float>(b)});
      ++rows.rows;
    }
  }
  Scores scores;
  scorer.score(serving, context, rows, scores);
  std::vector<std::string> names;
  for (const Task& task : schema.tasks()) names.push_back(task.name);
  const auto formula = ScoreFormula::parse("click * cart * buy * return_ + 0 * items", names);
  ASSERT_TRUE(formula);
  for (int i = 0; i < rows.rows; ++i) {
    const float* value = scores.values.data() + std::ptrdiff_t{i} * kTasks;
    const double x[] = {double{rows.dense[static_cast<std::size_t>(2 * i)]},
                        double{rows.dense[static_cast<std::size_t>(2 * i + 1)]}};
    const Truth truth(x);
    const double chain[] = {truth.click, truth.cart, truth.buy, truth.returned};
    double product = 1;
    for (std::size_t k = 0; k <= kReturn; ++k) {
      EXPECT_NEAR(value[k], chain[k], 0.12) << k;
      product *= double{value[k]};
    }
    EXPECT_NEAR(formula->evaluate({value, kTasks}), product, 1e-6);
    EXPECT_NEAR(value[kItems] / truth.items, 1, 0.25);
    // Durations and prices are served in the label's units, within what was seen.
    EXPECT_NEAR(std::log1p(double{value[kWatch]}), truth.watch, 0.25);
    EXPECT_NEAR(value[kPrice], truth.price, 0.6);
  }
  EXPECT_FALSE(report.tasks[kItems].binary);
  EXPECT_EQ(report.tasks[kItems].kind, TaskKind::kCount);
  EXPECT_GT(*report.tasks[kItems].last_fifth.rmse, 0);
}

TEST(Heads, LearnWhatIsTrueWhateverTheChain) {
  for (const unsigned entire : {0b1110U, 0b1000U, 0b0110U, 0b0000U}) {
    const Schema schema = schema_of(entire);
    Trainer trainer("m", schema, options());
    Source source(schema, 3);
    for (int i = 0; i < 4000; ++i) trainer.train(source.next(64));

    const TrainerReport report = trainer.report();
    for (std::size_t k = 0; k <= kReturn; ++k) {
      const TaskReport& task = report.tasks[k];
      EXPECT_NEAR(*task.last_fifth.calibration, 1, 0.05) << entire << ' ' << k;
      const bool product = k > 0 && schema.tasks()[k].entire_space;
      ASSERT_EQ(task.entire.has_value(), product);
      if (!product) continue;
      EXPECT_NEAR(*task.entire->last_fifth.calibration, 1, 0.05) << entire << ' ' << k;
      EXPECT_GT(*task.entire->last_fifth.auc, 0.6);
      EXPECT_GT(task.entire->last_fifth.rows, task.last_fifth.rows);
      // Of the same impressions the tower's own rate and that by division are one.
      const bool everywhere = k == 1 || schema.tasks()[k - 1].entire_space;
      ASSERT_EQ(task.by_division.has_value(), everywhere) << entire << ' ' << k;
      if (!everywhere) continue;
      const Division& division = task.by_division->last_fifth;
      EXPECT_NEAR(*division.observed / *task.last_fifth.label_mean, 1, 0.02) << entire << ' ' << k;
      EXPECT_NEAR(*division.predicted / *task.last_fifth.prediction_mean, 1, 0.05)
          << entire << ' ' << k;
    }

    check_served(schema, trainer, report);
  }
}

}  // namespace
}  // namespace millrace
