// What the join hands to a commit: exactly what changed, in the same bytes whatever the way there,
// with sizes that are true; and that it refuses damage, starts with other options, and stays small.
#include <gtest/gtest.h>

#include <memory>

#include "ingest/join/accounts_state.h"
#include "ingest/join/joiner.h"
#include "tests/support/join_histories.h"
#include "tests/support/oracle_join.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

struct Counted {
  int puts = 0, erasures = 0;
};

struct JoinerStateTest : ::testing::Test {
  JoinCase c;
  StateLog log;
  std::vector<JoinedRow> rows;

  JoinerStateTest() {
    c.types.outcomes = {{"click", "clicks", Duration{100}}, {"buy", "buys", Duration{1000}}};
    c.tasks = {Task{.name = "ctr"}, Task{.name = "cvr", .given = 0, .entire_space = true}};
    c.labels.resize(2);
    c.labels[0].outcome = 0;
    c.labels[1].outcome = 1;
    c.options.allowed_lateness = Duration{50};
    schema = std::make_unique<Schema>(c.schema());
  }
  std::unique_ptr<Schema> schema;

  std::unique_ptr<Joiner> make() const {
    return std::make_unique<Joiner>(*schema, c.types, c.labels, c.options);
  }
  void take(Joiner& joiner, Event event) {
    joiner.add(std::move(event), rows);
    while (joiner.advance(1000, rows)) {
    }
  }
  static Impression impression(int i, std::int64_t time) {
    return {.id = "impression-with-a-long-name-" + std::to_string(i),
            .time = {time},
            .features = std::string(40, 'x'),
            .sampling_rate = 1};
  }
  static Outcome click(int i, std::int64_t time) {
    return {.impression_id = "impression-with-a-long-name-" + std::to_string(i),
            .type = 0,
            .time = {time},
            .event_id = "click-with-a-long-name-" + std::to_string(i),
            .value = {}};
  }
  static Counted count(const StateChanges& changes, const std::string& set) {
    Counted counted;
    for (const auto& block : changes.blocks) {
      if (block.set != set) continue;
      EntryReader reader(block.bytes);
      for (EntryReader::Entry entry; reader.next(entry);) {
        ++(entry.erased ? counted.erasures : counted.puts);
      }
    }
    return counted;
  }
};

TEST_F(JoinerStateTest, ACommitHoldsWhatChanged) {
  const auto joiner = make();
  for (int i = 0; i < 1000; ++i) take(*joiner, impression(i, 1000));
  EXPECT_EQ(count(joiner->save(1, {}), "impressions").puts, 1000);

  for (int i = 0; i < 5; ++i) take(*joiner, click(i, 1010));             // change what is there
  for (int i = 1000; i < 1003; ++i) take(*joiner, impression(i, 1010));  // add
  for (int i = 0; i < 7; ++i) take(*joiner, click(5000 + i / 2, 1010));  // wait for theirs
  StateChanges changes = joiner->save(2, {});
  EXPECT_EQ(count(changes, "impressions").puts, 8);
  EXPECT_EQ(count(changes, "impressions").erasures, 0);
  EXPECT_EQ(count(changes, "outcomes").puts, 4);

  // Everything of 1000 but the clicked ones is decided; one comes and goes without a trace.
  take(*joiner, impression(2000, 1020));
  take(*joiner, impression(2001, 1200));
  changes = joiner->save(3, {});
  EXPECT_EQ(count(changes, "impressions").erasures, 1000 + 3 - 5);
  EXPECT_EQ(count(changes, "impressions").puts, 1 + 5);
  EXPECT_EQ(count(changes, "outcomes").erasures, 4);

  changes = joiner->save(4, {});
  EXPECT_TRUE(changes.blocks.empty());
  EXPECT_TRUE(changes.values.empty());
}

TEST_F(JoinerStateTest, ACleaningPutsWhatStillStandsThere) {
  const auto joiner = make();
  for (int i = 0; i < 10; ++i) take(*joiner, impression(i, 1000));
  const StateChanges first = joiner->save(1, {});
  take(*joiner, click(3, 1001));
  joiner->save(2, {});  // 3 stands in block 2 now
  const std::vector<Cleaning> cleanings{{"join", "impressions", 1, first.blocks.at(0).bytes}};
  EXPECT_EQ(count(joiner->save(3, cleanings), "impressions").puts, 9);
  EXPECT_EQ(count(joiner->save(4, cleanings), "impressions").puts, 0);
}

