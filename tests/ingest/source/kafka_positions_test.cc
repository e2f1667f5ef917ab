// Positions must come back from the store as they were, and a position that the broker no longer
// has must never be read over in silence.

#include "ingest/source/kafka_positions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/source/source.h"
#include "learner/base/state.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

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

TEST(Resume, APositionThatIsThereIsKept) {
  for (const std::int64_t position : {100, 150, 200}) {  // the end is there too
    const Resumption resumption = resume(kKey, position, 100, 200, OnLost::kFail);
    EXPECT_EQ(resumption.position, position);
    EXPECT_EQ(resumption.lost, 0u);
    EXPECT_EQ(resumption.message, "");
  }
}

TEST(Resume, FailSaysWhatIsLost) {
  auto message = [](std::int64_t position) {
    try {
      resume(kKey, position, 100, 200, OnLost::kFail);
      return std::string("resumed");
    } catch (const SourceError& error) {
      return std::string(error.what());
    }
  };
  EXPECT_THAT(message(99), HasSubstr("topic clicks, partition 2: the stored offset 99 is not "
                                     "there; the broker has 100 to 200: 1 offsets are lost"));
  EXPECT_THAT(message(201),
              HasSubstr("201 is not there; the broker has 100 to 200: the topic was"));
  EXPECT_THAT(message(201), HasSubstr("kafka.on_lost: skip"));
}

TEST(Resume, SkipGoesOnAtWhatWasNeverRead) {
  const Resumption retention = resume(kKey, 40, 100, 200, OnLost::kSkip);
  EXPECT_EQ(retention.position, 100);
  EXPECT_EQ(retention.lost, 60u);
  EXPECT_THAT(retention.message, HasSubstr("skipped offsets 40 to 99 (60 are lost)"));
  const Resumption remade = resume(kKey, 250, 0, 200, OnLost::kSkip);
  EXPECT_EQ(remade.position, 0);
  EXPECT_EQ(remade.lost, 50u);
  EXPECT_THAT(remade.message, HasSubstr("skipped offsets 200 to 249 (50 are lost)"));
}

}  // namespace
}  // namespace millrace
