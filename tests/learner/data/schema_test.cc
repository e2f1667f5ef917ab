// Where features and tasks stand: columns of x with the context first, shared tables, batches.
#include "learner/data/schema.h"

#include <gtest/gtest.h>

#include "learner/base/hash.h"
#include "learner/data/batch.h"

namespace millrace {
namespace {

Feature feature(std::string name, FeatureKind kind, int size, bool context = false,
                std::string table = {}) {
  Feature f;
  f.name = std::move(name);
  f.kind = kind;
  f.dimension = f.width = size;
  f.context = context;
  f.table = std::move(table);
  return f;
}

TEST(Schema, ContextComesFirstInX) {
  const Schema schema(
      {feature("item", FeatureKind::kCategorical, 4),
       feature("user", FeatureKind::kCategorical, 3, true),
       feature("price", FeatureKind::kNumeric, 1), feature("hour", FeatureKind::kNumeric, 1, true),
       feature("taste", FeatureKind::kDense, 5)},
      {Task{"ctr"}});
  EXPECT_EQ(schema.input_offset(1), 0);
  EXPECT_EQ(schema.input_offset(3), 3);
  EXPECT_EQ(schema.context_width(), 4);
  EXPECT_EQ(schema.input_offset(0), 4);
  EXPECT_EQ(schema.input_offset(2), 8);
  EXPECT_EQ(schema.input_offset(4), 9);
  EXPECT_EQ(schema.inputs(), 14);
  // By kind, in the order of the configuration.
  EXPECT_EQ(schema.key_features(), (std::vector<int>{0, 1}));
  EXPECT_EQ(schema.numeric_features(), (std::vector<int>{2, 3}));
  EXPECT_EQ(schema.dense_features(), (std::vector<int>{4}));
  EXPECT_EQ(schema.dense_width(), 5);
}

TEST(Schema, FeaturesShareATableByName) {
  const Schema schema(
      {feature("item", FeatureKind::kCategorical, 4),
       feature("seen", FeatureKind::kBag, 4, false, "item"), feature("tags", FeatureKind::kBag, 2)},
      {Task{"ctr"}});
  ASSERT_EQ(schema.tables().size(), 2U);
  EXPECT_EQ(schema.table_of(0), schema.table_of(1));
  EXPECT_EQ(schema.tables()[1].name, "tags");
  // The seed of a table's keys is a function of its name alone.
  EXPECT_EQ(schema.tables()[0].seed, hash_bytes("item"));
  EXPECT_DEATH(Schema({feature("a", FeatureKind::kCategorical, 4, false, "t"),
                       feature("b", FeatureKind::kCategorical, 5, false, "t")},
                      {}),
               "dimension");
}

Feature cross(std::string name, std::vector<std::string> of, int size) {
  Feature f = feature(std::move(name), FeatureKind::kCross, size);
  f.of = std::move(of);
  return f;
}
Feature bucketised(std::string name, std::vector<double> boundaries, int size, bool context) {
  Feature f = feature(std::move(name), FeatureKind::kNumeric, size, context);
  f.boundaries = std::move(boundaries);
  return f;
}

TEST(Schema, ACrossBelongsToTheContextWhereAllItsPartsDo) {
  const Schema schema(
      {cross("user_x_item", {"user", "item"}, 2), feature("item", FeatureKind::kCategorical, 4),
       feature("user", FeatureKind::kCategorical, 3, true), bucketised("age", {18, 65}, 5, true),
       cross("user_x_age", {"age", "user"}, 7), feature("price", FeatureKind::kNumeric, 1)},
      {Task{"ctr"}});
  EXPECT_FALSE(schema.features()[0].context);
  EXPECT_TRUE(schema.features()[4].context);
  EXPECT_EQ(schema.context_width(), 3 + 5 + 7);
  EXPECT_EQ(schema.inputs(), 15 + 2 + 4 + 1);
  EXPECT_EQ(schema.key_features(), (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(schema.numeric_features(), (std::vector<int>{5}));
  EXPECT_EQ(schema.features_of(FeatureKind::kNumeric), (std::vector<int>{3, 5}));
  EXPECT_EQ(schema.column_of(3), 3);
  EXPECT_EQ(schema.column_of(5), -1);
  ASSERT_EQ(schema.crosses().size(), 2U);
  EXPECT_EQ(schema.crosses()[1].columns, (std::vector<int>{3, 2}));
  EXPECT_EQ(schema.tables().size(), 5U);
  EXPECT_DEATH(Schema({feature("a", FeatureKind::kBag, 4),
                       feature("b", FeatureKind::kCategorical, 4), cross("c", {"a", "b"}, 2)},
                      {}),
               "kCategorical");
}

TEST(Schema, FindsByName) {
  const Schema schema({feature("item", FeatureKind::kCategorical, 4)}, {Task{"ctr"}, Task{"cvr"}});
  EXPECT_EQ(schema.find_feature("item"), 0);
  EXPECT_EQ(schema.find_feature("Item"), -1);
  EXPECT_EQ(schema.find_task("cvr"), 1);
  EXPECT_EQ(schema.find_task("item"), -1);
}

TEST(Batch, AnEmptyOneHasAColumnForEachKeyFeature) {
  const Schema schema(
      {feature("item", FeatureKind::kCategorical, 4), feature("price", FeatureKind::kNumeric, 1),
       feature("tags", FeatureKind::kBag, 2)},
      {Task{"ctr"}});
  const Batch batch = empty_batch(schema, Stream::kAtOnce);
  EXPECT_EQ(batch.columns.size(), 2U);
  EXPECT_EQ(batch.rows, 0);
  EXPECT_EQ(batch.stream, Stream::kAtOnce);
}

}  // namespace
}  // namespace millrace
