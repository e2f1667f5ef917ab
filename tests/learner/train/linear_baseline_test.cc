// The linear baseline is what it says: logistic regressions by Adagrad over the declared inputs,
// each step scored first, on the rows on which a model is measured. The oracle is the same
// mathematics in plain loops, in double, with a map from (feature, key) to a weight.
#include "learner/train/linear_baseline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "tests/learner/train/stream.h"

namespace millrace {
namespace {

struct Measured {
  std::size_t task, rate;
  Measurement row;
  std::uint64_t user;
};

struct Weight {
  double w = 0, n = 0.1, g = 0;
};

// One regression: one task, one rate. Inputs are named by (feature, key or element).
class Oracle {
 public:
  Oracle(const Schema& schema, int task, double rate, bool whole_batches)
      : schema_(schema), task_(task), rate_(rate), whole_(whole_batches) {}

  std::vector<double> logits;  // of the measured rows

  void train(const Batch& batch) {
    const int step = whole_ ? batch.rows : 1;
    for (int first = 0; first < batch.rows; first += step) {
      std::vector<std::map<std::pair<int, std::uint64_t>, double>> x;
      const double scored_from = offset_;
      std::vector<double> z;
      for (int r = first; r < first + step; ++r) {
        x.push_back(inputs(batch, r));
        z.push_back(offset_);
        for (const auto& [name, value] : x.back()) z.back() += value * weights_[name].w;
        if (known(batch, r)) logits.push_back(z.back());
      }
      for (int r = first; r < first + step; ++r) {
        if (batch.weights[at(r)] == 0 || !known(batch, r) || labels_ >= 1'000) continue;
        ++labels_;
        weight_ += batch.weights[at(r)];
        positives_ += double{batch.weights[at(r)]} * label(batch, r);
        offset_ = std::log((positives_ + 0.5) / (weight_ - positives_ + 0.5));
      }
      for (int r = first; r < first + step; ++r) {
        if (!known(batch, r)) continue;
        const double p = 1 / (1 + std::exp(-(z[at(r - first)] + offset_ - scored_from)));
        const double slope = batch.weights[at(r)] * (p - label(batch, r));
        for (const auto& [name, value] : x[at(r - first)]) weights_[name].g += slope * value;
      }
      for (auto& [name, weight] : weights_) {
        weight.n += weight.g * weight.g;
        weight.w -= rate_ * weight.g / std::sqrt(weight.n);
        weight.g = 0;
      }
      for (int r = first; r < first + step; ++r) {
        if (batch.weights[at(r)] == 0) continue;
        for (int i = 0; i < 3; ++i) {
          const double value = number(batch, r, i);
          if (std::isnan(value)) continue;
          ++count_[i], sum_[i] += value, squares_[i] += value * value;
        }
      }
    }
  }

 private:
  static std::size_t at(int r) { return static_cast<std::size_t>(r); }
  std::size_t cell(int r) const { return at(r) * schema_.tasks().size() + at(task_); }
  bool known(const Batch& batch, int r) const {
    return !std::isnan(batch.labels[cell(r)]) && batch.condition[cell(r)] == 1;
  }
  double label(const Batch& batch, int r) const { return batch.labels[cell(r)]; }
  // price, then the two elements of taste
  static double number(const Batch& batch, int r, int i) {
    return i == 0 ? batch.numeric[at(r)] : batch.dense[2 * at(r) + at(i - 1)];
  }
  std::map<std::pair<int, std::uint64_t>, double> inputs(const Batch& batch, int r) const {
    std::map<std::pair<int, std::uint64_t>, double> x;
    x[{-1, 0}] = 1;
    for (int i = 0; i < 3; ++i) {
      const double value = number(batch, r, i), n = count_[i];
      const double mean = n > 0 ? sum_[i] / n : 0,
                   variance = n > 0 ? squares_[i] / n - mean * mean : 0;
      if (std::isnan(value) || variance < 1e-9) continue;
      x[{-2, static_cast<std::uint64_t>(i)}] =
          std::clamp((value - mean) / std::sqrt(variance), -8.0, 8.0);
    }
    for (int c = 0; c < 2; ++c) {
      const std::uint64_t key = batch.columns[at(c)].keys[at(r)];
      if (key != kMissingKey) x[{c, key}] = 1;
    }
    const KeyColumn& seen = batch.columns[2];
    const std::size_t begin = r == 0 ? 0 : seen.ends[at(r - 1)], end = seen.ends[at(r)];
    for (std::size_t i = begin; i < end; ++i) {
      x[{2, seen.keys[i]}] += 1.0 / static_cast<double>(end - begin);
    }
    return x;
  }

  const Schema& schema_;
  const int task_;
  const double rate_;
  const bool whole_;
  std::map<std::pair<int, std::uint64_t>, Weight> weights_;
  double labels_ = 0, weight_ = 0, positives_ = 0, offset_ = 0;
  double count_[3] = {}, sum_[3] = {}, squares_[3] = {};
};

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

std::vector<Measured> measured(LinearBaseline& baseline, const std::vector<Batch>& batches) {
  std::vector<Measured> all;
  baseline.observe(
      [&](std::size_t task, std::size_t rate, const Measurement& row, std::uint64_t user) {
        all.push_back({task, rate, row, user});
      });
  for (const Batch& batch : batches) baseline.train(batch);
  return all;
}

std::vector<Batch> draw(int count, int rows) {
  stream::Source source(schema(), 5);
  std::vector<Batch> batches;
  for (int i = 0; i < count; ++i) batches.push_back(source.next(rows - i % 3));
  return batches;
}

class LinearBaselineOracle : public ::testing::TestWithParam<bool> {};

TEST_P(LinearBaselineOracle, EveryLogitIsThatOfPlainLoops) {
  const std::vector<float> rates{0.05F, 0.4F};
  LinearBaseline baseline(schema(), {.rates = rates, .whole_batches = GetParam()});
  ASSERT_THAT(baseline.tasks(),
              ::testing::ElementsAre(stream::kClick, stream::kCart, stream::kBuy, stream::kLike));
  const std::vector<Batch> batches = draw(60, 24);
  const std::vector<Measured> all = measured(baseline, batches);
  for (std::size_t k = 0; k < baseline.tasks().size(); ++k) {
    for (std::size_t rate = 0; rate < rates.size(); ++rate) {
      Oracle oracle(schema(), baseline.tasks()[k], rates[rate], GetParam());
      for (const Batch& batch : batches) oracle.train(batch);
      std::vector<double> logits;
      for (const Measured& m : all) {
        if (m.task == k && m.rate == rate) logits.push_back(m.row.logit);
      }
      ASSERT_EQ(logits.size(), oracle.logits.size());
      EXPECT_GT(logits.size(), 50U);
      for (std::size_t i = 0; i < logits.size(); ++i) {
        ASSERT_NEAR(logits[i], oracle.logits[i], 2e-4) << "task " << k << ", row " << i;
      }
    }
  }
  // A row without any label is no step.
  EXPECT_GT(baseline.steps(), GetParam() ? 59U : 1'000U);
  EXPECT_LE(baseline.steps(), GetParam() ? 60U : 60U * 23);
  EXPECT_EQ(baseline.left_out(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Steps, LinearBaselineOracle, ::testing::Bool());

// The measured rows are a model's own, with their weights and labels.
TEST(LinearBaseline, MeasuresTheRowsThatAModelMeasures) {
  std::vector<Batch> batches = draw(10, 32);
  for (Batch& batch : batches) {
    batch.weights[3] = 0;  // of a user who has had too much: measured, not learned
    batch.measure_weights.assign(batch.weights.size(), 4);
  }
  batches[5].paused = true;
  LearnerOptions options = stream::options();
  Trainer trainer("m", schema(), options);
  std::map<int, std::vector<double>> of_model, of_baseline;
  trainer.observe([&](int task, const Measurement& row, std::uint64_t) {
    for (const double value : {row.weight, row.label}) of_model[task].push_back(value);
  });
  for (const Batch& batch : batches) trainer.train(batch);
  of_model.erase(stream::kDwell);
  LinearBaseline baseline(schema(), {.rates = {0.1F}});
  for (const Measured& m : measured(baseline, batches)) {
    for (const double value : {m.row.weight, m.row.label}) {
      of_baseline[baseline.tasks()[m.task]].push_back(value);
    }
  }
  EXPECT_EQ(of_baseline, of_model);
}

// Rows that weigh nothing, and those of a pause, leave no trace.
TEST(LinearBaseline, WhatIsNotLearnedLeavesNoTrace) {
  const std::vector<Batch> batches = draw(12, 24);
  LinearBaseline without(schema(), {.rates = {0.1F}});
  const std::vector<Measured> expected = measured(without, batches);
  std::vector<Batch> more;
  stream::Source other(schema(), 77);
  for (const Batch& batch : batches) {
    Batch weightless = other.next(24), paused = other.next(24);
    std::fill(weightless.weights.begin(), weightless.weights.end(), 0.0F);
    paused.paused = true;
    more.push_back(weightless);
    more.push_back(paused);
    more.push_back(batch);
  }
  LinearBaseline with(schema(), {.rates = {0.1F}});
  std::vector<Measured> all;
  std::size_t batch = 0;
  with.observe([&](std::size_t task, std::size_t rate, const Measurement& row, std::uint64_t user) {
    if (batch % 3 == 2) all.push_back({task, rate, row, user});
  });
  for (; batch < more.size(); ++batch) with.train(more[batch]);
  ASSERT_EQ(all.size(), expected.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i].row.logit, expected[i].row.logit) << i;
  }
  EXPECT_EQ(with.keys(), without.keys());
}

TEST(LinearBaseline, NegativesThatWereSampledShiftTheMeasuredLogitAlone) {
  std::vector<Task> tasks = stream::tasks();
  tasks[stream::kClick].logit_shift = -1.5;
  const Schema shifted(stream::features(), tasks);
  const std::vector<Batch> batches = draw(6, 24);
  LinearBaseline plain(schema(), {.rates = {0.1F}}), other(shifted, {.rates = {0.1F}});
  const std::vector<Measured> a = measured(plain, batches), b = measured(other, batches);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_DOUBLE_EQ(b[i].row.logit, a[i].row.logit - (a[i].task == 0 ? 1.5 : 0));
  }
}

// Full: what is known goes on being learned, what is new gets nothing and is counted.
TEST(LinearBaseline, KeysAreBoundedByTheMemory) {
  LinearBaseline baseline(schema(), {.rates = {0.1F}, .memory_bytes = 40 * (8 * 4 + 30)});
  const std::vector<Measured> all = measured(baseline, draw(20, 32));
  EXPECT_EQ(baseline.keys(), 40U);
  EXPECT_GT(baseline.left_out(), 100U);
  for (const Measured& m : all) EXPECT_TRUE(std::isfinite(m.row.logit));
}

TEST(LinearBaseline, TasksWhoseLabelsAreLearnedEarlyHaveNone) {
  const Schema early(stream::features(), stream::tasks(FeedbackPolicy::kFnw));
  EXPECT_THAT(LinearBaseline::tasks_of(early),
              ::testing::ElementsAre(stream::kCart, stream::kBuy, stream::kLike));
}

}  // namespace
}  // namespace millrace
