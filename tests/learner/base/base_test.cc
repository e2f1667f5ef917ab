#include <gtest/gtest.h>

#include "learner/base/fields.h"
#include "learner/base/hash.h"
#include "learner/base/queue.h"
#include "learner/base/random.h"
#include "learner/base/state.h"
#include "learner/base/time.h"
#include "learner/base/view.h"

namespace millrace {
namespace {

TEST(Time, Rfc3339) {
  EXPECT_EQ(parse_rfc3339("2025-11-24T16:00:40Z"), EventTime{1764000040000});
  EXPECT_EQ(parse_rfc3339("2025-11-24T18:00:40.1239+02:00"), EventTime{1764000040123});
  EXPECT_FALSE(parse_rfc3339("2025-02-30T16:00:40Z"));
  EXPECT_FALSE(parse_rfc3339("2025-11-24T16:00:40"));
  EXPECT_EQ(print_rfc3339(EventTime{1764000040000}), "2025-11-24T16:00:40.000Z");
}

TEST(Time, Durations) {
  EXPECT_EQ(parse_duration("24h"), Duration{86'400'000});
  EXPECT_FALSE(parse_duration("24"));
  EXPECT_FALSE(parse_duration("9999999999999999d"));
  EXPECT_EQ(print_duration(Duration{90'000}), "90s");
}

// Known answers of Random123 for Philox-4x32-10.
TEST(Random, PhiloxKnownAnswers) {
  const auto zero = philox(0, 0, 0);
  EXPECT_EQ(zero, (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const auto ones = philox(~0ULL, ~0ULL, ~0ULL);
  EXPECT_EQ(ones, (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

}  // namespace
}  // namespace millrace
