// What is served is what was learned: the scorer against a plain forward pass written here, for
// every kind of feature on either side of the request, and against the trainer's own forward pass
// on the weights that it published.
#include "learner/publish/scorer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "learner/base/random.h"
#include "learner/device/devices.h"
#include "learner/model/model.h"
#include "learner/publish/served_value.h"
#include "learner/train/trainer.h"

namespace millrace {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

Feature feature(const char* name, FeatureKind kind, int size, bool context) {
  Feature f;
  f.name = name;
  f.kind = kind;
  (kind == FeatureKind::kDense ? f.width : f.dimension) = size;
  f.context = context;
  return f;
}

// Two of each kind, a number in buckets, and crosses of them; `context` says by bit which of them
// belong to the context.
Schema schema_of(unsigned context) {
  using K = FeatureKind;
  std::vector<Feature> features;
  const char* names[] = {"c1", "b1", "n1", "d1", "c2", "b2", "n2", "d2"};
  const K kinds[] = {K::kCategorical, K::kBag, K::kNumeric, K::kDense};
  for (unsigned i = 0; i < 8; ++i) {
    features.push_back(
        feature(names[i], kinds[i % 4], 3 + static_cast<int>(i % 2), (context >> i & 1) != 0));
  }
  features[5].pooling = Pooling::kSum;
  features[6].standardize = false;
  features[4].table = "c1";  // Shares its rows.
  Feature bucket = feature("n3", K::kNumeric, 2, (context >> 8 & 1) != 0);
  bucket.boundaries = {0, 1};
  features.push_back(bucket);
  const std::vector<std::string> crosses[] = {{"c1", "c2"}, {"n3", "c2"}, {"c1", "n3"}};
  for (int i = 0; i < 3; ++i) {
    Feature cross = feature(i == 0 ? "x1" : i == 1 ? "x2" : "x3", K::kCross, 3, false);
    cross.of = crosses[i];
    features.push_back(cross);
  }
  std::vector<Task> tasks(3);
  tasks[0].name = "click";
  tasks[1].name = "dwell";
  tasks[1].kind = TaskKind::kRegression;
  tasks[1].transform = Transform::kLog1p;
  tasks[1].given = 0;
  tasks[2].name = "rating";
  tasks[2].kind = TaskKind::kRegression;
  return {features, tasks};
}

ModelOptions small_model() {
  ModelOptions options;
  options.experts = 3;
  options.expert_layers = {8, 6};
  options.tower_layers = {5};
  return options;
}

// Keys 1 … 20 have rows, more do not; some values are missing.
Batch rows_of(const Schema& schema, int rows, std::uint64_t seed) {
  Batch batch = empty_batch(schema, Stream::kMatured);
  std::uint64_t draws = 0;
  auto draw = [&](std::uint32_t most) { return philox(seed, 1, ++draws)[0] % most; };
  auto number = [&] { return static_cast<float>(draw(2000)) / 100 - 10; };
  batch.rows = rows;
  for (std::size_t c = 0; c < batch.columns.size(); ++c) {
    KeyColumn& column = batch.columns[c];
    const Feature& f = schema.features()[static_cast<std::size_t>(schema.key_features()[c])];
    // Those of crosses that a scorer does not look at.
    const bool one = f.kind != FeatureKind::kBag;
    for (int r = 0; r < rows; ++r) {
      if (one) {
        column.keys.push_back(draw(26));  // 0 is missing.
        continue;
      }
      for (std::uint32_t n = draw(5); n > 0; --n) column.keys.push_back(1 + draw(25));
      column.ends.push_back(static_cast<std::uint32_t>(column.keys.size()));
    }
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows) * schema.numeric_features().size();
       ++i) {
    batch.numeric.push_back(draw(5) == 0 ? kNaN : number());
  }
  for (int i = 0; i < rows * schema.dense_width(); ++i) batch.dense.push_back(number() / 10);
  return batch;
}

// The key of a cross as the configuration names its parts.
std::uint64_t cross_of(const Schema& schema, const Cross& cross, const Batch& context,
                       const Batch& rows, std::size_t r) {
  CrossKey key(cross.seed);
  for (const std::string& name : schema.features()[static_cast<std::size_t>(cross.feature)].of) {
    const int part = schema.find_feature(name);
    const bool of_context = schema.features()[static_cast<std::size_t>(part)].context;
    const auto column = static_cast<std::size_t>(schema.column_of(part));
    key.add((of_context ? context : rows).columns[column].keys[of_context ? 0 : r]);
  }
  return key.key();
}

