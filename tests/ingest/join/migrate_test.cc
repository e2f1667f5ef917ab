// What a migration of the join promises: labels that both shapes have come out as if nothing had
// happened, whatever came, went or moved beside them.
#include "ingest/join/migrate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <set>

#include "ingest/join/joiner.h"
#include "tests/support/join_histories.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

/// A case with its schema, which a joiner borrows.
struct Shape {
  explicit Shape(JoinCase c_) : c(std::move(c_)), schema(c.schema()) {}
  JoinCase c;
  Schema schema;
  std::unique_ptr<Joiner> joiner() const {
    return std::make_unique<Joiner>(schema, c.types, c.labels, c.options);
  }
  JoinShape shape() const { return {schema, c.types, c.labels}; }
};

/// The same tasks and types in another order; some leaves are gone, and a new task is there.
JoinCase changed(Dice& dice, const JoinCase& c) {
  const int tasks = static_cast<int>(c.tasks.size());
  std::vector<int> order;
  for (int k = 0; k < tasks; ++k) {
    const bool is_condition =
        std::any_of(c.tasks.begin(), c.tasks.end(), [&](const Task& t) { return t.given == k; });
    if (is_condition || tasks == 1 || !dice.chance(0.2)) order.push_back(k);
  }
  if (order.empty()) order.push_back(0);
  for (int i = static_cast<int>(order.size()) - 1; i > 0; --i) {
    std::swap(order[at(i)], order[at(dice.below(i + 1))]);
  }
  JoinCase other;
  other.options = c.options;
  other.types = c.types;
  const int types = static_cast<int>(c.types.outcomes.size());
  std::rotate(other.types.outcomes.begin(), other.types.outcomes.begin() + dice.below(types),
              other.types.outcomes.end());
  const auto type_of = [&](int old) {
    for (int t = 0; t < types; ++t) {
      if (other.types.outcomes[at(t)].name == c.types.outcomes[at(old)].name) return t;
    }
    return -1;
  };
  for (const int k : order) {
    Task task = c.tasks[at(k)];
    if (task.given >= 0) {
      task.given =
          static_cast<int>(std::find(order.begin(), order.end(), task.given) - order.begin());
    }
    LabelSource label = c.labels[at(k)];
    if (label.outcome >= 0) label.outcome = type_of(label.outcome);
    other.tasks.push_back(task);
    other.labels.push_back(label);
  }
  other.tasks.push_back({.name = "new"});
  other.labels.emplace_back().outcome = dice.below(types);
  return other;
}

/// (impression and user, task, label, due, how) of every label of tasks that are in `names`.
using Labels = std::multiset<std::tuple<std::string, std::string, double, std::int64_t, int>>;
void add_labels(const std::vector<JoinedRow>& rows, const Schema& schema,
                const std::set<std::string>& names, Labels& labels) {
  for (const JoinedRow& row : rows) {
    if (row.is_sample) continue;
    for (std::size_t k = 0; k < schema.tasks().size(); ++k) {
      const std::string& name = schema.tasks()[k].name;
      if (!names.contains(name)) continue;
      const auto add = [&](double label, int how) {
        if (std::isnan(label)) return;
        labels.emplace(row.impression_id + " of " + std::to_string(row.user), name, label,
                       row.due.ms, how);
      };
      add(row.labels[k], static_cast<int>(row.stream));
      if (!row.measured.empty()) add(row.measured[k], 7);
    }
  }
}

void take(Joiner& joiner, std::vector<Event> events, std::vector<JoinedRow>& rows) {
  for (Event& event : events) {
    joiner.add(std::move(event), rows);
    while (joiner.advance(100, rows)) {
    }
  }
}

void finish(Joiner& joiner, std::vector<JoinedRow>& rows) {
  joiner.flush();
  while (joiner.advance(100, rows)) {
  }
}

/// The same outcome under the types of another case.
Event moved(Event event, const JoinCase& from, const JoinCase& to) {
  if (auto* outcome = std::get_if<Outcome>(&event)) {
    for (std::size_t t = 0; t < to.types.outcomes.size(); ++t) {
      if (to.types.outcomes[t].name != from.types.outcomes[at(outcome->type)].name) continue;
      outcome->type = static_cast<int>(t);
      break;
    }
  }
  return event;
}

