// From a batch to x and back: every kind of feature at its columns, neutral where it is missing;
// gradients against finite differences; the order in which a key's gradients add up; statistics
// from before the batch; when rows expire.
#include "learner/layers/input_layer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/support/numeric.h"

namespace millrace {
namespace {

Feature keys(std::string name, int dimension, std::string table = {}) {
  Feature feature;
  feature.name = std::move(name);
  feature.dimension = dimension;
  feature.table = std::move(table);
  return feature;
}
Feature bag(std::string name, int dimension, Pooling pooling, std::string table = {}) {
  Feature feature = keys(std::move(name), dimension, std::move(table));
  feature.kind = FeatureKind::kBag;
  feature.pooling = pooling;
  return feature;
}
Feature number(std::string name, bool standardize) {
  Feature feature;
  feature.name = std::move(name);
  feature.kind = FeatureKind::kNumeric;
  feature.standardize = standardize;
  return feature;
}
Feature vector(std::string name, int width) {
  Feature feature;
  feature.name = std::move(name);
  feature.kind = FeatureKind::kDense;
  feature.width = width;
  return feature;
}

struct InputLayerTest : ::testing::Test {
  // item and seen share a table.
  Schema schema{
      {keys("item", 3, "items"), number("price", true), bag("seen", 3, Pooling::kMean, "items"),
       vector("taste", 2), bag("tags", 2, Pooling::kSum), number("age", false)},
      {Task{"ctr"}}};
  EmbeddingOptions options;
  InputLayer inputs{schema, options, {}, 1};

