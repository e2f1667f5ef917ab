// The join against the brute-force one of tests/support/oracle_join.h on thousands of small random
// histories: the same rows in the same order and the same accounts, wherever it is saved, killed
// and restored, whatever of its state memory has no room for, and whatever the order of arrival
// while nothing is late.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>

#include "ingest/join/joiner.h"
#include "tests/support/join_histories.h"
#include "tests/support/met_accounts.h"
#include "tests/support/oracle_join.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

void expect_balance(const Accounts& a, const std::string& where) {
  const auto& i = a.impressions;
  const auto& o = a.outcomes;
  EXPECT_EQ(i.in, i.late + i.duplicate + i.finished + i.waiting) << where;
  EXPECT_EQ(o.in,
            o.late + o.duplicate + o.out_of_window + o.unmatched + o.unused + o.applied + o.waiting)
      << where;
  EXPECT_EQ(a.events, i.in + o.in + a.samples) << where;
}

// A joiner that is disturbed between any two calls as `dice` wants: saved, with old blocks given
// up, and replaced by a new one that is restored from what was saved. With `spills`, memory has
// room for next to nothing, so that each save leaves hardly an impression there.
class Disturbed {
 public:
  Disturbed(const JoinCase& join_case, Dice* dice, bool spills = false)
      : case_(join_case), schema_(join_case.schema()), dice_(dice), joiner_(make()) {
    if (!spills) return;
    case_.options.memory.value = dice->chance(0.7) ? 0 : dice->below(3000);
    joiner_ = make();
    log.use(*joiner_);
  }

  void take(const Step& step) {
    if (const auto* event = std::get_if<Event>(&step)) {
      ++joiner_->accounts().events;
      if (dice_ && dice_->chance(0.3)) prefetch(*event);
      joiner_->add(Event{*event}, rows);
      expect_balance(joiner_->accounts(), "after add");
      drain(false);
    } else if (const auto* clock = std::get_if<ClockMove>(&step)) {
      joiner_->move_by_clock(clock->watermark);
      drain(false);
    } else {
      joiner_->flush();
      drain(true);
    }
  }

  void commit() { log.commit(*joiner_, dice_ ? static_cast<std::size_t>(dice_->below(3)) : 0); }
  const Joiner& joiner() const { return *joiner_; }

  std::vector<JoinedRow> rows;
  StateLog log;

 private:
  std::unique_ptr<Joiner> make() const {
    return std::make_unique<Joiner>(schema_, case_.types, case_.labels, case_.options);
  }

  void drain(bool flushing) {
    while (true) {
      if (dice_ && dice_->chance(0.25)) commit();
      if (dice_ && dice_->chance(0.1)) {
        commit();
        joiner_ = make();
        log.restore(*joiner_);
        if (flushing) joiner_->flush();
      }
      const bool more =
          joiner_->advance(dice_ ? static_cast<std::size_t>(1 + dice_->below(3)) : 1000, rows);
      expect_balance(joiner_->accounts(), "between two calls of advance");
      if (!more) return;
    }
  }

  // Of this event, and of others perhaps.
  void prefetch(const Event& event) {
    std::vector<std::string> ids;
    if (const auto* impression = std::get_if<Impression>(&event)) ids.push_back(impression->id);
    if (const auto* outcome = std::get_if<Outcome>(&event)) ids.push_back(outcome->impression_id);
    for (int i = dice_->below(4); i > 0; --i) ids.emplace_back(1, "abcdef"[dice_->below(6)]);
    const std::vector<std::string_view> views(ids.begin(), ids.end());
    joiner_->prefetch(views);
  }

  JoinCase case_;
  const Schema schema_;
  Dice* dice_;
  std::unique_ptr<Joiner> joiner_;
};

struct Seeds : ::testing::TestWithParam<int> {
  static constexpr int kSeedsEach = 250;
};

// What all histories of a seed range met, so that a generator that misses a rule shows.
void expect_everything_met(const MetFates& met) {
  EXPECT_FALSE(met.sums().empty());
  for (const std::uint64_t count : met.sums()) EXPECT_GT(count, 50u);
}

// What the policies of delayed feedback emitted: labels by origin, targets by their bits, final
// labels that are only measured, and impressions of which nothing is left to measure.
struct MetFeedback {
  std::map<Origin, int> origins;
  std::map<int, int> targets;
  int measured = 0, last = 0;

  void add(const std::vector<JoinedRow>& rows) {
    for (const JoinedRow& row : rows) {
      for (std::size_t k = 0; k < row.origin.size(); ++k) {
        if (!std::isnan(row.labels[k])) ++origins[row.origin[k]];
        if (row.targets[k] != 0) ++targets[row.targets[k]];
        measured += std::isnan(row.measured[k]) ? 0 : 1;
      }
      last += row.is_last ? 1 : 0;
    }
  }
  void expect_everything_met() const {
    EXPECT_GE(origins.size(), 4u);  // kTwice takes much to come about: feedback_test.cc
    for (const auto& [origin, count] : origins) EXPECT_GT(count, 0) << static_cast<int>(origin);
    EXPECT_EQ(targets.size(), 3u);  // seen as 1; came later; never came
    for (const auto& [bits, count] : targets) EXPECT_GT(count, 5) << bits;
    EXPECT_GT(measured, 500);
    EXPECT_GT(last, 500);
  }
};

