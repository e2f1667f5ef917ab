// Positions must come back from the store as they were.

#include "ingest/source/kafka_positions.h"

#include <gtest/gtest.h>

#include "learner/base/state.h"

namespace millrace {
namespace {

const PartitionKey kKey{"clicks", 2};

TEST(KafkaPositions, ComeBackFromTheStore) {
  KafkaPositions positions;
  EXPECT_TRUE(positions.is_new());
  positions.set({"clicks", 0}, 5);
  positions.set({"clicks", 11}, 0);
  positions.set({"a topic", 0}, 1LL << 50);
  KafkaPositions restored;
  restored.restore(positions.save());
  EXPECT_FALSE(restored.is_new());
  EXPECT_EQ(restored.find({"clicks", 0}), 5);
  EXPECT_EQ(restored.find({"clicks", 11}), 0);
  EXPECT_EQ(restored.find({"a topic", 0}), 1LL << 50);
  EXPECT_EQ(restored.find({"clicks", 1}), std::nullopt);
  EXPECT_EQ(restored.save(), positions.save());
}

TEST(KafkaPositions, ACommitWithoutPartitionsIsNoNewStore) {
  KafkaPositions restored;
  restored.restore(KafkaPositions{}.save());
  EXPECT_FALSE(restored.is_new());
}

TEST(KafkaPositions, DamageIsSaid) {
  KafkaPositions positions;
  positions.set(kKey, 5);
  const std::string bytes = positions.save();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(KafkaPositions{}.restore(bytes.substr(0, size)), StateError);
  }
}

}  // namespace
}  // namespace millrace
