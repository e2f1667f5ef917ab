// What training and scoring rely on: the layout of encoded features, one key for equal values, and
// that nothing that leaves the encoder is infinite.
#include "ingest/encode/features.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "learner/base/hash.h"
#include "learner/base/state.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

enum : int { kUser, kCountry, kItem, kGenres, kPrice, kTaste };

struct FeaturesTest : ::testing::Test {
  const Schema schema = shop_schema();
  FeatureBuilder builder{schema};

  std::uint64_t seed(int feature) {
    return schema.tables()[static_cast<std::size_t>(schema.table_of(feature))].seed;
  }
  EncodedFeatures finish() {
    EncodedFeatures encoded = "what was here before";
    builder.finish(encoded);
    return encoded;
  }
};

TEST_F(FeaturesTest, TheLayoutIsAsDocumented) {
  ASSERT_TRUE(builder.set_number(kPrice, 12.5));
  ASSERT_TRUE(builder.set_text(kItem, "m3"));
  ASSERT_TRUE(builder.begin_list(kGenres));
  ASSERT_TRUE(builder.set_text(kGenres, "drama"));
  ASSERT_TRUE(builder.set_integer(kGenres, 4));
  ASSERT_TRUE(builder.end_list(kGenres));
  ASSERT_TRUE(builder.begin_list(kTaste));
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(builder.set_integer(kTaste, i));
  ASSERT_TRUE(builder.end_list(kTaste));
  EXPECT_TRUE(builder.has(kGenres));
  EXPECT_FALSE(builder.has(kUser));
  EXPECT_EQ(builder.missing(), 2);

  ByteWriter expected;
  expected.put(kMissingKey);
  expected.put(kMissingKey);
  expected.put(feature_key("m3", seed(kItem)));
  expected.put(std::uint32_t{2});
  expected.put(feature_key("drama", seed(kGenres)));
  expected.put(feature_key("4", seed(kGenres)));
  expected.put(12.5);
  for (int i = 0; i < 8; ++i) expected.put(static_cast<float>(i));
  EXPECT_EQ(finish(), expected.bytes());

  // Finishing leaves it empty.
  EXPECT_EQ(builder.missing(), 6);
  EXPECT_EQ(finish().size(), 3 * 8 + 4 + 8 + 8 * 4u);
}

TEST_F(FeaturesTest, TypesThatDoNotFitAreRefused) {
  EXPECT_FALSE(builder.set_number(kUser, 7.0));
  EXPECT_FALSE(builder.begin_list(kUser));
  EXPECT_FALSE(builder.begin_list(kPrice));
  EXPECT_FALSE(builder.set_text(kGenres, "drama"));  // outside of a list
  EXPECT_FALSE(builder.set_text(kPrice, "3"));
  EXPECT_FALSE(builder.set_boolean(kPrice, true));
  EXPECT_FALSE(builder.set_number(kTaste, 3));
  EXPECT_FALSE(builder.set_number(kPrice, std::numeric_limits<double>::infinity()));
  EXPECT_FALSE(builder.set_number(kPrice, std::nan("")));
  EXPECT_EQ(builder.missing(), 6);

  ASSERT_TRUE(builder.begin_list(kGenres));
  EXPECT_FALSE(builder.set_number(kGenres, 1.5));
  builder.set_missing(kGenres);

  for (const int count : {7, 9}) {
    ASSERT_TRUE(builder.begin_list(kTaste));
    bool fits = true;
    for (int i = 0; i < count; ++i) fits = builder.set_number(kTaste, 1) && fits;
    EXPECT_FALSE(builder.end_list(kTaste) && fits);
    builder.set_missing(kTaste);
  }
  const EncodedFeatures nothing = finish();
  EXPECT_EQ(nothing, finish());
}

