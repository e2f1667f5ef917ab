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
