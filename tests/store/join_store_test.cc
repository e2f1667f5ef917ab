// The join with its state in a real store: killed, opened again and committed at random places,
// with memory for next to none of its impressions, it makes the rows, the accounts and the digest
// of the brute-force join and of a join that holds all in memory.
#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "ingest/join/joiner.h"
#include "store/store.h"
#include "tests/support/join_histories.h"
#include "tests/support/oracle_join.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

class StoredJoin {
 public:
  StoredJoin(JoinCase join_case, std::int64_t memory)
      : case_(std::move(join_case)), schema_(case_.schema()) {
    case_.options.memory.value = memory;
    open();
  }

  void take(const Step& step) {
    if (const auto* event = std::get_if<Event>(&step)) {
      ++joiner_->accounts().events;
      joiner_->add(Event{*event}, rows);
    } else if (const auto* clock = std::get_if<ClockMove>(&step)) {
      joiner_->move_by_clock(clock->watermark);
    } else {
      joiner_->flush();
    }
    while (joiner_->advance(1000, rows)) {
    }
  }
  void commit() {
    const std::uint64_t sequence = store_->sequence() + 1;
    store_->write({sequence, {{"join", joiner_->save(sequence, store_->cleanings())}}});
  }
  // What was not committed is forgotten, as after a kill.
  void open() {
    joiner_.reset();
    store_.reset();
    store_ = Store::open(folder_ / "store", Store::Access::kWrite);
    joiner_ = std::make_unique<Joiner>(schema_, case_.types, case_.labels, case_.options);
    store_->restore(*joiner_);
  }
  Joiner& joiner() { return *joiner_; }
  const Store& store() const { return *store_; }

  std::vector<JoinedRow> rows;

 private:
  JoinCase case_;
  const Schema schema_;
  const TempFolder folder_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Joiner> joiner_;
};

TEST(JoinStore, KilledAnywhereItIsTheJoinByBruteForce) {
  std::uint64_t in_store = 0, kills = 0;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    Dice dice(3'000'000 + seed);
    const JoinCase c = random_case(dice);
    const std::vector<Step> history = random_history(dice, c, 60 + dice.below(200));
    OracleJoin oracle(c.tasks, c.types, c.labels, c.options);
    StoredJoin large(c, 1 << 20), small(c, dice.chance(0.5) ? 0 : 2000);
    std::size_t committed_step = 0, committed_rows = 0;
    for (std::size_t at = 0; at < history.size(); ++at) {
      small.take(history[at]);
      if (dice.chance(0.2)) {
        small.commit();
        committed_step = at + 1;
        committed_rows = small.rows.size();
        in_store += small.joiner().sizes().in_store;
      }
      if (!dice.chance(0.015)) continue;
      small.open();
      small.rows.resize(committed_rows);
      at = committed_step - 1;  // and on with the step after it
      ++kills;
    }
    for (const Step& step : history) {
      large.take(step);
      if (const auto* event = std::get_if<Event>(&step)) oracle.take(*event);
      if (const auto* clock = std::get_if<ClockMove>(&step)) oracle.clock(clock->watermark);
      if (std::holds_alternative<Flush>(step)) oracle.flush();
    }
    const std::string context = "seed " + std::to_string(seed) + "\n" + to_text(c);
    ASSERT_EQ(to_text(small.rows), to_text(oracle.rows)) << context;
    ASSERT_EQ(to_text(large.rows), to_text(oracle.rows)) << context;
    ASSERT_TRUE(small.joiner().accounts() == oracle.accounts) << context;
    small.commit();
    large.commit();
    ASSERT_EQ(small.store().digest(), large.store().digest()) << context;
  }
  EXPECT_GT(in_store, 500u);
  EXPECT_GT(kills, 30u);
}

// A long stream in which everything happens to blocks of many impressions: a part leaves them,
// what is left of old ones is put again, and a start finds the same.
TEST(JoinStore, ALongStreamWithLittleMemoryIsTheSameAsWithMuch) {
  JoinCase c;
  c.types.outcomes = {{"click", "clicks", Duration{500}}, {"buy", "buys", Duration{12'000}}};
  c.tasks = {Task{.name = "ctr"}, Task{.name = "cvr"}};
  c.labels.resize(2);
  c.labels[0].outcome = 0;
  c.labels[1].outcome = 1;
  c.options.allowed_lateness = Duration{50};
  StoredJoin large(c, 1 << 30), small(c, 64 << 10);
  Dice dice(9);
  std::size_t compared = 0;
  for (int i = 0; i < 36'000; ++i) {
    const std::int64_t now = 1000 + i;
    Event event;
    if (dice.chance(0.6)) {
      event = Impression{.id = "impression-" + std::to_string(i),
                         .time = {now - dice.below(60)},
                         .features = std::string(static_cast<std::size_t>(dice.below(200)), 'x'),
                         .sampling_rate = 1,
                         .user = dice.chance(0.5) ? user_key(std::to_string(i % 100)) : kNoUser};
    } else {
      const int back = dice.chance(0.5) ? dice.below(600) : dice.below(12'000);
      event = Outcome{.impression_id = "impression-" + std::to_string(i - back),
                      .type = dice.below(2),
                      .time = {now - dice.below(40)},
                      .event_id = {},
                      .value = {}};
    }
    large.take(Step{event});
    small.take(Step{std::move(event)});
    if (i % 2000 == 0 || small.joiner().pressure() != JoinState::Pressure::kNone) small.commit();
    if (i % 9000 == 8999) {
      small.commit();
      large.commit();
      EXPECT_EQ(small.store().digest(), large.store().digest());
      const JoinSizes sizes = small.joiner().sizes();
      EXPECT_GT(sizes.in_store, 3000u);
      EXPECT_LT(sizes.in_memory, 2'000u);
      EXPECT_LT(small.joiner().memory_bytes(), 1'500'000u);
      EXPECT_GT(sizes.cold.found, 200u);
      EXPECT_GT(sizes.cold.spared, sizes.cold.lookups / 2);
      small.open();
      EXPECT_EQ(small.joiner().sizes().in_store, sizes.in_store);
      EXPECT_EQ(small.joiner().sizes().blocks, sizes.blocks);
    }
    ASSERT_EQ(small.rows.size(), large.rows.size());
    for (; compared < large.rows.size(); ++compared) {
      ASSERT_EQ(to_text(small.rows[compared]), to_text(large.rows[compared]));
    }
  }
  EXPECT_TRUE(small.joiner().accounts() == large.joiner().accounts());
}

}  // namespace
}  // namespace millrace