float weight_of(std::uint64_t table, std::uint64_t key, int d) {
  const auto bits = philox(99 + table, key, static_cast<std::uint64_t>(d));
  return static_cast<float>(to_normal(bits[0], bits[1])[0]);
}

Publication publication_of(const Schema& schema, const Model<float>& model) {
  Publication p;
  p.complete = true;
  p.seen = EventTime{77};
  for (std::size_t t = 0; t < schema.tables().size(); ++t) {
    TableUpdate& update = p.tables.emplace_back();
    for (std::uint64_t key = 1; key <= 20; ++key) {
      update.keys.push_back(key);
      for (int d = 0; d < schema.tables()[t].dimension; ++d) {
        update.rows.push_back(weight_of(t, key, d));
      }
    }
  }
  // Every pair of which the first part is even.
  for (const Cross& cross : schema.crosses()) {
    const int table = schema.table_of(cross.feature);
    TableUpdate& update = p.tables[static_cast<std::size_t>(table)];
    for (std::uint64_t a = 2; a <= 26; a += 2) {
      for (std::uint64_t b = 1; b <= 26; ++b) {
        CrossKey key(cross.seed);
        key.add(a);
        key.add(b);
        update.keys.push_back(key.key());
        for (int d = 0; d < 3; ++d) {
          update.rows.push_back(weight_of(static_cast<std::uint64_t>(table), key.key(), d));
        }
      }
    }
  }
  auto dense = std::make_shared<DenseWeights>();
  dense->parameters.resize(static_cast<std::size_t>(model.parameter_count()));
  model.initialise(5, dense->parameters);
  for (std::size_t i = 0; i < dense->parameters.size(); ++i) {  // Gates and biases too.
    dense->parameters[i] +=
        static_cast<float>(to_normal(philox(6, 0, i)[0], philox(6, 1, i)[1])[0]) / 10;
  }
  dense->numeric = {{0.5F, 3}, {1, 2}};
  dense->labels = {{}, {-1, 2}, {-0.5F, 0.25F}};
  p.dense = dense;
  return p;
}

// x of one row, feature by feature, as the page of the mathematics says.
std::vector<float> plain_x(const Schema& schema, const DenseWeights& dense, const Batch& context,
                           const Batch& rows, int row) {
  std::vector<float> x(static_cast<std::size_t>(schema.inputs()));
  std::size_t column = 0, number = 0, vector = 0;
  for (std::size_t i = 0; i < schema.features().size(); ++i) {
    const Feature& f = schema.features()[i];
    const Batch& batch = f.context ? context : rows;
    const auto r = static_cast<std::size_t>(f.context ? 0 : row);
    float* out = x.data() + schema.input_offset(static_cast<int>(i));
    if (f.kind == FeatureKind::kDense) {
      for (int d = 0; d < f.width; ++d) {
        out[d] = batch.dense[r * static_cast<std::size_t>(schema.dense_width()) + vector +
                             static_cast<std::size_t>(d)];
      }
      vector += static_cast<std::size_t>(f.width);
    } else if (f.kind == FeatureKind::kNumeric && !is_bucketised(f)) {
      const float value = batch.numeric[r * 2 + number];
      const Standardisation& s = dense.numeric[number++];
      if (std::isnan(value)) continue;
      out[0] =
          f.standardize ? std::clamp((value - s.mean) * s.inverse_deviation, -8.0F, 8.0F) : value;
    } else if (f.kind == FeatureKind::kCross) {
      const auto cross =
          std::find_if(schema.crosses().begin(), schema.crosses().end(),
                       [&](const Cross& c) { return c.feature == static_cast<int>(i); });
      const std::uint64_t key =
          cross_of(schema, *cross, context, rows, static_cast<std::size_t>(row));
      const int part = cross->parts[0];
      const bool of_context = schema.features()[static_cast<std::size_t>(part)].context;
      const std::uint64_t first = (of_context ? context : rows)
                                      .columns[static_cast<std::size_t>(cross->columns[0])]
                                      .keys[of_context ? 0 : static_cast<std::size_t>(row)];
      ++column;
      if (key == kMissingKey || first % 2 != 0) continue;
      const auto table = static_cast<std::uint64_t>(schema.table_of(static_cast<int>(i)));
      for (int d = 0; d < f.dimension; ++d) out[d] = weight_of(table, key, d);
    } else {
      const KeyColumn& keys = batch.columns[column++];
      const std::size_t first = keys.ends.empty() ? r : r == 0 ? 0 : keys.ends[r - 1];
      const std::size_t last = keys.ends.empty() ? r + 1 : keys.ends[r];
      for (std::size_t k = first; k < last; ++k) {
        if (keys.keys[k] == 0 || keys.keys[k] > 20) continue;
        const bool mean = f.kind == FeatureKind::kBag && f.pooling == Pooling::kMean;
        const float share = mean ? 1 / static_cast<float>(last - first) : 1;
        const auto table = static_cast<std::uint64_t>(schema.table_of(static_cast<int>(i)));
        for (int d = 0; d < f.dimension; ++d) out[d] += share * weight_of(table, keys.keys[k], d);
      }
    }
  }
  return x;
}

class ScorerTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(ScorerTest, EqualsAPlainForwardPass) {
  const Schema schema = schema_of(GetParam());
  const Model<float> model(schema, small_model());
  ServingModel serving(schema);
  const Publication publication = publication_of(schema, model);
  serving.apply(publication, {4, 2});
  Scorer scorer(schema, small_model());
  const auto backend = open_device<float>("cpu");
  const auto work = model.workspace(*backend, 1);
  Scores scores;
  for (const int rows : {1, 255, 256, 257, 600, 3}) {
    const Batch context = rows_of(schema, 1, 1000 + static_cast<std::uint64_t>(rows));
    const Batch candidates = rows_of(schema, rows, static_cast<std::uint64_t>(rows));
    scorer.score(serving, context, candidates, scores);
    ASSERT_EQ(scores.rows, rows);
    ASSERT_EQ(scores.values.size(), static_cast<std::size_t>(rows) * 3);
    EXPECT_EQ(scores.version, (VersionNumber{4, 2}));
    EXPECT_EQ(scores.seen, EventTime{77});
    for (int r = 0; r < rows; ++r) {
      const auto x = plain_x(schema, *publication.dense, context, candidates, r);
      float z[3];
      model.forward(publication.dense->parameters.data(), {x.data(), 1, schema.inputs()}, *work,
                    {z, 1, 3});
      const float* got = scores.values.data() + long{r} * 3;
      ASSERT_NEAR(got[0], 1 / (1 + std::exp(-z[0])), 1e-5) << rows << " rows, row " << r;
      const float dwell = std::clamp(z[1], -1.0F, 2.0F);
      ASSERT_NEAR(got[1], std::copysign(std::expm1(std::fabs(dwell)), dwell), 1e-4);
      ASSERT_NEAR(got[2], std::clamp(z[2], -0.5F, 0.25F), 1e-4);
    }
  }
}

TEST_P(ScorerTest, CountsKeysAndThoseWithoutARow) {
  const Schema schema = schema_of(GetParam());
  ServingModel serving(schema);
  serving.apply(publication_of(schema, Model<float>(schema, small_model())), {1, 0});
  Scorer scorer(schema, small_model());
  const Batch context = rows_of(schema, 1, 50), candidates = rows_of(schema, 40, 51);
  Scores scores;
  scorer.score(serving, context, candidates, scores);
  std::uint64_t keys = 0, unknown = 0;
  for (std::size_t c = 0; c < candidates.columns.size(); ++c) {
    const auto index = static_cast<std::size_t>(schema.key_features()[c]);
    const Feature& f = schema.features()[index];
    if (f.kind == FeatureKind::kCross || is_bucketised(f)) continue;
    const Batch& batch = f.context ? context : candidates;
    for (const std::uint64_t key : batch.columns[c].keys) {
      if (key != 0) ++keys;
      if (key > 20) ++unknown;
    }
  }
  EXPECT_EQ(scores.keys, keys);
  EXPECT_EQ(scores.unknown_keys, unknown);

  scorer.score(serving, context, empty_batch(schema, Stream::kAtOnce), scores);
  EXPECT_EQ(scores.rows, 0);
  EXPECT_TRUE(scores.values.empty());
  EXPECT_EQ(scores.version, (VersionNumber{1, 0}));
}

// None, all, the first four, every kind on both sides, one number alone.
INSTANTIATE_TEST_SUITE_P(Contexts, ScorerTest, ::testing::Values(0U, 511U, 255U, 15U, 0xA5U, 4U));

