// What a person sees during a long replay: rate, share and remaining time that fit together.
#include "ops/progress.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(ProgressLine, SaysRateShareAndWhatIsLeft) {
  EXPECT_EQ(progress_line(1'234'567, 10, 0.5),
            "[###############...............]  50 %  1,234,567 events  123,456/s  10 s left");
}

TEST(ProgressLine, SaysHowLongItTookAtTheEnd) {
  EXPECT_EQ(progress_line(1000, 2, 1),
            "[##############################] 100 %  1,000 events  500/s  in 2.0 s");
}

TEST(ProgressLine, NothingKnownYet) {
  EXPECT_EQ(progress_line(0, 0, 0), "[..............................]   0 %  0 events  0/s");
}

}  // namespace
}  // namespace millrace
