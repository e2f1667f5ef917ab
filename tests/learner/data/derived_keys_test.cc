// Keys that are made of other values: every boundary belongs to the bucket above it, buckets of a
// range are equally wide under the transform, and crosses tell all combinations apart.
#include "learner/data/derived_keys.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "learner/data/batch.h"
#include "learner/data/feature_key.h"
#include "learner/data/schema.h"

namespace millrace {
namespace {

Feature number() {
  Feature feature;
  feature.name = "n";
  feature.kind = FeatureKind::kNumeric;
  feature.dimension = 4;
  return feature;
}

TEST(Buckets, ABoundaryBelongsToTheBucketAboveIt) {
  Feature feature = number();
  feature.boundaries = {-1, 0, 2.5};
  const Buckets buckets(feature, 77);
  const auto bucket = [](int i) { return feature_key(std::to_string(i), 77); };
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(buckets.key(-inf), bucket(0));
  EXPECT_EQ(buckets.key(-1.0000001), bucket(0));
  EXPECT_EQ(buckets.key(-1), bucket(1));
  EXPECT_EQ(buckets.key(-0.0), bucket(2));
  EXPECT_EQ(buckets.key(2.4999), bucket(2));
  EXPECT_EQ(buckets.key(2.5), bucket(3));
  EXPECT_EQ(buckets.key(inf), bucket(3));
  EXPECT_EQ(buckets.key(std::nan("")), kMissingKey);
}

TEST(Buckets, OfARangeAreEquallyWideUnderTheTransform) {
  Feature feature = number();
  feature.buckets = 5;
  feature.range = {-10, 40};
  EXPECT_EQ(Buckets(feature, 1).boundaries(), (std::vector<double>{0, 10, 20, 30}));

  feature.buckets = 3;
  feature.range = {0, 999};
  feature.transform = Transform::kLog1p;
  const Buckets wide(feature, 1);
  ASSERT_EQ(wide.boundaries().size(), 2U);
  EXPECT_NEAR(wide.boundaries()[0], 9, 1e-9);
  EXPECT_NEAR(wide.boundaries()[1], 99, 1e-9);
  EXPECT_EQ(wide.key(-3), wide.key(8));
  EXPECT_EQ(wide.key(1e9), wide.key(100));
  EXPECT_NE(wide.key(8), wide.key(10));
}

TEST(CrossKey, TellsCombinationsApart) {
  const auto key = [](std::uint64_t seed, std::initializer_list<std::uint64_t> parts) {
    CrossKey cross(seed);
    for (const std::uint64_t part : parts) cross.add(part);
    return cross.key();
  };
  std::set<std::uint64_t> seen;
  constexpr std::uint64_t kValues = 300;
  for (std::uint64_t a = 1; a <= kValues; ++a) {
    for (std::uint64_t b = 1; b <= kValues; ++b) seen.insert(key(5, {a, b}));
  }
  for (std::uint64_t a = 1; a <= kValues; ++a) seen.insert(key(5, {a, a, 1}));
  for (std::uint64_t a = 1; a <= kValues; ++a) seen.insert(key(6, {a, 1}));
  EXPECT_EQ(seen.size(), kValues * kValues + 2 * kValues);
  EXPECT_FALSE(seen.contains(kMissingKey));
  EXPECT_EQ(key(5, {3, kMissingKey}), kMissingKey);
  EXPECT_EQ(key(5, {kMissingKey, 3, 4}), kMissingKey);
}

TEST(FeatureKey, IsNeverTheMissingKey) {
  for (int i = 0; i < 1000; ++i) EXPECT_NE(feature_key(std::to_string(i), 1), kMissingKey);
  EXPECT_NE(feature_key("", 0), kMissingKey);
}

}  // namespace
}  // namespace millrace
