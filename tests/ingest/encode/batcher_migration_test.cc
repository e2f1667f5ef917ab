// The rows of open batches under another shape: as if they had been added to it in the first place.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ingest/encode/batcher.h"
#include "tests/support/shop.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

EncodedFeatures encode(const Schema& schema, int item) {
  FeatureBuilder builder(schema);
  EXPECT_TRUE(builder.set_integer(schema.find_feature("item_id"), item));
  if (const int f = schema.find_feature("price"); f >= 0) {
    EXPECT_TRUE(builder.set_number(f, item + 0.5));
  }
  EncodedFeatures encoded;
  builder.finish(encoded);
  return encoded;
}

JoinedRow row(const Schema& schema, int item, std::vector<double> labels) {
  JoinedRow row{.impression_id = "i" + std::to_string(item),
                .time = {1000},
                .due = {2000},
                .watermark = {2001},
                .features = encode(schema, item),
                .weight = 2,
                .user = static_cast<std::uint64_t>(100 + item)};
  row.condition.assign(labels.size(), 1);
  row.counts.assign(labels.size(), 1);
  row.origin.assign(labels.size(), Origin::kFinal);
  row.targets.assign(labels.size(), 0);
  row.labels = std::move(labels);
  return row;
}

std::string saved(Batcher& batcher, const char* name) {
  for (const StateChanges::Value& value : batcher.save(1, {}).values) {
    if (value.name == name) return value.bytes;
  }
  return "";
}

struct BatcherMigrationTest : ::testing::Test {
  const Schema from = shop_schema();
  Batcher old{from, 100, Duration{250}};
  std::vector<Batch> closed;

  std::string rows;  // as the old batcher saved them

  std::string carried_to(const Schema& to, const std::vector<int>& tasks) {
    if (rows.empty()) rows = saved(old, "matured");
    const Batcher batcher(to, 100, Duration{250});
    return batcher.carried_over(rows, old, tasks, FeatureTranscoder(from, to));
  }
};

TEST_F(BatcherMigrationTest, TheSameShapeSavesTheSameBytes) {
  for (int i = 0; i < 5; ++i) old.add(row(from, i, {1, 0, kMissing, 1}), {2000}, closed);
  rows = saved(old, "matured");
  Batcher again(from, 100, Duration{250});
  EXPECT_EQ(again.carried_over(rows, old, {0, 1, 2, 3}, FeatureTranscoder(from, from)), rows);
}

TEST_F(BatcherMigrationTest, AnotherShapeReadsThemAsItsOwn) {
  std::vector<Feature> features = from.features();
  features.erase(features.begin() + 4);  // price
  Feature added;
  added.name = "device";
  added.dimension = 2;
  features.insert(features.begin(), added);
  // like and ctr stay, a new task comes first.
  const Schema to(features, {{.name = "share"}, {.name = "like", .given = 2}, {.name = "ctr"}});
  for (int i = 0; i < 5; ++i) old.add(row(from, i, {i % 2 * 1.0, 0, 3, 1}), {2000}, closed);
  old.add(row(from, 9, {kMissing, 1, kMissing, kMissing}), {2000},
          closed);  // nothing is left of it

  Batcher expected(to, 100, Duration{250});
  for (int i = 0; i < 5; ++i) {
    JoinedRow one = row(to, i, {kMissing, 1, i % 2 * 1.0});
    one.condition[0] = 0;
    expected.add(one, {2000}, closed);
  }
  EXPECT_EQ(carried_to(to, {-1, 3, 0}), saved(expected, "matured"));

  Batcher restored(to, 100, Duration{250});
  restored.restore_value("matured", carried_to(to, {-1, 3, 0}));
  restored.close_passed({10'000}, {10'000}, closed);
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].rows, 5);
  EXPECT_TRUE(std::isnan(closed[0].labels[0]));
  EXPECT_EQ(closed[0].labels[5], 1);
  EXPECT_EQ(closed[0].users[2], 102U);
}

TEST_F(BatcherMigrationTest, PoliciesOfDelayedFeedbackMayComeAndGo) {
  std::vector<Task> tasks = from.tasks();
  tasks[0].policy = FeedbackPolicy::kFnw;
  const Schema to(from.features(), tasks);
  old.add(row(from, 1, {1, 0, kMissing, 1}), {2000}, closed);
  Batcher batcher(to, 100, Duration{250});
  const std::string carried = carried_to(to, {0, 1, 2, 3});
  batcher.restore_value("matured", carried);
  const Batcher back(from, 100, Duration{250});
  EXPECT_EQ(back.carried_over(carried, batcher, {0, 1, 2, 3}, FeatureTranscoder(to, from)), rows);
}

}  // namespace
}  // namespace millrace
