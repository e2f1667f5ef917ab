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

}  // namespace
}  // namespace millrace
