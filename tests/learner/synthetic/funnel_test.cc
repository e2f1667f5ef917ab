// What the simulated shop promises to those who learn from it: the stated probabilities are the
// ones that events are drawn with, there is enough to learn, and equal options give equal bytes.
#include "learner/synthetic/funnel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace millrace {
namespace {

using Kind = FunnelEventType;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<FunnelEvent> all_events(const FunnelOptions& options) {
  Funnel funnel(options);
  std::vector<FunnelEvent> events;
  for (FunnelEvent event; funnel.next(event);) events.push_back(event);
  return events;
}

std::vector<FunnelEvent> impressions_of(const std::vector<FunnelEvent>& events) {
  std::vector<FunnelEvent> impressions;
  for (const FunnelEvent& event : events) {
    if (event.type == Kind::kImpression) impressions.push_back(event);
  }
  return impressions;
}

// The share of pairs (positive, negative) that the score puts in order.
double auc(std::vector<std::pair<double, bool>> scored) {
  std::sort(scored.begin(), scored.end());
  double positives = 0, negatives = 0, ordered = 0;
  for (const auto& [score, positive] : scored) {
    if (positive) ordered += negatives;
    (positive ? positives : negatives) += 1;
  }
  return ordered / (positives * negatives);
}

struct FunnelTest : ::testing::Test {
  static const std::vector<FunnelEvent>& events() {
    static const auto events = all_events({.seed = 5, .impressions = 100'000});
    return events;
  }
};

TEST_F(FunnelTest, EqualOptionsGiveEqualBytes) {
  const auto again = all_events({.seed = 5, .impressions = 100'000});
  ASSERT_EQ(again.size(), events().size());
  for (std::size_t i = 0; i < again.size(); ++i) ASSERT_EQ(again[i].json, events()[i].json);
  EXPECT_NE(all_events({.seed = 6, .impressions = 1})[0].json, events()[0].json);
  const auto fewer = impressions_of(all_events({.seed = 5, .impressions = 500}));
  const auto first = impressions_of(events());
  for (std::size_t i = 0; i < fewer.size(); ++i) EXPECT_EQ(fewer[i].json, first[i].json);
}

TEST_F(FunnelTest, TimesNeverFallAndKeepTheRate) {
  EventTime last{};
  for (const FunnelEvent& event : events()) {
    ASSERT_LE(last, event.time);
    last = event.time;
  }
  const auto impressions = impressions_of(events());
  ASSERT_EQ(impressions.size(), 100'000u);
  const Duration span = impressions.back().time - FunnelOptions{}.start;
  EXPECT_NEAR(static_cast<double>(span.count()), 1e6, 20);  // 100 a second
}

TEST_F(FunnelTest, OutcomesFollowTheirImpressionWithinTheWindows) {
  std::map<std::int64_t, const FunnelEvent*> impressions;
  std::map<Kind, int> counts;
  for (const FunnelEvent& event : events()) {
    ++counts[event.type];
    if (event.type == Kind::kImpression) {
      impressions[event.impression] = &event;
      continue;
    }
    const FunnelEvent& shown = *impressions.at(event.impression);
    EXPECT_EQ(shown.impression_id, event.impression_id);
    EXPECT_TRUE(shown.labels.click);
    EXPECT_EQ(shown.truth.ctr, event.truth.ctr);
    const Duration delay = event.time - shown.time;
    EXPECT_GT(delay.count(), 0);
    const int window = event.type == Kind::kClick        ? 600'000
                       : event.type == Kind::kConversion ? 86'400'000
                                                         : 1'800'000;
    EXPECT_LT(delay.count(), window);
    EXPECT_TRUE(event.type != Kind::kLike || shown.labels.like);
    EXPECT_TRUE(event.type != Kind::kConversion || shown.labels.conversion);
  }
  const auto shown = impressions_of(events());
  const auto count = [&](bool FunnelLabels::*label) {
    return std::count_if(shown.begin(), shown.end(),
                         [&](const FunnelEvent& e) { return e.labels.*label; });
  };
  EXPECT_EQ(counts[Kind::kClick], count(&FunnelLabels::click));
  EXPECT_EQ(counts[Kind::kDwell], counts[Kind::kClick]);
  EXPECT_EQ(counts[Kind::kLike], count(&FunnelLabels::like));
  EXPECT_EQ(counts[Kind::kConversion], count(&FunnelLabels::conversion));
}

// Σ label − Σ p lies within 5 standard deviations of a sum of independent draws.
TEST_F(FunnelTest, TheTruthIsWhatEventsAreDrawnWith) {
  for (const bool given_click : {false, true}) {
    double surprise[3] = {}, variance[3] = {};
    for (const FunnelEvent& e : impressions_of(events())) {
      if (given_click && !e.labels.click) continue;
      const double p[3] = {e.truth.ctr, e.truth.cvr, e.truth.like};
      const bool y[3] = {e.labels.click, e.labels.conversion, e.labels.like};
      for (int k = given_click ? 1 : 0; k < (given_click ? 3 : 1); ++k) {
        surprise[k] += y[k] - p[k];
        variance[k] += p[k] * (1 - p[k]);
      }
    }
    for (int k = 0; k < 3; ++k) EXPECT_LE(std::abs(surprise[k]), 5 * std::sqrt(variance[k])) << k;
  }
  double longer = 0, clicks = 0;
  for (const FunnelEvent& e : impressions_of(events())) {
    if (!e.labels.click) continue;
    longer += e.labels.dwell > e.truth.dwell;
    clicks += 1;
  }
  EXPECT_NEAR(longer / clicks, 0.5, 2.5 / std::sqrt(clicks));
}

TEST_F(FunnelTest, ThereIsEnoughToLearn) {
  std::vector<std::pair<double, bool>> click, conversion, like;
  for (const FunnelEvent& e : impressions_of(events())) {
    click.emplace_back(e.truth.ctr, e.labels.click);
    if (!e.labels.click) continue;
    conversion.emplace_back(e.truth.cvr, e.labels.conversion);
    like.emplace_back(e.truth.like, e.labels.like);
  }
  EXPECT_GT(auc(click), 0.75);
  EXPECT_LT(auc(click), 0.82);
  EXPECT_GT(auc(conversion), 0.7);
  EXPECT_GT(auc(like), 0.7);
  const auto share = static_cast<double>(like.size()) / static_cast<double>(click.size());
  EXPECT_GT(share, 0.05);
  EXPECT_LT(share, 0.2);
}

TEST_F(FunnelTest, FewAreSeenOftenAndSomeFeaturesAreMissing) {
  std::map<std::string, int> users;
  int without_price = 0, without_taste = 0;
  for (const FunnelEvent& e : impressions_of(events())) {
    const auto at = e.json.find("\"user\":") + 8;
    ++users[e.json.substr(at, e.json.find('"', at) - at)];
    without_price += e.json.find("price") == std::string::npos;
    without_taste += e.json.find("taste") == std::string::npos;
  }
  EXPECT_GT(users.at("u0"), 20 * users.at("u2000"));
  EXPECT_NEAR(without_price, 2'000, 250);
  EXPECT_NEAR(without_taste, 2'000, 250);
}

TEST_F(FunnelTest, TheTruthDrifts) {
  // With one user and one item nothing but time (and a little price) moves the truth.
  const auto impressions = impressions_of(all_events({.impressions = 2'000,
                                                      .rate = 1,
                                                      .users = 1,
                                                      .items = 1,
                                                      .drift_period = Duration{2'000'000}}));
  const auto logit = [&](std::size_t from) {
    double sum = 0;
    for (std::size_t i = from; i < from + 200; ++i) {
      const double p = impressions[i].truth.ctr;
      sum += std::log(p / (1 - p)) / 200;
    }
    return sum;
  };
  double least = 1e9, most = -1e9;
  for (std::size_t from = 0; from + 200 <= impressions.size(); from += 200) {
    least = std::min(least, logit(from));
    most = std::max(most, logit(from));
  }
  EXPECT_NEAR(most - least, 0.7, 0.15);  // ± 0.7 · 0.5, whatever the phase
}

TEST_F(FunnelTest, DelaysScale) {
  const auto slow = all_events({.impressions = 2'000});
  const auto fast = all_events({.impressions = 2'000, .delay_scale = 0.01});
  std::map<std::pair<std::int64_t, Kind>, EventTime> times;
  for (const FunnelEvent& e : slow) times[{e.impression, e.type}] = e.time;
  for (const FunnelEvent& e : fast) {
    const EventTime shown = times.at({e.impression, Kind::kImpression});
    const auto before = static_cast<double>((times.at({e.impression, e.type}) - shown).count());
    EXPECT_NEAR(static_cast<double>((e.time - shown).count()), 0.01 * before, 1.01);
  }
}

TEST_F(FunnelTest, RecordsHaveTheContractsForm) {
  const FunnelEvent& shown = events()[0];
  EXPECT_THAT(shown.json,
              StartsWith(R"({"type":"impression","impression_id":"i5-0","time":1764000000)"));
  for (const FunnelEvent& event : events()) {
    if (event.type != Kind::kDwell) continue;
    EXPECT_THAT(event.json, StartsWith(R"({"type":"dwell","impression_id":"i5-)"));
    EXPECT_THAT(event.json, HasSubstr(R"(,"value":)"));
    break;
  }
}

}  // namespace
}  // namespace millrace
