// Importance is what scaling a feature does to a logit (by finite differences), |w| E|x| for a
// linear model, a mean over rows; and the ids kept are those that add up to most.
#include "learner/train/model_watch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "learner/device/devices.h"
#include "learner/train/chunks.h"
#include "tests/learner/train/stream.h"

namespace millrace {
namespace {

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

std::vector<double> normals(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(count);
  for (double& value : values) value = normal(random);
  return values;
}

template <class T>
std::vector<T> as(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

// z [n,T] by the same net in double, with the columns of `feature` scaled.
/// What an input layer would do.
ModelWatch::Gather gather_from(View<const float> all) {
  return [all](View<float> x) {
    for (int r = 0; r < x.rows; ++r) std::copy_n(all.row(r), x.cols, x.row(r));
  };
}

std::vector<double> logits(const ModelOptions& options, const std::vector<float>& weights,
                           const std::vector<float>& x, int n, int feature, double scale) {
  const Model<double> model(schema(), options);
  const auto backend = open_device<double>("cpu");
  const auto work = model.workspace(*backend, n);
  std::vector<double> scaled(x.begin(), x.end());
  for (int r = 0; r < n; ++r) {
    for (int d = 0; d < schema().input_width(feature); ++d) {
      scaled[static_cast<std::size_t>(r * schema().inputs() + schema().input_offset(feature) +
                                      d)] *= scale;
    }
  }
  std::vector<double> z(static_cast<std::size_t>(n) * stream::kTasks);
  const std::vector<double> w(weights.begin(), weights.end());
  model.forward(w.data(), View<const double>(scaled.data(), n, schema().inputs()), *work,
                View<double>(z.data(), n, stream::kTasks));
  return z;
}

TEST(ModelWatch, ImportanceIsWhatScalingAFeatureDoes) {
  const ModelOptions model_options = stream::options().model;
  const Model<float> model(schema(), model_options);
  std::vector<float> weights(static_cast<std::size_t>(model.parameter_count()));
  model.initialise(3, weights);
  constexpr int n = 150;  // more than a tile
  const auto x = as<float>(normals(static_cast<std::size_t>(n * schema().inputs()), 4));
  Batch batch = stream::Source(schema(), 5).next(n);
  for (const auto measure : {ImportanceMeasure::kGradientInput, ImportanceMeasure::kLoss}) {
    EvaluateOptions options;
    options.importance.every = 1;
    options.importance.rows = 200;
    options.importance.measure = measure;
    const auto backend = open_device<float>("cpu");
    const int tile = Chunks::tile(model.parameter_count());
    ASSERT_LT(tile, n);
    const auto work = model.workspace(*backend, tile);
    ModelWatch watch(schema(), model, options);
    const View<const float> view(x.data(), n, schema().inputs());
    watch.measure(batch, 32, 0, weights.data(), gather_from(view), *work);
    const ImportanceReport report = watch.importance();
    ASSERT_EQ(report.rows, std::uint64_t{n});
    ASSERT_EQ(report.features.size(), schema().features().size());
    for (int f = 0; f < static_cast<int>(schema().features().size()); ++f) {
      constexpr double kStep = 1e-5;
      const auto above = logits(model_options, weights, x, n, f, 1 + kStep);
      const auto below = logits(model_options, weights, x, n, f, 1 - kStep);
      const auto here = logits(model_options, weights, x, n, f, 1);
      for (int k = 0; k < stream::kTasks; ++k) {
        double sum = 0, weight = 0;
        for (int r = 0; r < n; ++r) {
          const auto cell = static_cast<std::size_t>(r * stream::kTasks + k);
          double slope = 1;
          if (measure == ImportanceMeasure::kLoss) {
            const double y = batch.labels[cell];
            if (std::isnan(y) || batch.condition[cell] != 1) continue;
            slope =
                k == stream::kDwell ? 2 * (here[cell] - y) : 1 / (1 + std::exp(-here[cell])) - y;
          }
          const double row = batch.weights[static_cast<std::size_t>(r)];
          sum += row * std::fabs(slope * (above[cell] - below[cell]) / (2 * kStep));
          weight += row;
        }
        const auto& told = report.features[static_cast<std::size_t>(f)];
        EXPECT_EQ(told.name, schema().features()[static_cast<std::size_t>(f)].name);
        EXPECT_NEAR(told.values[static_cast<std::size_t>(k)], sum / weight,
                    1e-4 * (1 + sum / weight))
            << f << " " << k;
      }
    }
    EXPECT_EQ(watch.gates().size(), std::size_t{stream::kTasks});
    EXPECT_NEAR(watch.gates()[0].entropy, 1, 1e-6) << "gates start even";
    EXPECT_NEAR(watch.gates()[0].means[0], 0.5, 1e-6);
  }
}

// An element of a bag adds its own row's share of the pooled embedding: by differences, of what the
// logit is without it.
TEST(ModelWatch, AnElementOfABagIsWhatScalingItDoes) {
  const ModelOptions model_options = stream::options().model;
  const Model<float> model(schema(), model_options);
  std::vector<float> weights(static_cast<std::size_t>(model.parameter_count()));
  model.initialise(3, weights);
  const int bag = 2, width = schema().input_width(bag), D = schema().inputs();
  ASSERT_EQ(schema().features()[bag].kind, FeatureKind::kBag);
  // Two rows: of key 5 alone, and of keys 5 and 6 and one that has no row.
  Batch batch = stream::Source(schema(), 5).next(2);
  batch.weights = {1, 3};
  batch.columns[2].keys = {5, 5, 6, 7};
  batch.columns[2].ends = {1, 4};
  const auto rows = as<float>(normals(static_cast<std::size_t>(2 * width), 8));
  const auto row_of = [&](int feature, std::uint64_t key) -> const float* {
    EXPECT_EQ(feature, bag);
    return key == 7 ? nullptr : rows.data() + static_cast<std::ptrdiff_t>(key - 5) * width;
  };
  auto x = as<float>(normals(static_cast<std::size_t>(2 * D), 4));
  for (int d = 0; d < width; ++d) {
    const auto at = static_cast<std::size_t>(schema().input_offset(bag) + d);
    const auto of = static_cast<std::size_t>(d), next = of + static_cast<std::size_t>(width);
    x[at] = rows[of];
    x[static_cast<std::size_t>(D) + at] = (rows[of] + rows[next]) / 3;
  }
  EvaluateOptions options;
  options.importance.every = 1;
  const auto backend = open_device<float>("cpu");
  const auto work = model.workspace(*backend, 2);
  ModelWatch watch(schema(), model, options);
  const View<const float> view(x.data(), 2, D);
  watch.measure(batch, 32, 0, weights.data(), gather_from(view), *work, row_of);
  // Element e's part of the bag's columns in row r, a little larger and smaller.
  const auto slope = [&](int r, int e, int k) {
    constexpr float kStep = 1e-4F;
    double sides[2];
    for (const int side : {0, 1}) {
      auto moved = x;
      for (int d = 0; d < width; ++d) {
        moved[static_cast<std::size_t>(r * D + schema().input_offset(bag) + d)] +=
            (side == 0 ? -kStep : kStep) * rows[static_cast<std::size_t>(e * width + d)] /
            (r == 0 ? 1.0F : 3.0F);
      }
      sides[side] = logits(model_options, weights, moved, 2, bag,
                           1)[static_cast<std::size_t>(r * stream::kTasks + k)];
    }
    return std::fabs(sides[1] - sides[0]) / (2 * double{kStep});
  };
  const ImportanceReport report = watch.importance();
  const std::vector<IdImportance>& ids = report.features[bag].ids;
  ASSERT_EQ(ids.size(), 3U);
  for (const IdImportance& id : ids) {
    EXPECT_EQ(id.weight, id.key == 5 ? 4 : 3);
    for (int k = 0; k < stream::kTasks; ++k) {
      const double told = id.values[static_cast<std::size_t>(k)];
      const double expected = id.key == 7   ? 0
                              : id.key == 6 ? slope(1, 1, k)
                                            : (slope(0, 0, k) + 3 * slope(1, 0, k)) / 4;
      EXPECT_NEAR(told, expected, 3e-3 * (1 + expected)) << id.key << " " << k;
    }
  }
}

TEST(ModelWatch, NothingIsMeasuredWhereItIsOff) {
  const Model<float> model(schema(), stream::options().model);
  EvaluateOptions options;
  options.gates.every = 0;
  ModelWatch watch(schema(), model, options);
  const auto backend = open_device<float>("cpu");
  const auto work = model.workspace(*backend, 1);
  watch.measure(stream::Source(schema(), 1).next(1), 0, 0, nullptr, gather_from({}), *work);
  EXPECT_EQ(watch.importance().features.size(), 0U);
  EXPECT_EQ(watch.gates().size(), 0U);
  StateChanges changes;
  watch.save(changes);
  EXPECT_EQ(changes.values.size(), 0U);
}

// A linear model of one task over the categorical features: z = Σ w x.
Batch of_users(const std::vector<std::uint64_t>& users) {
  Batch batch = empty_batch(schema(), Stream::kMatured);
  batch.rows = static_cast<int>(users.size());
  batch.columns[0].keys = users;
  batch.columns[1].keys.assign(users.size(), kMissingKey);
  batch.weights.assign(users.size(), 1);
  return batch;
}

TEST(Importance, OfALinearModelIsTheWeightTimesTheMeanSize) {
  ImportanceOptions options;
  options.every = 1;
  options.rows = 64;
  Importance importance(schema(), options);
  const int D = schema().inputs();
  const auto w = normals(static_cast<std::size_t>(D), 1);
  std::vector<double> expected(schema().features().size(), 0.0);
  double rows = 0;
  // Batches of any size: the mean is over rows.
  for (const int n : {64, 3, 1, 40}) {
    const auto x =
        as<float>(normals(static_cast<std::size_t>(n * D), 10 + static_cast<std::uint64_t>(n)));
    std::vector<float> dx;
    for (int r = 0; r < n; ++r) dx.insert(dx.end(), w.begin(), w.end());
    for (int k = 0; k < stream::kTasks; ++k) {
      importance.take(k, {x.data(), n, D}, View<const float>(dx.data(), n, D), {});
    }
    importance.add(of_users(std::vector<std::uint64_t>(static_cast<std::size_t>(n), 7)));
    rows += n;
    for (int f = 0; f < static_cast<int>(expected.size()); ++f) {
      for (int r = 0; r < n; ++r) {
        double sum = 0;
        for (int d = schema().input_offset(f);
             d < schema().input_offset(f) + schema().input_width(f); ++d) {
          sum += double{x[static_cast<std::size_t>(r * D + d)]} *
                 static_cast<float>(w[static_cast<std::size_t>(d)]);
        }
        expected[static_cast<std::size_t>(f)] += std::fabs(sum);
      }
    }
  }
  const ImportanceReport report = importance.report();
  for (std::size_t f = 0; f < expected.size(); ++f) {
    EXPECT_NEAR(report.features[f].values[0], expected[f] / rows, 1e-9);
  }
  // Everything came from one user; the price, a number, has one weight.
  ASSERT_EQ(report.features[0].ids.size(), 1U);
  EXPECT_EQ(report.features[0].ids[0].key, 7U);
  EXPECT_NEAR(report.features[0].ids[0].values[0], expected[0] / rows, 1e-9);
  EXPECT_EQ(report.features[1].ids.size(), 0U) << "a missing value is no id";
}

TEST(Importance, KeepsTheIdsThatAddUpToMost) {
  ImportanceOptions options;
  options.every = 1;
  options.rows = 256;
  options.ids = 4;
  const auto make = [&] { return std::make_unique<Importance>(schema(), options); };
  auto importance = make();
  std::mt19937_64 random(6);
  const int D = schema().inputs();
  std::vector<double> total(5'000), count(5'000);
  std::string saved;
  for (int step = 0; step < 60; ++step) {
    std::vector<std::uint64_t> users;
    std::vector<float> x(static_cast<std::size_t>(256 * D));
    for (int r = 0; r < 256; ++r) {
      // Users 1 to 4 come often; others hardly ever twice.
      const std::uint64_t user = random() % 2 == 0 ? 1 + random() % 4 : 5 + random() % 4'990;
      const auto size = static_cast<float>(user <= 4 ? user : 1);
      users.push_back(user);
      x[static_cast<std::size_t>(r * D + schema().input_offset(0))] = size;
      total[user] += double{size};
      count[user] += 1;
    }
    const std::vector<float> dx(x.size(), 1);
    for (int k = 0; k < stream::kTasks; ++k) {
      importance->take(k, {x.data(), 256, D}, View<const float>(dx.data(), 256, D), {});
    }
    importance->add(of_users(users));
    StateChanges changes;
    importance->save(changes);
    saved = changes.values.at(0).bytes;
    if (step % 7 == 0) {
      importance = make();
      ASSERT_TRUE(importance->restore("evaluate/importance", saved));
    }
  }
  const auto ids = importance->report().features[0].ids;
  ASSERT_EQ(ids.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(ids[i].key, 4 - i);
    EXPECT_NEAR(ids[i].values[0], static_cast<double>(4 - i), 1e-9);
  }
  // Of another configuration nothing is taken over.
  options.measure = ImportanceMeasure::kGradient;
  const auto other = make();
  ASSERT_TRUE(other->restore("evaluate/importance", saved));
  EXPECT_EQ(other->report().rows, 0U);
}

}  // namespace
}  // namespace millrace