std::unique_ptr<Joiner> migrate(const Shape& from, Joiner& old, const Shape& to) {
  StateLog log;
  log.commit(old);
  auto joiner = to.joiner();
  log.carried_over(
         [](const std::string&, const std::string& bytes) { return std::optional(bytes); },
         [](const std::string&) { return false; })
      .restore(*joiner);
  JoinMigration migration(from.shape(), to.shape());
  for (const auto& [key, value] : log.entries()) {
    if (key.first == "impressions") {
      if (auto kept = migration.impression(key.second, value)) joiner->adopt(std::move(*kept));
    } else {
      joiner->adopt(key.second, migration.outcomes(value));
    }
  }
  Accounts& accounts = joiner->accounts();
  accounts.impressions.waiting -= migration.finished_impressions();
  accounts.impressions.finished += migration.finished_impressions();
  accounts.outcomes.waiting -= migration.dropped_waiting_outcomes();
  accounts.outcomes.unused += migration.dropped_waiting_outcomes();
  return joiner;
}

bool balances(const Accounts& accounts) {
  const auto& i = accounts.impressions;
  const auto& o = accounts.outcomes;
  return i.in == i.late + i.duplicate + i.finished + i.waiting &&
         o.in == o.late + o.duplicate + o.out_of_window + o.unmatched + o.unused + o.applied +
                     o.waiting;
}

TEST(MigrateJoinTest, KeptLabelsComeOutAsIfNothingHadHappened) {
  int kept_labels = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Dice dice(seed);
    const Shape from(random_case(dice));
    const Shape to(changed(dice, from.c));
    std::set<std::string> kept;
    for (const Task& task : to.c.tasks) {
      if (task.name != "new") kept.insert(task.name);
    }
    std::vector<Event> events =
        shuffled_within_lateness(dice, from.c, orderly_events(dice, from.c, 40));
    for (Event& event : events) {  // of a schema without features
      if (auto* impression = std::get_if<Impression>(&event)) impression->features.clear();
    }
    const auto middle = events.begin() + dice.below(static_cast<int>(events.size()));
    std::vector<JoinedRow> rows, before, after;
    const auto undisturbed = from.joiner();
    take(*undisturbed, events, rows);
    finish(*undisturbed, rows);

    const auto old = from.joiner();
    take(*old, {events.begin(), middle}, before);
    const auto joiner = migrate(from, *old, to);
    EXPECT_TRUE(balances(joiner->accounts())) << seed;
    std::vector<Event> rest;
    for (auto event = middle; event != events.end(); ++event) {
      rest.push_back(moved(*event, from.c, to.c));
    }
    take(*joiner, rest, after);
    finish(*joiner, after);
    EXPECT_TRUE(balances(joiner->accounts())) << seed;

    Labels expected, found;
    add_labels(rows, from.schema, kept, expected);
    add_labels(before, from.schema, kept, found);
    add_labels(after, to.schema, kept, found);
    ASSERT_EQ(found, expected) << seed << '\n' << to_text(from.c) << to_text(to.c);
    kept_labels += static_cast<int>(found.size());
  }
  EXPECT_GT(kept_labels, 3000);
}

TEST(MigrateJoinTest, ANewTaskGetsNoLabelOfWhatWaited) {
  Dice dice(1);
  JoinCase c;
  c.types.outcomes = {{"click", "clicks", Duration{100}}};
  c.tasks = {{.name = "ctr"}};
  c.labels.emplace_back().outcome = 0;
  const Shape from(c);
  c.tasks.push_back({.name = "new"});
  c.labels.emplace_back().outcome = 0;
  const Shape to(c);
  const auto old = from.joiner();
  std::vector<JoinedRow> rows;
  take(*old, {Impression{.id = "a", .time = {1000}, .features = {}, .sampling_rate = 1}}, rows);
  const auto joiner = migrate(from, *old, to);
  take(*joiner, {Impression{.id = "b", .time = {1001}, .features = {}, .sampling_rate = 1}}, rows);
  finish(*joiner, rows);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].labels[0], 0);
  EXPECT_TRUE(std::isnan(rows[0].labels[1]));
  EXPECT_EQ(rows[1].labels[1], 0);
}

