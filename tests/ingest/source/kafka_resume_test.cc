// Records that are lost, or a topic that is another one now, must never be read over in silence,
// and nothing may be read twice.

#include "ingest/source/kafka_resume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/source/source.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

const PartitionKey kKey{"clicks", 2};

// The record that the log `log` has at an offset.
RecordMark record(std::int64_t offset, char log = 'a') {
  return mark_of(offset, EventTime{1764000000000 + offset}, std::string(1, log), "v");
}

// What is found where the log of now is `log` up to `cut_at` and 'z' from there on.
PartitionEvidence evidence(std::int64_t low, std::int64_t high, std::optional<std::int64_t> last,
                           std::optional<std::int64_t> anchor, char log = 'a',
                           std::int64_t cut_at = 1 << 30) {
  PartitionEvidence e{low, high, {}, {}, {}};
  auto found = [&](std::int64_t offset) -> std::optional<RecordMark> {
    if (offset < low || offset >= high) return std::nullopt;
    return record(offset, offset < cut_at ? log : 'z');
  };
  if (last) {
    e.marks.last = record(*last);
    e.at_last = found(*last);
  }
  if (anchor) {
    e.marks.anchor = record(*anchor);
    e.at_anchor = found(*anchor);
  }
  return e;
}

std::string failure(std::int64_t position, const PartitionEvidence& e) {
  try {
    resume(kKey, position, e, OnLost::kFail);
    return "resumed";
  } catch (const LostError& error) {
    return error.what();
  }
}

TEST(Resume, APositionThatIsThereIsKept) {
  for (const std::int64_t position : {100, 150, 200}) {  // the end is there too
    const PartitionEvidence e = evidence(100, 200, std::nullopt, std::nullopt);
    EXPECT_TRUE(is_unchanged(position, e));
    const Resumption resumption = resume(kKey, position, e, OnLost::kFail);
    EXPECT_EQ(resumption.position, position);
    EXPECT_EQ(resumption.lost, std::nullopt);
    EXPECT_EQ(resumption.message, "");
  }
}

TEST(Resume, TheSameRecordsAreNoNews) {
  const PartitionEvidence e = evidence(0, 200, 149, 120);
  const Resumption resumption = resume(kKey, 150, e, OnLost::kFail);
  EXPECT_EQ(resumption.position, 150);
  EXPECT_EQ(resumption.message, "");
  EXPECT_EQ(resumption.marks.last, record(149));
  EXPECT_EQ(resumption.marks.anchor, record(149));  // known to be of this log now
}

TEST(Resume, ARecordThatRetentionDeletedSaysNothing) {
  const PartitionEvidence e = evidence(150, 200, 149, 120);
  const Resumption resumption = resume(kKey, 150, e, OnLost::kFail);
  EXPECT_EQ(resumption.position, 150);
  EXPECT_EQ(resumption.lost, std::nullopt);
  EXPECT_THAT(resumption.message, HasSubstr("offset 149, is gone by retention"));
}

TEST(Resume, RetentionThatPassedThePositionIsALoss) {
  const PartitionEvidence e = evidence(170, 200, 149, 120);
  EXPECT_FALSE(is_unchanged(150, e));
  EXPECT_THAT(failure(150, e), HasSubstr("topic clicks, partition 2: the stored offset 150 is not "
                                         "there; the broker has 170 to 200: 20 offsets are lost"));
  EXPECT_THAT(failure(150, e), HasSubstr("kafka.on_lost: skip"));
  const Resumption skipped = resume(kKey, 150, e, OnLost::kSkip);
  EXPECT_EQ(skipped.position, 170);
  EXPECT_EQ(skipped.lost, (LostRange{kKey, 150, 170, LossReason::kRetention}));
  EXPECT_THAT(skipped.message, HasSubstr("skipped offsets 150 to 169 (20 are lost)"));
}

TEST(Resume, ATopicMadeAnewIsReadFromItsStart) {
  // Longer than the position, shorter, and empty; with a mark, or from a store that has none.
  for (const auto& e : {evidence(0, 500, 149, 120, 'b'), evidence(0, 160, 149, 149, 'b'),
                        evidence(0, 40, 149, 120, 'b'), evidence(0, 0, 149, 120, 'b'),
                        evidence(0, 40, std::nullopt, std::nullopt)}) {
    EXPECT_FALSE(is_unchanged(150, e));
    EXPECT_THAT(failure(150, e), HasSubstr("topic clicks, partition 2: "));
    EXPECT_THAT(failure(150, e), HasSubstr("the topic was made anew"));
    const Resumption skipped = resume(kKey, 150, e, OnLost::kSkip);
    EXPECT_EQ(skipped.position, 0);
    EXPECT_EQ(skipped.marks, PartitionMarks{});
    EXPECT_EQ(skipped.lost, (LostRange{kKey, 150, std::nullopt, LossReason::kMadeAnew}));
    EXPECT_THAT(skipped.message, HasSubstr("offsets from 150 on of the topic as it was"));
  }
  EXPECT_THAT(failure(150, evidence(0, 500, 149, 120, 'b')),
              HasSubstr("at offset 149, the last that was read, its key or value is another; the "
                        "broker has 0 to 500"));
}

TEST(Resume, ALogThatWasCutIsNeverReadTwice) {
  // Shorter than the position; the older record is the same.
  const PartitionEvidence shorter = evidence(0, 140, 149, 120);
  EXPECT_THAT(failure(150, shorter), HasSubstr("the log was cut behind offset 120"));
  EXPECT_EQ(resume(kKey, 150, shorter, OnLost::kSkip).position, 140);
  // Cut, and grown again beyond the position.
  const PartitionEvidence grown = evidence(0, 300, 149, 120, 'a', 130);
  EXPECT_THAT(failure(150, grown), HasSubstr("the log was cut behind offset 120"));
  const Resumption skipped = resume(kKey, 150, grown, OnLost::kSkip);
  EXPECT_EQ(skipped.position, 150);
  EXPECT_EQ(skipped.lost, (LostRange{kKey, 121, 150, LossReason::kCut}));
  EXPECT_EQ(skipped.marks.last, record(120));
  // Only what follows the last record is gone: control records.
  const Resumption nothing = resume(kKey, 152, evidence(0, 150, 149, 120), OnLost::kSkip);
  EXPECT_EQ(nothing.position, 150);
  EXPECT_EQ(nothing.lost->offsets(), 0u);
  EXPECT_THAT(nothing.message, HasSubstr("nothing is skipped, going on at 150"));
}

TEST(Resume, ATopicMadeAnewWhileItWasReadGoesOnBehindWhatWasRead) {
  PartitionEvidence e = evidence(0, 300, 149, 120);
  e.at_anchor = record(120, 'b');
  EXPECT_FALSE(is_unchanged(150, e));
  EXPECT_THAT(failure(150, e), HasSubstr("made anew while it was read"));
  const Resumption skipped = resume(kKey, 150, e, OnLost::kSkip);
  EXPECT_EQ(skipped.position, 150);
  EXPECT_EQ(skipped.lost, (LostRange{kKey, 0, 121, LossReason::kMadeAnew}));
}

TEST(Resume, APartitionThatVanishedIsALoss) {
  EXPECT_THROW(resume_vanished(kKey, 7, OnLost::kFail), LostError);
  const Resumption skipped = resume_vanished(kKey, 7, OnLost::kSkip);
  EXPECT_EQ(skipped.position, 0);  // should it come back
  EXPECT_THAT(skipped.message, HasSubstr("made anew with fewer partitions"));
}

}  // namespace
}  // namespace millrace
