// By what a record is known again must tell apart whatever Kafka tells apart, and marks and lost
// ranges must come back from the store as they were.

#include "ingest/source/kafka_marks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/source/kafka_losses.h"
#include "learner/base/state.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

const std::string_view kAbsent{};
const EventTime kStamp{1764000000123};

TEST(RecordMark, KnowsARecordByAllThatItIs) {
  const RecordMark mark = mark_of(7, kStamp, "key", "value");
  EXPECT_EQ(mark, mark_of(7, kStamp, "key", "value"));
  const RecordMark others[] = {
      mark_of(8, kStamp, "key", "value"),
      mark_of(7, EventTime{1}, "key", "value"),
      mark_of(7, std::nullopt, "key", "value"),
      mark_of(7, kStamp, "kex", "value"),
      mark_of(7, kStamp, "key", "valuE"),
      mark_of(7, kStamp, "keyv", "alue"),
      mark_of(7, kStamp, "value", "key"),
      mark_of(7, kStamp, kAbsent, "value"),
      mark_of(7, kStamp, "", "value"),
      mark_of(7, kStamp, "key", kAbsent),
      mark_of(7, kStamp, "key", ""),
      mark_of(7, kStamp, kAbsent, kAbsent),
      mark_of(7, kStamp, "", kAbsent),
      mark_of(7, kStamp, "", ""),
      mark_of(7, kStamp, kAbsent, ""),
  };
  for (std::size_t i = 0; i < std::size(others); ++i) {
    EXPECT_FALSE(others[i] == mark) << i;
    for (std::size_t j = 0; j < i; ++j) EXPECT_FALSE(others[i] == others[j]) << i << ' ' << j;
  }
}

TEST(RecordMark, SaysWhatDiffers) {
  const RecordMark was = mark_of(7, kStamp, "key", "value");
  EXPECT_EQ(difference(was, mark_of(9, kStamp, "key", "value")),
            "there is no record, the next one has offset 9");
  EXPECT_EQ(difference(was, mark_of(7, kStamp, "key", "other")), "its key or value is another");
  EXPECT_EQ(difference(was, mark_of(7, EventTime{1764000001000}, "key", "value")),
            "its timestamp is 2025-11-24T16:00:01.000Z, and was 2025-11-24T16:00:00.123Z");
  EXPECT_THAT(difference(was, mark_of(7, std::nullopt, "key", "other")),
              HasSubstr("its timestamp is none, and was 2025-11-24T16:00:00.123Z; its key"));
}

TEST(KafkaMarks, ComeBackFromTheStore) {
  KafkaMarks marks;
  marks.set({"clicks", 2}, {mark_of(7, kStamp, "k", "v"), mark_of(3, std::nullopt, "k", "w")});
  marks.set({"clicks", 10}, {});
  marks.set({"a", 0}, {mark_of(0, EventTime{-5}, kAbsent, ""), std::nullopt});
  KafkaMarks restored;
  restored.restore(marks.save());
  EXPECT_EQ(restored.all(), marks.all());
  EXPECT_EQ(restored.find({"clicks", 3}), PartitionMarks{});
  const std::string bytes = marks.save();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(KafkaMarks{}.restore(bytes.substr(0, size)), StateError);
  }
}

TEST(KafkaLosses, ComeBackFromTheStoreAndKeepTheLastRanges) {
  KafkaLosses losses;
  EXPECT_TRUE(losses.is_empty());
  losses.add({{"clicks", 1}, 50, std::nullopt, LossReason::kMadeAnew});
  for (int i = 0; i < 150; ++i) losses.add({{"t", i}, i, i + 2, LossReason::kRetention});
  losses.add({{"t", 3}, 9, 9, LossReason::kCut});

  KafkaLosses restored;
  restored.restore(losses.save());
  EXPECT_EQ(restored.last(), losses.last());
  ASSERT_EQ(restored.last().size(), KafkaLosses::kMostRanges);
  EXPECT_EQ(restored.last().front().key, PartitionKey("t", 51));
  const KafkaLosses::Counts& counts = restored.counts();
  EXPECT_EQ(counts[0].ranges, 150u);
  EXPECT_EQ(counts[0].offsets, 300u);
  EXPECT_EQ(counts[1].ranges, 1u);
  EXPECT_EQ(counts[1].offsets, 0u);
  EXPECT_EQ(counts[2].ranges, 1u);
  const std::string bytes = losses.save();
  EXPECT_THROW(KafkaLosses{}.restore(bytes.substr(0, bytes.size() - 1)), StateError);
  std::string damaged = bytes;
  damaged.back() = 3;
  EXPECT_THROW(KafkaLosses{}.restore(damaged), StateError);
}

}  // namespace
}  // namespace millrace