Batch first_row(const Batch& batch, const Schema& schema) {
  Batch one = empty_batch(schema, batch.stream);
  one.rows = 1;
  for (std::size_t c = 0; c < batch.columns.size(); ++c) {
    const KeyColumn& from = batch.columns[c];
    const auto count = static_cast<std::ptrdiff_t>(from.ends.empty() ? 1 : from.ends[0]);
    one.columns[c].keys.assign(from.keys.begin(), from.keys.begin() + count);
    if (!from.ends.empty()) one.columns[c].ends.push_back(from.ends[0]);
  }
  const auto numbers = static_cast<std::ptrdiff_t>(schema.numeric_features().size());
  one.numeric.assign(batch.numeric.begin(), batch.numeric.begin() + numbers);
  one.dense.assign(batch.dense.begin(), batch.dense.begin() + schema.dense_width());
  return one;
}

// Weights that a trainer made and published: its own forward pass is seen in the loss of a batch
// of one row, log(1 + e^−z) for the label 1.
TEST(ScorerAndTrainer, ServeWhatTheTrainerComputes) {
  const Schema schema = schema_of(0x31);
  LearnerOptions options;
  options.model = small_model();
  Trainer trainer("m", schema, options);
  ServingModel serving(schema);
  Scorer scorer(schema, options.model);
  Scores scores;
  // As the encoder makes them: crosses from the row's own parts.
  auto crossed = [&](Batch batch) {
    for (const Cross& cross : schema.crosses()) {
      auto& keys = batch.columns[static_cast<std::size_t>(cross.column)].keys;
      for (std::size_t r = 0; r < keys.size(); ++r) {
        CrossKey key(cross.seed);
        for (const int column : cross.columns) {
          key.add(batch.columns[static_cast<std::size_t>(column)].keys[r]);
        }
        keys[r] = key.key();
      }
    }
    return batch;
  };
  auto labelled = [&](Batch batch, std::uint64_t seed) {
    for (int r = 0; r < batch.rows; ++r) {
      const float click = philox(seed, 2, static_cast<std::uint64_t>(r))[0] % 2 != 0 ? 1.0F : 0.0F;
      for (const float label : {click, click * 1.5F, click - 0.25F}) batch.labels.push_back(label);
      for (int t = 0; t < 3; ++t) {
        batch.condition.push_back(t == 0 || t == 2 || click > 0 ? 1 : 0);
      }
      batch.weights.push_back(1);
    }
    batch.due = batch.seen = EventTime{1'000'000 + static_cast<std::int64_t>(seed)};
    return batch;
  };
  for (std::uint64_t n = 0; n < 30; ++n) {
    trainer.train(labelled(crossed(rows_of(schema, 100, 500 + n)), n));
    if (n % 3 != 2) continue;
    serving.apply(trainer.publish(), {1, n});
    // A row that was learned: one with new keys is scored without their rows, and trained with
    // them.
    Batch one = first_row(crossed(rows_of(schema, 100, 500 + n)), schema);
    scorer.score(serving, one, one, scores);
    EXPECT_EQ(scores.seen, EventTime{1'000'000 + static_cast<std::int64_t>(n)});
    one.labels = {1, kNaN, kNaN};
    one.condition = {1, 1, 1};
    one.weights = {1};
    one.due = one.seen = EventTime{1'000'000 + static_cast<std::int64_t>(n)};
    trainer.train(one);
    const auto loss = trainer.report().tasks[0].loss;
    ASSERT_TRUE(loss);
    EXPECT_NEAR(scores.values[0], std::exp(-*loss), 1e-5) << "after step " << n;
  }
}

TEST(ServedValue, IsInTheLabelsUnitsAndNeverInfinite) {
  Task task;
  EXPECT_FLOAT_EQ(served_value(task, {}, 0), 0.5F);
  EXPECT_FLOAT_EQ(served_value(task, {}, -200), 0);
  EXPECT_TRUE(std::isnan(served_value(task, {}, kNaN)));
  task.kind = TaskKind::kRegression;
  EXPECT_EQ(served_value(task, {-1, 2}, 7), 2);
  EXPECT_EQ(served_value(task, {-1, 2}, -7), -1);
  EXPECT_EQ(served_value(task, {-1, 2}, 0.5F), 0.5F);
  EXPECT_EQ(served_value(task, {}, 3), 0);  // Nothing was seen yet.
  EXPECT_TRUE(std::isnan(served_value(task, {-1, 2}, kNaN)));
  task.transform = Transform::kLog1p;
  EXPECT_FLOAT_EQ(served_value(task, {-9, 9}, std::log1p(18.5F)), 18.5F);
  EXPECT_FLOAT_EQ(served_value(task, {-9, 9}, -std::log1p(18.5F)), -18.5F);
  EXPECT_TRUE(std::isnan(served_value(task, {0, 1000}, 1000)));
}

}  // namespace
}  // namespace millrace
