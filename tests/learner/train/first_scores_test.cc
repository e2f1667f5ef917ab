// When scores that nobody asked for are forgotten.
#include "learner/train/first_scores.h"

#include <gtest/gtest.h>

#include "learner/publish/served_logits.h"
#include "tests/learner/train/stream.h"

namespace millrace {
namespace {

// Rows at once and matured rows take turns, and the latter are behind in time: theirs must go when
// their own time has come.
TEST(FirstScores, AStreamThatIsBehindIsForgottenInTime) {
  const Schema schema{stream::features(), stream::tasks(FeedbackPolicy::kFnw)};
  FirstScores scores(schema, Duration{300'000});
  const ServedLogits served(schema);
  const int T = static_cast<int>(schema.tasks().size());
  const std::vector<float> z(static_cast<std::size_t>(T));
  const auto add = [&](std::uint64_t key, int second) {
    Batch batch;
    batch.rows = 1;
    batch.keys = {key};
    batch.due = EventTime{1'764'000'000'000 + 1000 * std::int64_t{second}};
    scores.add(batch, View<const float>(z.data(), 1, T), served);
  };
  add(0, 0);  // no impression
  add(1, 60);
  add(2, 120);
  add(3, 30);
  ASSERT_NE(scores.find(3), nullptr);
  add(0, 331);
  EXPECT_EQ(scores.find(3), nullptr);
  EXPECT_NE(scores.find(1), nullptr);
}

}  // namespace
}  // namespace millrace