TEST_F(JoinerStateTest, SizesAreTrueAndClockAndAccountsAreNoPartOfTheDigest) {
  Dice dice(3);
  const auto joiner = make();
  for (int i = 0; i < 3000; ++i) {
    const std::int64_t now = 1000 + i;
    if (dice.chance(0.5)) take(*joiner, impression(dice.below(3000), now - dice.below(50)));
    if (dice.chance(0.5)) take(*joiner, click(dice.below(3000), now));
    if (!dice.chance(0.05)) continue;
    log.commit(*joiner, static_cast<std::size_t>(dice.below(2)));
    std::map<std::string, std::uint64_t> live{{"impressions", 0}, {"outcomes", 0}};
    for (const auto& [key, value] : log.entries()) {
      live[key.first] += 1 + 4 + key.second.size() + 4 + value.size();
    }
    EXPECT_EQ(log.live_bytes("impressions"), live["impressions"]);
    EXPECT_EQ(log.live_bytes("outcomes"), live["outcomes"]);
  }
  std::vector<std::string> values;
  for (const auto& [key, value] : log.digested()) {
    if (key.first.empty()) values.push_back(key.second);
  }
  EXPECT_EQ(values, std::vector<std::string>{"cold_start"});
}

TEST_F(JoinerStateTest, DamageIsRefused) {
  const auto joiner = make();
  take(*joiner, impression(0, 1000));
  take(*joiner, click(0, 1001));
  take(*joiner, click(1, 1001));
  const StateChanges changes = joiner->save(1, {});
  const auto fresh = make();
  for (const auto& block : changes.blocks) {
    EntryReader reader(block.bytes);
    EntryReader::Entry entry;
    ASSERT_TRUE(reader.next(entry));
    for (std::size_t length = 0; length < entry.value.size(); ++length) {
      EntryWriter cut;
      cut.put(entry.key, entry.value.substr(0, length));
      EXPECT_THROW(fresh->restore_block(block.set, 1, cut.take()), StateError);
    }
    EntryWriter longer;
    longer.put(entry.key, std::string(entry.value) + "x");
    EXPECT_THROW(fresh->restore_block(block.set, 1, longer.take()), StateError);
  }
  for (const auto& value : changes.values) {
    EXPECT_THROW(fresh->restore_value(value.name, value.bytes.substr(1)), StateError);
    EXPECT_THROW(fresh->restore_value(value.name, value.bytes + "x"), StateError);
  }
  EXPECT_THROW(fresh->restore_value("other", ""), StateError);
  EXPECT_THROW(fresh->restore_block("other", 1, ""), StateError);
}

TEST_F(JoinerStateTest, OutcomesOfATypeThatIsGoneAreRefused) {
  const auto joiner = make();
  take(*joiner, click(0, 1000));
  log.commit(*joiner);
  c.types.outcomes[0].name = "tap";
  EXPECT_THROW(log.restore(*make()), StateError);
}

TEST_F(JoinerStateTest, TypesMayMoveInTheConfiguration) {
  const auto joiner = make();
  take(*joiner, impression(0, 1000));
  take(*joiner, click(0, 1001));
  log.commit(*joiner);
  std::swap(c.types.outcomes[0], c.types.outcomes[1]);
  std::swap(c.labels[0].outcome, c.labels[1].outcome);
  const auto moved = make();
  log.restore(*moved);
  take(*moved, impression(1, 1151));
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].labels[0], 1);
}

TEST_F(JoinerStateTest, TheLatenessMayChangeAtARestart) {
  const auto joiner = make();
  take(*joiner, impression(0, 1000));
  take(*joiner, click(7, 990));
  log.commit(*joiner);
  c.options.allowed_lateness = Duration{5};
  const auto after = make();
  log.restore(*after);
  EXPECT_EQ(after->watermark(), EventTime{950});
  take(*after, impression(1, 1001));  // W = 996 > 990 + 5
  EXPECT_EQ(after->watermark(), EventTime{996});
  EXPECT_EQ(after->accounts().outcomes.unmatched, 1u);
}