TEST_P(Seeds, RowsAndAccountsEqualTheBruteForceJoin) {
  MetFates met;
  MetFeedback feedback;
  std::uint64_t in_store = 0, reads = 0;
  for (int seed = GetParam() * kSeedsEach; seed < (GetParam() + 1) * kSeedsEach; ++seed) {
    Dice dice(static_cast<std::uint64_t>(seed));
    const JoinCase c = random_case(dice);
    const std::vector<Step> history = random_history(dice, c, 20 + dice.below(200));
    OracleJoin oracle(c.tasks, c.types, c.labels, c.options);
    Disturbed plain(c, nullptr), disturbed(c, &dice), spilling(c, &dice, true);
    for (const Step& step : history) {
      if (const auto* event = std::get_if<Event>(&step)) oracle.take(*event);
      if (const auto* clock = std::get_if<ClockMove>(&step)) oracle.clock(clock->watermark);
      if (std::holds_alternative<Flush>(step)) oracle.flush();
      plain.take(step);
      disturbed.take(step);
      spilling.take(step);
      ASSERT_EQ(plain.joiner().watermark(), oracle.W);
      ASSERT_EQ(plain.joiner().newest(), oracle.F);
      ASSERT_TRUE(plain.joiner().accounts() == oracle.accounts) << "seed " << seed;
    }
    const std::string context =
        "seed " + std::to_string(seed) + "\n" + to_text(c) + to_text(history);
    ASSERT_EQ(to_text(plain.rows), to_text(oracle.rows)) << context;
    ASSERT_EQ(to_text(disturbed.rows), to_text(oracle.rows)) << context;
    ASSERT_TRUE(disturbed.joiner().accounts() == oracle.accounts) << context;
    ASSERT_EQ(to_text(spilling.rows), to_text(oracle.rows)) << context;
    ASSERT_TRUE(spilling.joiner().accounts() == oracle.accounts) << context;
    // However often it was saved, what is saved is the same.
    plain.commit();
    disturbed.commit();
    spilling.commit();
    ASSERT_EQ(disturbed.log.digested(), plain.log.digested()) << context;
    ASSERT_EQ(spilling.log.digested(), plain.log.digested()) << context;
    in_store += spilling.joiner().sizes().in_store;
    reads += spilling.log.cold_reads();
    met.add(oracle.accounts);
    feedback.add(oracle.rows);
  }
  expect_everything_met(met);
  feedback.expect_everything_met();
  EXPECT_GT(in_store, 100u);
  EXPECT_GT(reads, 1000u);
}

TEST_P(Seeds, OrderOfArrivalChangesNothingWhileNothingIsLate) {
  for (int seed = GetParam() * kSeedsEach / 5; seed < (GetParam() + 1) * kSeedsEach / 5; ++seed) {
    Dice dice(1'000'000 + static_cast<std::uint64_t>(seed));
    JoinCase c = random_case(dice);
    c.options.allowed_lateness = Duration{20};
    for (Task& task : c.tasks) task.policy = FeedbackPolicy::kWait;
    const std::vector<Event> events = orderly_events(dice, c, 40);
    std::vector<std::string> expected;
    for (int round = 0; round < 4; ++round) {
      Disturbed join(c, round % 2 == 0 ? nullptr : &dice);
      for (const Event& event : shuffled_within_lateness(dice, c, events)) join.take(Step{event});
      join.take(Flush{});
      EXPECT_EQ(join.joiner().accounts().impressions.late, 0u);
      if (round == 0) expected = to_text(join.rows, false);
      ASSERT_EQ(to_text(join.rows, false), expected) << "seed " << seed << '\n' << to_text(c);
    }
  }
}

// Half of a stream: what waits is saved in the same bytes, whatever the order of arrival.
TEST_P(Seeds, StateDoesNotDependOnTheOrderOfArrival) {
  for (int seed = GetParam() * kSeedsEach / 5; seed < (GetParam() + 1) * kSeedsEach / 5; ++seed) {
    Dice dice(2'000'000 + static_cast<std::uint64_t>(seed));
    JoinCase c = random_case(dice);
    c.options.allowed_lateness = Duration{20};
    for (Task& task : c.tasks) {
      task.policy = FeedbackPolicy::kWait;
      task.given = -1;
      task.entire_space = false;
    }
    const std::vector<Event> events = orderly_events(dice, c, 40);
    StateLog::Entries expected;
    for (int round = 0; round < 4; ++round) {
      Disturbed join(c, &dice);
      for (const Event& event : shuffled_within_lateness(dice, c, events)) join.take(Step{event});
      join.commit();
      if (round == 0) expected = join.log.digested();
      ASSERT_EQ(join.log.digested(), expected) << "seed " << seed << '\n' << to_text(c);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Random, Seeds, ::testing::Range(0, 12));

}  // namespace
}  // namespace millrace