TEST_F(FeaturesTest, TheLaterValueCounts) {
  ASSERT_TRUE(builder.set_integer(kUser, 1));
  ASSERT_TRUE(builder.set_integer(kUser, 2));
  for (const char* genre : {"a", "b"}) {
    ASSERT_TRUE(builder.begin_list(kGenres));
    ASSERT_TRUE(builder.set_text(kGenres, genre));
    ASSERT_TRUE(builder.end_list(kGenres));
  }
  ASSERT_TRUE(builder.set_number(kPrice, 1));
  builder.set_missing(kPrice);
  EXPECT_EQ(builder.missing(), 4);
  const EncodedFeatures twice = finish();

  ASSERT_TRUE(builder.set_text(kUser, "2"));
  ASSERT_TRUE(builder.begin_list(kGenres));
  ASSERT_TRUE(builder.set_text(kGenres, "b"));
  ASSERT_TRUE(builder.end_list(kGenres));
  EXPECT_EQ(twice, finish());
}

TEST_F(FeaturesTest, IntegersAndBooleansAreTheirText) {
  const auto key = [&](auto set) {
    EXPECT_TRUE(set());
    std::uint64_t first = 0;
    std::memcpy(&first, finish().data(), sizeof first);
    return first;
  };
  EXPECT_EQ(key([&] { return builder.set_integer(kUser, -7); }), feature_key("-7", seed(kUser)));
  EXPECT_EQ(key([&] { return builder.set_unsigned(kUser, ~0ULL); }),
            feature_key("18446744073709551615", seed(kUser)));
  EXPECT_EQ(key([&] { return builder.set_boolean(kUser, true); }),
            feature_key("true", seed(kUser)));
}

TEST_F(FeaturesTest, TablesHaveTheirOwnKeysAndSharedOnesTheSame) {
  EXPECT_NE(feature_key("7", seed(kUser)), feature_key("7", seed(kItem)));
  std::vector<Feature> features(2);
  for (Feature& feature : features) {
    feature.dimension = 4;
    feature.table = "people";
  }
  features[0].name = "buyer";
  features[1].name = "seller";
  const Schema people(features, {});
  FeatureBuilder both(people);
  ASSERT_TRUE(both.set_text(0, "7") && both.set_integer(1, 7));
  EncodedFeatures encoded;
  both.finish(encoded);
  EXPECT_EQ(encoded.substr(0, 8), encoded.substr(8, 8));
}

TEST_F(FeaturesTest, RowsOfABatchStandSideBySide) {
  Batch batch = empty_batch(schema, Stream::kMatured);
  for (int row = 0; row < 3; ++row) {
    ASSERT_TRUE(builder.set_integer(kItem, row));
    ASSERT_TRUE(builder.begin_list(kGenres));
    for (int i = 0; i < row; ++i) ASSERT_TRUE(builder.set_integer(kGenres, i));
    ASSERT_TRUE(builder.end_list(kGenres));
    if (row > 0) {
      ASSERT_TRUE(builder.set_integer(kPrice, -row));
    }
    append_features(schema, finish(), batch);
  }
  EXPECT_EQ(batch.rows, 3);
  EXPECT_EQ(batch.columns[kItem].keys.size(), 3u);
  EXPECT_EQ(batch.columns[kGenres].keys.size(), 3u);
  EXPECT_EQ(batch.columns[kGenres].ends, (std::vector<std::uint32_t>{0, 1, 3}));
  EXPECT_TRUE(std::isnan(batch.numeric[0]));
  EXPECT_FLOAT_EQ(batch.numeric[1], -std::log(2.0f));  // log1p is signed
  EXPECT_EQ(batch.dense.size(), 24u);
}

TEST_F(FeaturesTest, NothingBecomesInfinite) {
  std::vector<Feature> features(2);
  features[0].name = "plain";
  features[0].kind = FeatureKind::kNumeric;
  features[1].name = "vector";
  features[1].kind = FeatureKind::kDense;
  features[1].width = 2;
  const Schema numbers(features, {});
  FeatureBuilder large(numbers);
  for (const double value : {1e300, -1e300, std::numeric_limits<double>::max(), 3.5e38}) {
    ASSERT_TRUE(large.set_number(0, value));
    ASSERT_TRUE(large.begin_list(1) && large.set_number(1, value) && large.set_number(1, -value) &&
                large.end_list(1));
    EncodedFeatures encoded;
    large.finish(encoded);
    Batch batch = empty_batch(numbers, Stream::kMatured);
    append_features(numbers, encoded, batch);
    EXPECT_EQ(std::abs(batch.numeric[0]), std::numeric_limits<float>::max());
    EXPECT_EQ(std::signbit(batch.numeric[0]), std::signbit(value));
    for (const float d : batch.dense) EXPECT_EQ(std::abs(d), std::numeric_limits<float>::max());
  }
}