/// The same case with other policies of some binary tasks.
JoinCase with_other_policies(Dice& dice, JoinCase c) {
  for (Task& task : c.tasks) {
    if (task.kind != TaskKind::kBinary || !dice.chance(0.6)) continue;
    task.policy = static_cast<FeedbackPolicy>(dice.below(7));
    task.short_wait = Duration{1 + dice.below(20)};
  }
  return c;
}

bool is_same_policy(const Task& a, const Task& b) {
  return a.policy == b.policy && (!has_short_wait(a.policy) || a.short_wait == b.short_wait);
}

/// Of one task, the labels of impressions (by id and user), each with its due time and how.
using Of = std::map<std::string, Labels>;
Of labels_of(const std::vector<JoinedRow>& rows, const Schema& schema, const std::string& task) {
  Labels all;
  add_labels(rows, schema, {task}, all);
  Of of;
  for (const auto& label : all) of[std::get<0>(label)].insert(label);
  return of;
}

std::vector<JoinedRow> all_rows(const Shape& shape, const std::vector<Event>& events) {
  std::vector<JoinedRow> rows;
  const auto joiner = shape.joiner();
  take(*joiner, events, rows);
  finish(*joiner, rows);
  return rows;
}

/// The case with this task under another policy.
Shape under(const JoinCase& c, int task, FeedbackPolicy policy, Duration short_wait) {
  JoinCase other = c;
  other.tasks[at(task)].policy = policy;
  other.tasks[at(task)].short_wait = short_wait;
  return Shape(other);
}

