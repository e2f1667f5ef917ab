// What a migration relies on: a feature that both schemas have keeps its value, encoded as if the
// event had been read with the new schema in the first place.
#include "ingest/encode/transcode.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "learner/base/state.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

// Sets what the schema knows of one event.
EncodedFeatures encode(const Schema& schema, bool with_taste = true) {
  FeatureBuilder builder(schema);
  const auto find = [&](const char* name) { return schema.find_feature(name); };
  if (const int f = find("user_id"); f >= 0) {
    EXPECT_TRUE(builder.set_text(f, "u7"));
  }
  if (const int f = find("item_id"); f >= 0) {
    EXPECT_TRUE(builder.set_integer(f, 31));
  }
  if (const int f = find("price"); f >= 0) {
    EXPECT_TRUE(builder.set_number(f, 12.5));
  }
  if (const int f = find("genres"); f >= 0) {
    EXPECT_TRUE(builder.begin_list(f) && builder.set_text(f, "drama") &&
                builder.set_text(f, "war") && builder.end_list(f));
  }
  if (const int f = find("taste"); f >= 0 && with_taste) {
    EXPECT_TRUE(builder.begin_list(f));
    for (int i = 0; i < schema.features()[static_cast<std::size_t>(f)].width; ++i) {
      EXPECT_TRUE(builder.set_number(f, 0.5 * i));
    }
    EXPECT_TRUE(builder.end_list(f));
  }
  EncodedFeatures encoded;
  builder.finish(encoded);
  return encoded;
}

Schema with_features(std::vector<Feature> features) {
  return {std::move(features), shop_schema().tasks()};
}

TEST(TranscodeTest, TheSameSchemaChangesNothing) {
  const Schema schema = shop_schema();
  const FeatureTranscoder transcode(schema, schema);
  EXPECT_EQ(transcode(encode(schema)), encode(schema));
}

TEST(TranscodeTest, AddedRemovedAndReorderedFeaturesReadAsIfTheEventCameAnew) {
  const Schema old_schema = shop_schema();
  std::vector<Feature> features = old_schema.features();
  std::rotate(features.begin(), features.begin() + 2, features.end());
  std::erase_if(features, [](const Feature& feature) { return feature.name == "country"; });
  Feature added;
  added.name = "device";
  added.dimension = 4;
  features.insert(features.begin() + 1, added);
  added.name = "tags";
  added.kind = FeatureKind::kBag;
  features.insert(features.begin(), added);
  const Schema new_schema = with_features(features);

  const FeatureTranscoder transcode(old_schema, new_schema);
  EXPECT_EQ(transcode(encode(old_schema)), encode(new_schema));
  const FeatureTranscoder back(new_schema, old_schema);
  EXPECT_EQ(back(encode(new_schema)), encode(old_schema));
}

TEST(TranscodeTest, AnotherTableOrWidthIsAnotherFeature) {
  const Schema old_schema = shop_schema();
  std::vector<Feature> features = old_schema.features();
  features[0].table = "people";
  features[5].width = 3;
  const Schema new_schema = with_features(features);
  const FeatureTranscoder transcode(old_schema, new_schema);
  EXPECT_EQ(transcode.sources()[0], -1);
  EXPECT_EQ(transcode.sources()[1], 1);
  EXPECT_EQ(transcode.sources()[5], -1);

  FeatureBuilder expected(new_schema);
  EXPECT_TRUE(expected.set_integer(2, 31) && expected.set_number(4, 12.5));
  EXPECT_TRUE(expected.begin_list(3) && expected.set_text(3, "drama") &&
              expected.set_text(3, "war") && expected.end_list(3));
  EncodedFeatures encoded;
  expected.finish(encoded);
  EXPECT_EQ(transcode(encode(old_schema)), encoded);
}

TEST(TranscodeTest, AnEventsSliceStays) {
  const Schema schema = shop_schema();
  const EncodedFeatures encoded = encode(schema);
  EncodedFeatures sliced = encoded;
  append_slice(77, sliced);
  const FeatureTranscoder transcode(schema, schema);
  EXPECT_EQ(transcode(sliced), sliced);

  Batch batch = empty_batch(schema, Stream::kMatured);
  append_features(schema, encoded, batch);
  EXPECT_TRUE(batch.slices.empty());
  append_features(schema, sliced, batch);
  append_features(schema, encoded, batch);
  EXPECT_EQ(batch.slices, (std::vector<std::uint64_t>{0, 77, 0}));
  EXPECT_THROW(append_features(schema, sliced + "more", batch), StateError);
}

TEST(TranscodeTest, DamageIsSaid) {
  const Schema schema = shop_schema();
  const FeatureTranscoder transcode(schema, schema);
  const EncodedFeatures encoded = encode(schema);
  for (std::size_t length = 0; length < encoded.size(); ++length) {
    EXPECT_THROW(transcode(encoded.substr(0, length)), StateError) << length;
  }
  EXPECT_THROW(transcode(encoded + "x"), StateError);
}

}  // namespace
}  // namespace millrace
