// A log that floods hides what matters: repeated lines are held back and counted, and no message
// can break the line format.
#include "ops/log.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(RepeatFilter, HoldsBackWhatComesAgainSoonAndCountsIt) {
  RepeatFilter filter;
  EXPECT_TRUE(filter.judge("broker down", 100).write);
  EXPECT_FALSE(filter.judge("broker down", 101).write);
  EXPECT_FALSE(filter.judge("broker down", 109.9).write);
  EXPECT_TRUE(filter.judge("another", 105).write);
  const RepeatFilter::Verdict later = filter.judge("broker down", 110);
  EXPECT_TRUE(later.write);
  EXPECT_EQ(later.held_back, 2U);
  EXPECT_FALSE(filter.judge("broker down", 111).write);
}

TEST(RepeatFilter, RemembersABoundedNumber) {
  RepeatFilter filter;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(filter.judge(std::to_string(i), 1).write);
  EXPECT_TRUE(filter.judge("0", 1).write) << "forgotten, so written again";
  EXPECT_FALSE(filter.judge("999", 1).write);
}

// Who asks for the same change twice is told twice.
TEST(LogLine, NeverHoldsANoticeBack) {
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 3; ++i) {
    log_line("notice", "the model b is the champion now");
    log_line("info", "broker down");
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  const auto times = [&](const std::string& what) {
    int count = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
    return count;
  };
  EXPECT_EQ(times("level=info msg=\"the model b is the champion now\""), 3) << text;
  EXPECT_EQ(times("broker down"), 1) << text;
}

TEST(QuoteForLog, KeepsOneMessageOnOneLine) {
  EXPECT_EQ(quote_for_log("plain"), "\"plain\"");
  EXPECT_EQ(quote_for_log("a \"b\"\nc\\\x01"), R"("a \"b\"\nc\\\x01")");
}

}  // namespace
}  // namespace millrace
