// The short form of tests/bench/delayed_feedback_bench: on a stream whose conversions come late
// while what they depend on goes on changing, ES-DFM, DFM and FNW win back most of what waiting
// costs, and DFM beats taking what comes within its short wait for all that comes.
#include "tests/support/feedback_experiment.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(FeedbackExperiment, PoliciesWinBackMostOfWhatWaitingCosts) {
  // A day of the long form in two hours.
  FeedbackExperiment e;
  e.impressions = 100'000;
  e.impressions_per_second = 3;
  e.window = Duration{2 * 3'600'000};
  e.conversion_delay = Duration{600'000};
  e.conversion_turn = Duration{6 * 3'600'000};
  e.short_wait = Duration{75'000};
  const FeedbackResult wait = run_feedback_method(e, "wait");
  const FeedbackResult oracle = run_feedback_method(e, "oracle");
  ASSERT_LT(oracle.ne, wait.ne - 0.05);
  ASSERT_GT(oracle.auc, wait.auc + 0.05);
  FeedbackExperiment ignored = e;
  ignored.window = e.short_wait;
  const FeedbackResult none_later = run_feedback_method(ignored, "wait");
  for (const char* method : {"fnw", "es_dfm", "defuse", "dfm"}) {
    const FeedbackResult result = run_feedback_method(e, method);
    EXPECT_GT(gap_closed(wait.ne, result.ne, oracle.ne), 0.5) << method;
    EXPECT_GT(gap_closed(wait.auc, result.auc, oracle.auc), 0.5) << method;
    EXPECT_GT(gap_closed(wait.entire_ne, result.entire_ne, oracle.entire_ne), 0.5) << method;
    EXPECT_LT(result.ne, none_later.ne - 0.1) << method;
    EXPECT_LT(result.entire_ne, none_later.entire_ne - 0.1) << method;
  }
}

}  // namespace
}  // namespace millrace
