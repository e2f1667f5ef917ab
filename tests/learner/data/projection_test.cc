// What a model has of a stream: cell by cell what was picked, and nothing else.
#include "learner/data/projection.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/learner/train/stream.h"

namespace millrace {
namespace {

const Schema& whole() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

bool same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// The keys of row r of feature f, by its place among the key features.
std::vector<std::uint64_t> keys_of(const Schema& schema, const Batch& batch, int feature, int row) {
  std::size_t column = 0;
  while (schema.key_features()[column] != feature) ++column;
  const KeyColumn& of = batch.columns[column];
  if (of.ends.empty()) return {of.keys[static_cast<std::size_t>(row)]};
  const std::size_t first = row == 0 ? 0 : of.ends[static_cast<std::size_t>(row) - 1];
  return {of.keys.begin() + static_cast<std::ptrdiff_t>(first),
          of.keys.begin() + static_cast<std::ptrdiff_t>(of.ends[static_cast<std::size_t>(row)])};
}

TEST(Projection, AllOfAStreamIsTheStream) {
  const Projection all(whole());
  EXPECT_TRUE(all.is_whole());
  EXPECT_TRUE(all.has_all_tasks());
  stream::Source source(whole(), 4);
  const Batch batch = source.next(20);
  Batch out;
  all.apply(batch, out);
  EXPECT_EQ(out.columns[2].keys, batch.columns[2].keys);
  EXPECT_EQ(out.labels.size(), batch.labels.size());
}

TEST(Projection, EveryCellIsTheOneThatWasPicked) {
  stream::Source source(whole(), 5);
  for (unsigned tasks_in = 1; tasks_in < 32; tasks_in += 3) {
    for (unsigned features_in = 1; features_in < 32; features_in += 5) {
      std::vector<int> tasks, features;
      for (int k = 0; k < 5; ++k) {
        if ((tasks_in >> k & 1) != 0) tasks.push_back(k);
        if ((features_in >> k & 1) != 0) features.push_back(k);
      }
      const Projection part(whole(), tasks, features);
      const Schema& schema = part.schema();
      const Batch batch = source.next(9);
      Batch out = source.next(3);  // whatever was there goes
      part.apply(batch, out);
      ASSERT_EQ(out.rows, 9);
      ASSERT_EQ(out.labels.size(), 9 * tasks.size());
      ASSERT_EQ(out.columns.size(), schema.key_features().size());
      ASSERT_EQ(out.numeric.size(), 9 * schema.numeric_features().size());
      ASSERT_EQ(out.dense.size(), 9 * static_cast<std::size_t>(schema.dense_width()));
      for (int r = 0; r < 9; ++r) {
        const auto row = static_cast<std::size_t>(r);
        for (std::size_t k = 0; k < tasks.size(); ++k) {
          const int from = tasks[k];
          const Task& task = whole().tasks()[static_cast<std::size_t>(from)];
          const std::size_t cell = row * 5 + static_cast<std::size_t>(from);
          const bool alone = task.given >= 0 && (tasks_in >> task.given & 1) == 0;
          const bool holds = batch.condition[cell] == 1;
          const float label = alone && !holds ? stream::kMissing : batch.labels[cell];
          EXPECT_TRUE(same(out.labels[row * tasks.size() + k], label));
          EXPECT_EQ(out.condition[row * tasks.size() + k], alone ? 1 : batch.condition[cell]);
          EXPECT_EQ(schema.tasks()[k].entire_space, task.entire_space && !alone);
          EXPECT_EQ(schema.tasks()[k].given < 0, task.given < 0 || alone);
        }
        for (std::size_t f = 0; f < features.size(); ++f) {
          const FeatureKind kind = schema.features()[f].kind;
          if (kind != FeatureKind::kCategorical && kind != FeatureKind::kBag) continue;
          EXPECT_EQ(keys_of(schema, out, static_cast<int>(f), r),
                    keys_of(whole(), batch, features[f], r));
        }
        if ((features_in >> 3 & 1) != 0) {
          EXPECT_TRUE(same(out.numeric[row], batch.numeric[row]));
        }
        if ((features_in >> 4 & 1) != 0) {
          EXPECT_EQ(out.dense[2 * row + 1], batch.dense[2 * row + 1]);
        }
      }
    }
  }
}

TEST(Projection, LabelsThatAreOnlyMeasuredAreCutToo) {
  Batch batch = empty_batch(whole(), Stream::kMatured);
  batch.measured.keys = {7};
  batch.measured.weights = {1};
  batch.measured.labels = {0, 1, 1, 2, 0};
  batch.measured.condition = {1, 0, 1, 1, 0};
  batch.measured.last = {1};
  Batch out;
  Projection(whole(), {1, 2, 4}, {0}).apply(batch, out);
  EXPECT_EQ(out.rows, 0);
  ASSERT_EQ(out.measured.count(), 1);
  EXPECT_TRUE(std::isnan(out.measured.labels[0]));  // cart alone, and there was no click
  EXPECT_EQ(out.measured.labels[1], 1);             // buy has its condition
  EXPECT_TRUE(std::isnan(out.measured.labels[2]));
}

// Two dense vectors, of which one is picked.
TEST(Projection, OneOfSeveralVectors) {
  Feature a, b;
  a.name = "a", b.name = "b";
  a.kind = b.kind = FeatureKind::kDense;
  a.width = 2, b.width = 3;
  Feature x, y;
  x.name = "x", y.name = "y";
  x.kind = y.kind = FeatureKind::kNumeric;
  const Schema schema({a, x, b, y}, {{.name = "t"}});
  Batch batch = empty_batch(schema, Stream::kAtOnce);
  batch.rows = 2;
  batch.dense = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  batch.numeric = {1, 2, 3, 4};
  Batch out;
  Projection(schema, {0}, {2, 3}).apply(batch, out);
  EXPECT_EQ(out.dense, (std::vector<float>{3, 4, 5, 8, 9, 10}));
  EXPECT_EQ(out.numeric, (std::vector<float>{2, 4}));
}

}  // namespace
}  // namespace millrace