  Batch batch(int rows, std::uint64_t seed, std::int64_t due = 1'000'000) {
    std::mt19937_64 random(seed);
    Batch b = empty_batch(schema, Stream::kMatured);
    b.rows = rows;
    b.due = {due};
    for (int r = 0; r < rows; ++r) {
      b.columns[0].keys.push_back(random() % 4);
      for (int column : {1, 2}) {
        auto& c = b.columns[static_cast<std::size_t>(column)];
        for (std::uint64_t i = random() % 4; i > 0; --i) c.keys.push_back(1 + random() % 4);
        c.ends.push_back(static_cast<std::uint32_t>(c.keys.size()));
      }
      for (int f = 0; f < 2; ++f) b.numeric.push_back(static_cast<float>(random() % 100) / 7);
      for (int d = 0; d < 2; ++d) b.dense.push_back(static_cast<float>(random() % 100) / 9);
    }
    return b;
  }
  Matrix<float> forward(const Batch& b) {
    inputs.advance(b.due);
    inputs.look_up(b);
    Matrix<float> x(b.rows, schema.inputs());
    inputs.gather(0, x);
    return x;
  }
  const float* row(int table, std::uint64_t key) {
    return inputs.tables()[static_cast<std::size_t>(table)].find(key);
  }
};

TEST_F(InputLayerTest, EveryFeatureStandsAtItsColumns) {
  const Batch b = batch(50, 1);
  const Matrix<float> x = forward(b);
  ASSERT_EQ(x.cols, 3 + 1 + 3 + 2 + 2 + 1);
  for (int r = 0; r < b.rows; ++r) {
    const auto i = static_cast<std::size_t>(r);
    const std::uint64_t item = b.columns[0].keys[i];
    for (int d = 0; d < 3; ++d) EXPECT_EQ(x(r, d), item == 0 ? 0 : row(0, item)[d]);
    EXPECT_EQ(x(r, 3), 0);  // no statistics yet
    for (int column : {1, 2}) {
      const auto& c = b.columns[static_cast<std::size_t>(column)];
      const std::uint32_t first = r == 0 ? 0 : c.ends[i - 1], last = c.ends[i];
      for (int d = 0; d < (column == 1 ? 3 : 2); ++d) {
        double sum = 0;
        for (auto e = first; e < last; ++e) sum += double{row(column - 1, c.keys[e])[d]};
        if (column == 1 && last > first) sum /= last - first;
        EXPECT_NEAR(x(r, (column == 1 ? 4 : 9) + d), sum, 1e-7);
      }
    }
    for (int d = 0; d < 2; ++d)
      EXPECT_EQ(x(r, 7 + d), b.dense[2 * i + static_cast<std::size_t>(d)]);
    EXPECT_EQ(x(r, 11), b.numeric[2 * i + 1]);
  }
  // Any part of the rows gives the same values.
  Matrix<float> part(20, schema.inputs());
  inputs.gather(17, part);
  for (int r = 0; r < 20; ++r) {
    for (int c = 0; c < x.cols; ++c) EXPECT_EQ(part(r, c), x(17 + r, c));
  }
}

TEST_F(InputLayerTest, ABagsMeanDividesByUnknownElementsToo) {
  EmbeddingOptions late;
  late.max_rows = 1;
  InputLayer limited(schema, late, {}, 1);
  Batch b = batch(1, 1);
  b.columns[0].keys = {7};
  b.columns[1].keys = {7, 8, 9, 7};  // 8 and 9 have no row
  b.columns[1].ends = {4};
  limited.look_up(b);
  Matrix<float> x(1, schema.inputs());
  limited.gather(0, x);
  for (int d = 0; d < 3; ++d) EXPECT_NEAR(x(0, 4 + d), 0.5 * double{x(0, d)}, 1e-7);
}

// Σ x ∘ dx over all rows, as a function of one weight: its slope, times the scale, is the gradient
// by which Adagrad moves the row.
TEST_F(InputLayerTest, GradientsMatchFiniteDifferences) {
  const Batch b = batch(30, 2);
  const Matrix<float> dx(b.rows, schema.inputs(), 5);
  forward(b);
  ASSERT_TRUE(inputs.scatter(dx, 30));
  struct Weight {
    float* values;
    float before;
    int dimension;
    double slope;
  };
  std::vector<Weight> weights;
  for (const EmbeddingTable& table : inputs.tables()) {
    const int D = table.shape().dimension;
    ASSERT_GT(table.used().size(), 2U);
    for (std::size_t slot = 0; slot < table.used().size(); ++slot) {
      for (int d = 0; d < D; ++d) {
        float* weight = table.used()[slot].values + d;
        const float before = *weight;
        const auto loss = [&](float value) {
          // Where a batch reads it.
          const_cast<float&>(
              table.weights()[slot * static_cast<std::size_t>(D) + static_cast<std::size_t>(d)]) =
              value;
          Matrix<float> x(b.rows, schema.inputs());
          inputs.gather(0, x);
          double sum = 0;
          for (std::size_t i = 0; i < x.values.size(); ++i) {
            sum += double{x.values[i]} * double{dx.values[i]};
          }
          return sum;
        };
        // Linear, so that a large step is exact.
        weights.push_back({weight, before, D, 30 * (loss(1) - loss(-1)) / 2});
        loss(before);
      }
    }
  }
  inputs.keep();
  for (const auto& [weight, before, D, slope] : weights) {
    // Adagrad's first step: n = g², and the weight moves by the rate.
    EXPECT_NEAR(*(weight + D), slope * slope, 1e-3 * slope * slope + 1e-6);
    const double step = slope == 0 ? 0 : 0.1 * std::copysign(1, slope);
    EXPECT_NEAR(before - *weight, step, 1e-5);
  }
}

// 1e8 + 1 − 1e8 is 1 or 0 by the order of adding: rows come one after another, and within a row the
// features that share a table.
TEST_F(InputLayerTest, AKeysGradientsAddUpInTheOrderOfTheRows) {
  Batch b = batch(3, 3);
  b.columns[0].keys = {7, 7, 7};
  b.columns[1].keys = {7};
  b.columns[1].ends = {0, 1, 1};
  Matrix<float> dx(3, schema.inputs());
  dx(0, 0) = 1e8F;
  dx(1, 0) = 3;      // 1e8 + 3 rounds to 1e8 (the float's step is 8)
  dx(1, 4) = 3;      // so does this: one by one both are lost,
  dx(2, 0) = -1e8F;  // and nothing is left
  forward(b);
  ASSERT_TRUE(inputs.scatter(dx, 1));
  inputs.keep();
  EXPECT_EQ(row(0, 7)[3], 0);
}

TEST_F(InputLayerTest, StatisticsAreFromBeforeTheBatch) {
  std::vector<double> seen;
  for (int i = 0; i < 6; ++i) {
    Batch b = batch(40, 10 + static_cast<std::uint64_t>(i));
    b.numeric[4] = NAN;
    if (i == 5) b.numeric[6] = 1e6F;
    const Matrix<float> x = forward(b);
    double mean = 0, square = 0;
    for (const double v : seen) mean += v / static_cast<double>(seen.size());
    for (const double v : seen)
      square += (v - mean) * (v - mean) / static_cast<double>(seen.size());
    const bool first = seen.empty();
    for (int r = 0; r < b.rows; ++r) {
      const float value = b.numeric[2 * static_cast<std::size_t>(r)];
      if (first || std::isnan(value)) {
        EXPECT_EQ(x(r, 3), 0);
      } else {
        EXPECT_NEAR(x(r, 3), std::clamp((value - mean) / std::sqrt(square), -8.0, 8.0), 1e-4);
      }
      if (!std::isnan(value)) seen.push_back(value);
    }
    if (i == 5) {
      EXPECT_EQ(x(3, 3), 8);
    }
    ASSERT_TRUE(inputs.scatter(Matrix<float>(b.rows, schema.inputs()), 1));
    inputs.keep();
  }
}

TEST(RunningMoments, FadeAfterTheFirstTwentyThousand) {
  RunningMoments moments;
  std::vector<float> values(100'000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i < 50'000 ? -1.0F : 1.0F;
  for (std::size_t i = 0; i < values.size(); i += 500) {
    moments.add(500, [&](int j) { return values[i + static_cast<std::size_t>(j)]; });
  }
  // 50,000 rows of length 20,000 after the change.
  const double faded = std::exp(-50'000 / 20'000.0);
  EXPECT_NEAR(moments.mean(), 1 - 2 * faded, 1e-3);
  EXPECT_NEAR(1 / moments.inverse_deviation(), std::sqrt(1 - std::pow(1 - 2 * faded, 2)), 1e-2);
}

TEST(RunningMoments, AConstantHasNoDeviationAndNonFiniteValuesDoNotCount) {
  RunningMoments moments;
  moments.add(1000, [](int i) { return i % 3 == 0 ? INFINITY : i % 3 == 1 ? NAN : 0.1F; });
  EXPECT_EQ(moments.inverse_deviation(), 0);
  EXPECT_EQ(moments.mean(), 0.1F);
}

TEST_F(InputLayerTest, AGradientThatIsNotFiniteIsFoundAndUndone) {
  for (const float bad : {NAN, INFINITY, 1e20F}) {
    const Batch b = batch(10, 4);
    Matrix<float> dx(b.rows, schema.inputs(), 6);
    dx(9, 0) = bad;
    Batch with_key = b;
    with_key.columns[0].keys[9] = 3;
    forward(with_key);
    EXPECT_FALSE(inputs.scatter(dx, 1));
    inputs.undo();
    EXPECT_EQ(inputs.tables()[0].rows(), 0U);
    EXPECT_EQ(inputs.moments()[0].inverse_deviation(), 0);
  }
}

// What is only read has no gradient, but a step moves a row without one where momentum, decay or l2
// do: so such a row takes no step, and what is committed of it stays true.
TEST_F(InputLayerTest, RowsThatAreOnlyReadTakeNoStep) {
  EmbeddingOptimizerOptions adam, l2, decay;
  adam.optimizer = EmbeddingOptimizer::kAdam;
  l2.l2 = 0.01;
  decay.decay = 0.01;
  for (const EmbeddingOptimizerOptions& optimizer : {adam, l2, decay}) {
    InputLayer layer(schema, options, optimizer, 1);
    const EmbeddingTable& table = layer.tables()[0];
    const auto train = [&](std::uint64_t key, float weight) {
      Batch b = batch(1, 1);
      b.columns[0].keys = {key};
      for (auto column : {1, 2}) b.columns[static_cast<std::size_t>(column)] = {{}, {0}};
      b.weights = {weight};
      layer.look_up(b);
      Matrix<float> dx(1, schema.inputs());
      dx(0, 0) = weight;
      ASSERT_TRUE(layer.scatter(dx, 1));
      layer.keep();
    };
    const auto values = [&](std::uint64_t key) {
      const float* const first = table.find(key);
      return std::vector<float>(first, first + table.shape().dimension + table.shape().state);
    };
    train(7, 1);
    const std::vector<float> before = values(7);
    train(7, 0);
    EXPECT_EQ(values(7), before);
    train(7, 1);
    EXPECT_NE(values(7), before);
  }
}

// A row goes at the first batch beyond a multiple of expire_after / 64 by which it was not seen for
// expire_after; the clock of the batches alone counts.
TEST_F(InputLayerTest, RowsExpireByEventTime) {
  options.expire_after = Duration{640'000};  // swept every 10 s
  InputLayer layer(schema, options, {}, 1);
  const auto train = [&](std::uint64_t key, std::int64_t due) {
    Batch b = batch(1, 1, due);
    b.columns[0].keys = {key};
    for (auto column : {1, 2}) b.columns[static_cast<std::size_t>(column)] = {{}, {0}};
    layer.advance(b.due);
    layer.look_up(b);
    ASSERT_TRUE(layer.scatter(Matrix<float>(1, schema.inputs()), 1));
    layer.keep();
  };
  const auto& table = layer.tables()[0];
  train(1, 1'000'000);
  train(2, 1'300'000);
  train(3, 1'639'999);
  EXPECT_NE(table.find(1), nullptr);
  train(3, 1'649'999);  // the sweep of 1,640,000 comes before this batch
  EXPECT_EQ(table.find(1), nullptr);
  EXPECT_NE(table.find(2), nullptr);
  train(3, 1'640'000);  // time does not go back
  train(2, 1'930'000);
  EXPECT_NE(table.find(3), nullptr);
  EXPECT_EQ(table.counters().expired, 1U);
  train(4, 300LL * 365 * 86'400'000);  // centuries later nothing is left
  EXPECT_EQ(table.rows(), 1U);
}

}  // namespace
}  // namespace millrace