// What was begun goes on as it was begun (no second row of defer), what was not is decided as under
// wait, and what comes after the migration goes by the new policy.
TEST(MigrateJoinTest, EachLabelIsTrainedByOnePolicy) {
  int begun_labels = 0, waited_labels = 0, ended_labels = 0, new_labels = 0;
  for (std::uint64_t seed = 1; seed <= 250; ++seed) {
    Dice dice(seed);
    const Shape from(random_case(dice));
    const Shape to(with_other_policies(dice, from.c));
    std::vector<Event> events =
        shuffled_within_lateness(dice, from.c, orderly_events(dice, from.c, 30));
    for (Event& event : events) {  // of a schema without features
      if (auto* impression = std::get_if<Impression>(&event)) impression->features.clear();
    }
    const auto middle = events.begin() + dice.below(static_cast<int>(events.size()));
    std::set<std::string> came_before;
    for (auto event = events.begin(); event != middle; ++event) {
      if (const auto* i = std::get_if<Impression>(&*event)) {
        came_before.insert(i->id + " of " + std::to_string(i->user));
      }
    }
    std::vector<JoinedRow> before, after;
    const auto old = from.joiner();
    take(*old, {events.begin(), middle}, before);
    const auto joiner = migrate(from, *old, to);
    EXPECT_TRUE(balances(joiner->accounts())) << seed;
    take(*joiner, {middle, events.end()}, after);
    finish(*joiner, after);
    EXPECT_TRUE(balances(joiner->accounts())) << seed;
    EXPECT_EQ(joiner->accounts().impressions.waiting, 0U) << seed;
    std::vector<JoinedRow> both = before;
    both.insert(both.end(), after.begin(), after.end());

    for (int k = 0; k < static_cast<int>(from.c.tasks.size()); ++k) {
      const Task& was = from.c.tasks[at(k)];
      const Task& is = to.c.tasks[at(k)];
      Of found = labels_of(both, to.schema, was.name);
      Of early = labels_of(before, from.schema, was.name);
      const auto run = [&](FeedbackPolicy policy, Duration short_wait) {
        const Shape shape = under(from.c, k, policy, short_wait);
        return labels_of(all_rows(shape, events), shape.schema, was.name);
      };
      Of as_it_was = run(was.policy, was.short_wait), as_it_is = run(is.policy, is.short_wait);
      if (is_same_policy(was, is)) {
        ASSERT_EQ(found, as_it_was) << seed << " task " << was.name << '\n' << to_text(from.c);
        continue;
      }
      Of waiting = run(FeedbackPolicy::kWait, Duration{0});
      const bool defers = was.policy == FeedbackPolicy::kDefer;
      Of once = run(defers ? FeedbackPolicy::kEsDfm : was.policy, was.short_wait);
      for (const Event& event : events) {
        const auto* i = std::get_if<Impression>(&event);
        if (i == nullptr) continue;
        const std::string id = i->id + " of " + std::to_string(i->user);
        const std::string where = std::to_string(seed) + " task " + was.name + " of " + id + '\n' +
                                  to_text(from.c) + to_text(to.c);
        const bool begun = !early[id].empty();
        if (!came_before.contains(id)) {
          ASSERT_EQ(found[id], as_it_is[id]) << where;
          new_labels += static_cast<int>(found[id].size());
        } else if (!begun) {
          ASSERT_EQ(found[id], waiting[id]) << where;
          waited_labels += static_cast<int>(found[id].size());
        } else if (is.policy == FeedbackPolicy::kWait) {
          ASSERT_EQ(found[id], early[id]) << where;
          ended_labels += static_cast<int>(found[id].size());
        } else if (was.policy == FeedbackPolicy::kDfm) {
          // It is not looked at again; a 1 that is heard of since is trained once.
          Labels rest = found[id];
          for (const auto& label : early[id]) {
            ASSERT_TRUE(rest.contains(label)) << where;
            rest.erase(rest.find(label));
          }
          int trained = 0;
          for (const auto& label : rest) {
            if (std::get<4>(label) == 7) continue;
            ASSERT_EQ(std::get<2>(label), 1) << where;
            ++trained;
          }
          ASSERT_LE(trained, 1) << where;
        } else if (found[id] != as_it_was[id]) {
          ASSERT_TRUE(defers) << where;
          ASSERT_EQ(found[id], once[id]) << where;
        }
        begun_labels += begun ? static_cast<int>(found[id].size()) : 0;
      }
    }
  }
  EXPECT_GT(begun_labels, 1000);
  EXPECT_GT(waited_labels, 300);
  EXPECT_GT(ended_labels, 100);
  EXPECT_GT(new_labels, 1000);
}

// Late events, repetitions, ids that are used again, moves of the clock: whatever comes after one
// migration and another, every event is accounted for and nothing waits for ever.
TEST(MigrateJoinTest, AccountsBalanceWhateverComesAfterChangedPolicies) {
  int rows_after = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Dice dice(seed);
    const Shape first(random_case(dice));
    const Shape second(with_other_policies(dice, first.c)),
        third(with_other_policies(dice, first.c));
    const Shape* const shapes[] = {&first, &second, &third};
    const std::vector<Step> history = random_history(dice, first.c, 240);
    std::vector<JoinedRow> rows;
    std::unique_ptr<Joiner> joiner = first.joiner();
    std::size_t shape = 0;
    for (std::size_t i = 0; i < history.size(); ++i) {
      if (i == 80 || i == 160) {
        joiner = migrate(*shapes[shape], *joiner, *shapes[shape + 1]);
        ++shape;
        rows.clear();
        ASSERT_TRUE(balances(joiner->accounts())) << seed;
        ASSERT_EQ(joiner->accounts().impressions.waiting, joiner->sizes().in_memory) << seed;
      }
      if (const auto* clock = std::get_if<ClockMove>(&history[i])) {
        joiner->move_by_clock(clock->watermark);
      } else if (std::holds_alternative<Flush>(history[i])) {
        joiner->flush();
      } else {
        Event event = std::get<Event>(history[i]);
        if (auto* impression = std::get_if<Impression>(&event)) impression->features.clear();
        joiner->add(std::move(event), rows);
      }
      while (joiner->advance(3, rows)) {
      }
      ASSERT_TRUE(balances(joiner->accounts())) << seed;
    }
    finish(*joiner, rows);
    EXPECT_TRUE(balances(joiner->accounts())) << seed;
    EXPECT_EQ(joiner->accounts().impressions.waiting, 0U) << seed;
    EXPECT_EQ(joiner->sizes().in_memory, 0U) << seed;
    rows_after += static_cast<int>(rows.size());
  }
  EXPECT_GT(rows_after, 3000);
}

