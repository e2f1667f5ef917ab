// Times and durations as configurations and events write them, and arithmetic at both ends of time.
#include "learner/base/time.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Rfc3339, ReadsOffsetsAndCutsBelowAMillisecond) {
  EXPECT_EQ(parse_rfc3339("2025-11-24T16:00:40Z"), EventTime{1'764'000'040'000});
  EXPECT_EQ(parse_rfc3339("2025-11-24T18:00:40.1239+02:00"), EventTime{1'764'000'040'123});
  EXPECT_EQ(parse_rfc3339("2025-11-24 10:30:40.5-05:30"), EventTime{1'764'000'040'500});
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00Z"), EventTime{0});
  EXPECT_EQ(parse_rfc3339("9999-12-31T23:59:59.999Z"), kLatestEventTime);
}

TEST(Rfc3339, RefusesWhatIsNoMoment) {
  for (const char* text :
       {"", "2025-02-30T16:00:40Z", "2025-11-24T16:00:40", "2025-11-24T24:00:00Z",
        "2025-11-24T16:60:00Z", "2025-11-24T16:00:40.Z", "2025-11-24T16:00:40Zx", "2025-11-24",
        "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
        "2025-11-24T16:00:40+2:00", "2O25-11-24T16:00:40Z", "+025-11-24T16:00:40Z"}) {
    EXPECT_FALSE(parse_rfc3339(text)) << text;
  }
}

TEST(Rfc3339, PrintsWhatItReads) {
  for (const std::int64_t ms :
       {0LL, 951'782'400'000LL, 1'764'000'040'123LL, 253'402'300'799'999LL}) {
    EXPECT_EQ(parse_rfc3339(print_rfc3339(EventTime{ms})), EventTime{ms});
  }
  EXPECT_EQ(print_rfc3339(EventTime{1'764'000'040'000}), "2025-11-24T16:00:40.000Z");
}

TEST(Durations, NeedAUnitAndRoom) {
  EXPECT_EQ(parse_duration("24h"), Duration{86'400'000});
  EXPECT_EQ(parse_duration("0ms"), Duration{0});
  for (const char* text : {"", "24", "h", "1.5h", "-1s", "1 s", "1S", "9999999999999999d", "1y"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
  EXPECT_EQ(print_duration(Duration{90'000}), "90s");
  EXPECT_EQ(print_duration(Duration{0}), "0ms");
  for (const std::int64_t ms : {1LL, 1'000LL, 61'000LL, 3'600'000LL, 604'800'000LL}) {
    EXPECT_EQ(parse_duration(print_duration(Duration{ms})), Duration{ms});
  }
}

TEST(Sizes, AreBytesOrHaveAUnit) {
  EXPECT_EQ(parse_bytes("64KiB"), 65'536);
  EXPECT_EQ(parse_bytes("100"), 100);
  for (const char* text : {"64KB", "-1", "1.5MiB", "99999999999GiB", ""}) {
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
  EXPECT_EQ(print_bytes(256LL << 20), "256MiB");
}

TEST(EventTime, StaysAtItsEnds) {
  constexpr Duration kLong{std::numeric_limits<std::int64_t>::max()};
  EXPECT_EQ(EventTime::before_all() + kLong, EventTime::before_all());
  EXPECT_EQ(EventTime::after_all() - kLong, EventTime::after_all());
  EXPECT_EQ(EventTime{1'764'000'000'000} + kLong, EventTime::after_all());
  EXPECT_EQ(EventTime{-1'764'000'000'000} - kLong, EventTime::before_all());
  EXPECT_EQ(EventTime{5} - Duration{7}, EventTime{-2});
}

}  // namespace
}  // namespace millrace