TEST_F(FeaturesTest, AnotherSchemasRowIsCaught) {
  Batch batch = empty_batch(schema, Stream::kMatured);
  EXPECT_THROW(append_features(schema, "too short", batch), StateError);
  EXPECT_THROW(append_features(schema, finish() + "longer", batch), StateError);
}

// Two crosses, one of them with a number in buckets, which stand before and behind their parts.
Schema crossed() {
  std::vector<Feature> features = shop_schema().features();
  features[kPrice].boundaries = {1, 10};
  features[kPrice].dimension = 3;
  features[kPrice].table.clear();
  Feature age;
  age.name = "age";
  age.kind = FeatureKind::kNumeric;
  Feature whose;
  whose.name = "user_id_x_country";
  whose.kind = FeatureKind::kCross;
  whose.dimension = 2;
  whose.of = {"user_id", "country"};
  Feature which = whose;
  which.name = "price_x_item";
  which.of = {"price", "item_id"};
  features.insert(features.begin(), whose);
  features.push_back(which);
  features.push_back(age);
  return {features, {}};
}

TEST(DerivedFeatures, AnEventCarriesNothingNewOfCrossesAndBuckets) {
  const Schema schema = crossed();
  const auto feature = [&](const char* name) { return schema.find_feature(name); };
  FeatureBuilder builder(schema);
  EXPECT_EQ(builder.missing(), 7);
  ASSERT_TRUE(builder.set_integer(feature("user_id"), 7));
  ASSERT_TRUE(builder.set_text(feature("country"), "de"));
  ASSERT_TRUE(builder.set_text(feature("item_id"), "m3"));
  ASSERT_TRUE(builder.set_number(feature("price"), 9.5));
  EXPECT_FALSE(builder.set_text(feature("price_x_item"), "a value"));
  EXPECT_FALSE(builder.begin_list(feature("price_x_item")));
  builder.set_missing(feature("price_x_item"));
  EXPECT_EQ(builder.missing(), 3);
  EncodedFeatures encoded;
  builder.finish(encoded);
  EXPECT_EQ(encoded.size(), 3 * 8 + 4 + 2 * 8 + 8 * 4U);

  Batch batch = empty_batch(schema, Stream::kMatured);
  append_features(schema, encoded, batch);
  const auto column = [&](const char* name) {
    return batch.columns[static_cast<std::size_t>(schema.column_of(feature(name)))].keys;
  };
  const auto seed = [&](const char* name) {
    return schema.tables()[static_cast<std::size_t>(schema.table_of(feature(name)))].seed;
  };
  EXPECT_EQ(column("price"), std::vector{feature_key("1", seed("price"))});
  CrossKey whose(seed("user_id_x_country")), which(seed("price_x_item"));
  whose.add(feature_key("7", seed("user_id")));
  whose.add(feature_key("de", seed("country")));
  which.add(feature_key("1", seed("price")));
  which.add(feature_key("m3", seed("item_id")));
  EXPECT_EQ(column("user_id_x_country"), std::vector{whose.key()});
  EXPECT_EQ(column("price_x_item"), std::vector{which.key()});
  ASSERT_EQ(batch.numeric.size(), 1U);
  EXPECT_TRUE(std::isnan(batch.numeric[0]));

  // A missing part makes a cross missing, and a missing number has no bucket.
  ASSERT_TRUE(builder.set_text(feature("item_id"), "m3"));
  ASSERT_TRUE(builder.set_integer(feature("user_id"), 7));
  builder.finish(encoded);
  append_features(schema, encoded, batch);
  EXPECT_EQ(column("price")[1], kMissingKey);
  EXPECT_EQ(column("price_x_item")[1], kMissingKey);
  EXPECT_EQ(column("user_id_x_country")[1], kMissingKey);
  EXPECT_EQ(batch.rows, 2);
}

}  // namespace
}  // namespace millrace
