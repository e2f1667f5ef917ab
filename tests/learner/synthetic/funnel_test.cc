// The simulator must be reproducible, in time order, and true to the probabilities that it states:
// the best possible AUC and every comparison with truth rest on them.
#include "learner/synthetic/funnel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace millrace {
namespace {

std::vector<FunnelEvent> events_of(const FunnelOptions& options, std::size_t count) {
  Funnel funnel(options);
  std::vector<FunnelEvent> events;
  while (events.size() < count) events.push_back(funnel.next());
  return events;
}

TEST(Funnel, IsAFunctionOfItsSeed) {
  const auto one = events_of({.seed = 3}, 2000), same = events_of({.seed = 3}, 2000);
  const auto other = events_of({.seed = 4}, 2000);
  int different = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].json, same[i].json);
    different += one[i].json != other[i].json;
  }
  EXPECT_GT(different, 1900);
}

TEST(Funnel, ComesInTimeOrderAndOutcomesFollowTheirImpression) {
  std::map<std::string, EventTime> shown;
  EventTime last = EventTime::before_all();
  for (const FunnelEvent& event :
       events_of({.click_delay = Duration{200}, .conversion_delay = Duration{1000}}, 20'000)) {
    EXPECT_LE(last, event.time);
    last = event.time;
    if (event.type == "impression") {
      shown[event.impression_id] = event.time;
    } else {
      ASSERT_TRUE(shown.contains(event.impression_id)) << event.json;
      EXPECT_LT(shown[event.impression_id], event.time);
    }
  }
}

TEST(Funnel, ClicksComeAsOftenAsItsProbabilitiesSay) {
  Funnel funnel({.seed = 5, .impressions_per_second = 1000});
  double expected = 0, variance = 0;
  int clicked = 0;
  while (funnel.impressions() < 50'000) {
    const FunnelEvent event = funnel.next();
    if (!event.truth) continue;
    expected += event.truth->ctr;
    variance += event.truth->ctr * (1 - event.truth->ctr);
    clicked += event.truth->clicked;
  }
  EXPECT_NEAR(clicked, expected, 4 * std::sqrt(variance));
  EXPECT_GT(expected / 50'000, 0.04);
  EXPECT_LT(expected / 50'000, 0.25);
}

TEST(Funnel, AnOracleRanksWellAboveChance) {
  Funnel funnel({.seed = 6});
  std::vector<std::pair<double, bool>> pairs;
  while (pairs.size() < 20'000) {
    const FunnelEvent event = funnel.next();
    if (event.truth) pairs.emplace_back(event.truth->ctr, event.truth->clicked);
  }
  std::sort(pairs.begin(), pairs.end());
  double below = 0, area = 0, positives = 0;
  for (const auto& [score, clicked] : pairs) {
    if (clicked) {
      area += below;
      ++positives;
    } else {
      ++below;
    }
  }
  const double auc = area / (positives * below);
  EXPECT_GT(auc, 0.74);
  EXPECT_LT(auc, 0.88);
}

TEST(Funnel, StopsAfterTheOutcomesThatAreStillToCome) {
  Funnel funnel({.seed = 7});
  while (funnel.impressions() < 500) funnel.next();
  funnel.stop();
  while (!funnel.finished()) EXPECT_NE(funnel.next().type, "impression");
  EXPECT_EQ(funnel.impressions(), 500U);
}

}  // namespace
}  // namespace millrace
