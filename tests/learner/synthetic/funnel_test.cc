// The simulator must be reproducible, in time order, and true to the probabilities that it states:
// the best possible AUC and every comparison with truth rest on them.
#include "learner/synthetic/funnel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "learner/base/hash.h"

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

// The digest of what the options' defaults give: seeds in tests and reports mean this stream.
TEST(Funnel, WithoutFurtherOptionsItIsTheStreamThatItWas) {
  std::uint64_t digest = 0;
  for (const FunnelEvent& event : events_of({.seed = 3}, 20'000)) {
    digest = hash_bytes(event.json, digest);
  }
  EXPECT_EQ(digest, 885'021'030'427'184'840u);
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

// What became of each impression of a run to its end: its truth, and its outcomes' delays.
struct Shown {
  EventTime time;
  FunnelTruth truth;
  std::map<std::string_view, EventTime> outcomes;
};
std::map<std::string, Shown> shown_by(const FunnelOptions& options, std::uint64_t impressions) {
  std::map<std::string, Shown> shown;
  Funnel funnel(options);
  while (!funnel.finished()) {
    if (funnel.impressions() == impressions) funnel.stop();
    if (funnel.finished()) break;
    const FunnelEvent event = funnel.next();
    Shown& of = shown[event.impression_id];
    if (event.truth) {
      of.time = event.time;
      of.truth = *event.truth;
    } else {
      EXPECT_TRUE(of.outcomes.emplace(event.type, event.time).second) << event.json;
    }
  }
  return shown;
}

struct Mean {
  double sum = 0, squares = 0, count = 0;
  void add(double value) {
    sum += value;
    squares += value * value;
    ++count;
  }
  double mean() const { return sum / count; }
  double error() const { return std::sqrt((squares / count - mean() * mean()) / count); }
};

// Happened against what was to be expected, in standard errors.
struct Expected {
  double happened = 0, expected = 0, variance = 0;
  void add(bool did, double p) {
    happened += did;
    expected += p;
    variance += p * (1 - p);
  }
  double off() const { return (happened - expected) / std::sqrt(variance); }
};

TEST(Funnel, DelaysHaveTheMeanThatIsAskedFor) {
  for (const auto& shape : Choices<DelayShape>::all) {
    FunnelOptions options{.seed = 8, .impressions_per_second = 1000};
    options.click_delay = Duration{40'000};
    options.conversion_delay = Duration{900'000};
    options.delay_shape = shape.value;
    Mean click, conversion;
    int early = 0;
    for (const auto& [id, of] : shown_by(options, 60'000)) {
      const auto clicked = of.outcomes.find("click"), converted = of.outcomes.find("conversion");
      if (clicked == of.outcomes.end()) continue;
      click.add(static_cast<double>((clicked->second - of.time).count()));
      early += clicked->second - of.time < Duration{2'000};
      if (converted == of.outcomes.end()) continue;
      conversion.add(static_cast<double>((converted->second - clicked->second).count()));
    }
    // The cut of very late ones costs a log-normal's mean less than one part in a hundred.
    EXPECT_NEAR(click.mean(), 40'000, 4 * click.error() + 400) << shape.name;
    EXPECT_NEAR(conversion.mean(), 900'000, 4 * conversion.error() + 9'000) << shape.name;
    // Many exponential delays are nearly none (1 − e^−0.05), few log-normal ones (Φ(−2.5)).
    const double share = early / click.count;
    EXPECT_NEAR(share, shape.value == DelayShape::kExponential ? 0.0488 : 0.0063, 0.01);
  }
}

TEST(Funnel, BaseRatesShiftWhenTheyAreToldTo) {
  FunnelOptions options{.seed = 9, .impressions_per_second = 1000};
  options.shift_after = Duration{30'000};
  options.click_shift = 1.5;
  options.conversion_shift = -1;
  const auto shifted = shown_by(options, 60'000);
  options.shift_after.reset();
  const auto steady = shown_by(options, 60'000);
  const auto logit = [](double p) { return std::log(p / (1 - p)); };
  Expected clicks[2], conversions[2];
  for (const auto& [id, of] : shifted) {
    const FunnelTruth& before = steady.at(id).truth;
    const bool late = of.time - options.start >= Duration{30'000};
    EXPECT_NEAR(logit(of.truth.ctr) - logit(before.ctr), late ? 1.5 : 0, 1e-9);
    EXPECT_NEAR(logit(of.truth.cvr) - logit(before.cvr), late ? -1 : 0, 1e-9);
    clicks[late].add(of.truth.clicked, of.truth.ctr);
    if (of.truth.clicked) conversions[late].add(of.truth.converted, of.truth.cvr);
  }
  for (const bool late : {false, true}) {
    EXPECT_LT(std::abs(clicks[late].off()), 4) << late;
    EXPECT_LT(std::abs(conversions[late].off()), 4) << late;
  }
  EXPECT_GT(clicks[1].happened, 2 * clicks[0].happened);
}

TEST(Funnel, OutcomesGoMissingAsOftenAsIsAskedFor) {
  FunnelOptions options{.seed = 10, .impressions_per_second = 1000};
  options.missing = 0.3;
  Expected clicks, conversions;
  for (const auto& [id, of] : shown_by(options, 60'000)) {
    const auto heard = [&](std::string_view type) { return of.outcomes.contains(type); };
    if (of.truth.clicked) clicks.add(heard("click"), 0.7);
    if (of.truth.converted) conversions.add(heard("conversion"), 0.7);
    EXPECT_LE(heard("click"), of.truth.clicked);
    EXPECT_LE(heard("conversion"), of.truth.converted);
  }
  EXPECT_LT(std::abs(clicks.off()), 4);
  EXPECT_LT(std::abs(conversions.off()), 4);
  options.missing = 1;
  for (const auto& [id, of] : shown_by(options, 1000)) EXPECT_TRUE(of.outcomes.empty());
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