TEST(MigrateJoinTest, APolicyOfAConditionAloneDropsNothing) {
  JoinCase c;
  c.types.outcomes = {{"click", "clicks", Duration{100}}, {"buy", "buys", Duration{1000}}};
  c.tasks = {{.name = "ctr"}, {.name = "cvr", .given = 0, .entire_space = true}};
  c.labels.resize(2);
  c.labels[0].outcome = 0;
  c.labels[1].outcome = 1;
  for (const auto policy : {FeedbackPolicy::kFnw, FeedbackPolicy::kEsDfm}) {
    for (const bool back : {false, true}) {
      const Shape waits(c), early = under(c, 0, policy, Duration{10});
      const Shape &from = back ? early : waits, &to = back ? waits : early;
      const auto old = from.joiner();
      std::vector<JoinedRow> rows;
      take(*old,
           {Impression{.id = "a", .time = {1000}, .features = {}, .sampling_rate = 1},
            Outcome{.impression_id = "a", .type = 0, .time = {1001}, .event_id = {}, .value = {}},
            Impression{.id = "b", .time = {1500}, .features = {}, .sampling_rate = 1}},
           rows);
      const auto joiner = migrate(from, *old, to);
      rows.clear();
      take(*joiner,
           {Outcome{.impression_id = "a", .type = 1, .time = {1600}, .event_id = {}, .value = {}}},
           rows);
      finish(*joiner, rows);
      Labels cvr;
      add_labels(rows, to.schema, {"cvr"}, cvr);
      EXPECT_EQ(cvr.size(), 2U) << choice_name(policy) << back;
      EXPECT_EQ(
          std::count_if(cvr.begin(), cvr.end(), [](const auto& l) { return std::get<2>(l) == 1; }),
          1);
      EXPECT_EQ(joiner->accounts().impressions.finished, 2U);
    }
  }
}

// fnw takes a first outcome even of a decided label: not where the label was learned by wait, or
// never, whether or not the impression went through a store and another migration since.
TEST(MigrateJoinTest, ADecidedLabelIsNotLearnedAgain) {
  JoinCase c;
  c.types.outcomes = {{"click", "clicks", Duration{100}}, {"buy", "buys", Duration{1000}}};
  c.options.allowed_lateness = Duration{0};
  c.tasks = {{.name = "click"}, {.name = "buy"}, {.name = "again", .given = 1}};
  c.labels.resize(3);
  c.labels[0].outcome = c.labels[2].outcome = 0;
  c.labels[1].outcome = 1;
  const Shape from(c);
  JoinCase now = under(c, 0, FeedbackPolicy::kFnw, Duration{0}).c;
  now.tasks.push_back({.name = "new", .policy = FeedbackPolicy::kFnw});
  now.labels.emplace_back().outcome = 0;
  const Shape to(now);
  const auto old = from.joiner();
  std::vector<JoinedRow> rows;
  take(*old,
       {Impression{.id = "a", .time = {1000}, .features = {}, .sampling_rate = 1},
        Impression{.id = "b", .time = {1200}, .features = {}, .sampling_rate = 1}},
       rows);
  ASSERT_EQ(rows.size(), 1U);  // a's click is decided
  const auto once = migrate(from, *old, to);
  const auto joiner = migrate(to, *once, to);
  rows.clear();
  take(*joiner,
       {Outcome{.impression_id = "a", .type = 0, .time = {1050}, .event_id = {}, .value = {}}},
       rows);
  EXPECT_EQ(joiner->accounts().outcomes.applied, 1U);
  EXPECT_TRUE(rows.empty());
}

}  // namespace
}  // namespace millrace