// The zeros of the first days say nothing of a task whose positives come later (algorithms 2.2).
TEST_F(JoinerStateTest, ZerosOfTheColdStartDoNotCount) {
  auto joiner = make();
  take(*joiner, impression(1, 1020));
  take(*joiner, impression(0, 1000));  // the earliest accepted: t₀
  const auto counts_at = [&](int i, std::int64_t time) {
    log.commit(*joiner);
    joiner = make();
    log.restore(*joiner);
    rows.clear();
    take(*joiner, impression(i, time));
    take(*joiner, impression(i + 1, time + 151));
    return std::pair{rows.back().labels, rows.back().counts};
  };
  using Labels = std::vector<double>;
  using Counts = std::vector<std::uint8_t>;
  // cvr is due 1000 after its impression, so rows due until 2000 are covered.
  EXPECT_EQ(counts_at(2, 1500), (std::pair{Labels{0, 0}, Counts{1, 0}}));
  EXPECT_EQ(counts_at(4, 1900), (std::pair{Labels{0, 0}, Counts{1, 0}}));  // due 2000
  EXPECT_EQ(counts_at(6, 2101), (std::pair{Labels{0, 0}, Counts{1, 1}}));
}

// After a flush, which leaves W, an earlier impression may come: t₀ is what it was at the first
// row.
TEST_F(JoinerStateTest, TheColdStartIsFixedByTheFirstRow) {
  const auto joiner = make();
  take(*joiner, impression(0, 1000));
  joiner->flush();
  while (joiner->advance(1, rows)) {
  }
  take(*joiner, impression(1, 960));
  take(*joiner, impression(2, 1880));
  take(*joiner, impression(3, 2100));
  ASSERT_EQ(rows.back().due, EventTime{1980});
  EXPECT_EQ(rows.back().counts[1], 0) << "960 + 1000 < 1980 <= 1000 + 1000";
}

TEST_F(JoinerStateTest, ALongStreamKeepsMemoryFlatWithAndWithoutCommits) {
  for (const bool commits : {false, true}) {
    const auto joiner = make();
    StateLog store;
    std::uint64_t early = 0;
    for (int i = 0; i < 60'000; ++i) {
      take(*joiner, impression(i, 1000 + i / 4));
      if (i % 10 == 0) take(*joiner, click(i, 1001 + i / 4));
      if (i % 10 == 1) take(*joiner, click(-i, 1001 + i / 4));  // nobody's
      if (commits && i % 5000 == 0) store.commit(*joiner, 1);
      if (i == 20'000) early = joiner->memory_bytes();
      rows.clear();
    }
    EXPECT_LT(joiner->memory_bytes(), early * 5 / 4);
    EXPECT_GT(joiner->memory_bytes(), joiner->accounts().impressions.waiting * 100);
  }
}

TEST_F(JoinerStateTest, MoreTasksThanAWordHasBits) {
  c.tasks.clear();
  c.labels.clear();
  for (int k = 0; k < 150; ++k) {
    Task task{.name = "t" + std::to_string(k)};
    if (k % 3 == 2) task.given = k - 1;
    c.tasks.push_back(task);
    c.labels.emplace_back().outcome = k % 2;
  }
  schema = std::make_unique<Schema>(c.schema());
  OracleJoin oracle(c.tasks, c.types, c.labels, c.options);
  auto joiner = make();
  Dice dice(11);
  for (int i = 0; i < 300; ++i) {
    Event event = impression(dice.below(40), 1000 + i * 10 - dice.below(40));
    if (dice.chance(0.6)) event = click(dice.below(40), 1000 + i * 10 - dice.below(40));
    oracle.take(event);
    take(*joiner, std::move(event));
    if (!dice.chance(0.1)) continue;
    log.commit(*joiner);
    joiner = make();
    log.restore(*joiner);
  }
  EXPECT_GT(rows.size(), 50u);
  EXPECT_EQ(to_text(rows), to_text(oracle.rows));
}

TEST(AccountsState, ComesBack) {
  Accounts accounts;
  std::uint64_t next = 1;
  accounts.events = next++;
  accounts.impressions = {next++, next++, next++, next++, next++};
  accounts.outcomes = {next++, next++, next++, next++, next++, next++, next++, next++};
  accounts.samples = next++;
  accounts.rows = next++;
  for (auto& count : accounts.dead_letters) count = next++;
  ByteWriter writer;
  write_accounts(accounts, writer);
  ByteReader reader(writer.bytes());
  EXPECT_TRUE(read_accounts(reader) == accounts);
  EXPECT_TRUE(reader.at_end());
}

}  // namespace
}  // namespace millrace
