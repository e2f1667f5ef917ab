// A table against a plain model (maps, one key after another): which keys have rows, what is
// dropped and when, what `undo` leaves, what is published, and what comes back from the store after
// any sequence of batches, commits and cleanings.
#include "learner/embedding/table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <tuple>

#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr int kDimension = 3;

EmbeddingTable make_table(int admit_after, std::int64_t max_rows,
                          Duration expire_after = Duration{60'000}, std::uint64_t seed = 7,
                          Eviction evict = Eviction::kNone,
                          KeyAdmission admission = KeyAdmission::kExact) {
  EmbeddingOptions options;
  options.admit_after = admit_after;
  options.max_rows = max_rows;
  options.expire_after = expire_after;
  options.evict = evict;
  options.admission = admission;
  options.admission_memory.value = 1 << 20;  // room for every key of the tests
  return EmbeddingTable({"t", kDimension, kDimension, seed, false}, options);
}

/// A table as a participant of its own.
struct Saved final : Participant {
  EmbeddingTable& table;
  explicit Saved(EmbeddingTable& t) : table(t) {}
  std::string participant_name() const override { return "table"; }
  StateChanges save(std::uint64_t sequence, std::span<const Cleaning> cleanings) override {
    StateChanges changes;
    table.save(sequence, cleanings, changes);
    return changes;
  }
  void restore_value(std::string_view, std::string_view) override {}
  void restore_block(std::string_view set, std::uint64_t sequence,
                     std::string_view bytes) override {
    ASSERT_TRUE(table.restore(set, sequence, bytes));
  }
  void restored() override {}
};

/// Looks keys up as one batch and moves every used weight by 1.
std::vector<std::uint32_t> train(EmbeddingTable& table, const std::vector<std::uint64_t>& keys,
                                 EventTime now, bool keep = true) {
  std::vector<std::uint32_t> slots(keys.size());
  table.begin(now);
  table.look_up(keys, slots);
  if (keep) {
    for (const auto& used : table.used()) used.values[0] += 1;
    table.keep();
  } else {
    table.undo();
  }
  return slots;
}

/// The same rules, one key after another.
struct Model {
  struct Row {
    float first = 0;  // how often it was trained
    std::int64_t seen = 0;
  };
  int admit_after;
  std::size_t max_rows;
  std::int64_t age = 60;
  bool evicts = false, blooms = false;
  std::map<std::uint64_t, Row> rows = {};
  std::map<std::uint64_t, std::pair<int, std::int64_t>> candidates = {};
  std::map<std::uint64_t, std::pair<int, std::int64_t>> counts = {};  // with their periods
  std::uint64_t refused = 0, expired = 0, evicted = 0;

  template <class Entries, class Seen>
  std::uint64_t make_room(Entries& entries, const Seen& seen) {
    if (!evicts || entries.size() < max_rows) return 0;
    std::set<std::tuple<std::int64_t, std::uint64_t, std::uint64_t>> order;
    for (const auto& [key, entry] : entries) {
      order.insert({seen(entry), mix_bits(key) >> 32, key});
    }
    const std::size_t most = max_rows - std::max(max_rows / 16, std::size_t{1});
    std::uint64_t dropped = 0;
    for (auto oldest = order.begin(); entries.size() > most; ++oldest, ++dropped) {
      entries.erase(std::get<2>(*oldest));
    }
    return dropped;
  }
  void make_room() {
    evicted += make_room(rows, [](const Row& row) { return row.seen; });
    make_room(candidates, [](const auto& candidate) { return candidate.second; });
  }
  bool is_seen_enough(std::uint64_t key, std::int64_t second) {
    auto& [count, period] = counts[key];
    count = std::min((count >> std::min(second / age - period, std::int64_t{4})) + 1, 15);
    period = second / age;
    return count >= admit_after;
  }

  void train(const std::vector<std::uint64_t>& keys, std::int64_t second) {
    std::set<std::uint64_t> used;
    for (const std::uint64_t key : keys) {
      if (key == kMissingKey) continue;
      if (!rows.contains(key)) {
        if (blooms) {
          if (!is_seen_enough(key, second)) continue;
        } else if (admit_after > 1) {
          if (!candidates.contains(key) && candidates.size() >= max_rows) {
            ++refused;
            continue;
          }
          auto& [count, seen] = candidates[key];
          count = std::min(count + 1, admit_after);
          seen = second;
          if (count < admit_after) continue;
        }
        if (rows.size() >= max_rows) {
          ++refused;
          continue;
        }
        rows[key] = {};
      }
      used.insert(key);
    }
    for (const std::uint64_t key : used) {
      rows[key].first += 1;
      rows[key].seen = second;
      candidates.erase(key);
    }
  }
  void expire(std::int64_t second) {
    expired += std::erase_if(rows, [&](auto& row) { return second - row.second.seen >= age; });
    std::erase_if(candidates, [&](auto& c) { return second - c.second.second >= age; });
  }
};

void expect_same(const EmbeddingTable& table, const Model& model,
                 const EmbeddingTable& fresh_init) {
  ASSERT_EQ(table.rows(), model.rows.size());
  ASSERT_EQ(table.candidates(), model.candidates.size());
  for (const auto& [key, row] : model.rows) {
    const float* values = table.find(key);
    ASSERT_NE(values, nullptr);
    const float* initial = fresh_init.find(key);
    ASSERT_NE(initial, nullptr);
    float expected = initial[0];
    for (int i = 0; i < static_cast<int>(row.first); ++i) expected += 1;
    ASSERT_EQ(values[0], expected) << key;
    ASSERT_EQ(values[1], initial[1]) << key;
  }
}

struct Limits {
  int admit_after;
  int max_rows;
  Eviction evict = Eviction::kNone;
  KeyAdmission admission = KeyAdmission::kExact;
};

class TableHistory : public ::testing::TestWithParam<Limits> {};

TEST_P(TableHistory, MatchesThePlainModelAndSurvivesTheStore) {
  const auto [admit_after, max_rows, evict, admission] = GetParam();
  const auto make = [=, evict = evict, admission = admission] {
    return make_table(admit_after, max_rows, Duration{60'000}, 7, evict, admission);
  };
  std::optional<EmbeddingTable> current(make());
  EmbeddingTable& table = *current;
  Model model{admit_after, static_cast<std::size_t>(max_rows)};
  model.evicts = evict == Eviction::kOldest;
  model.blooms = admission == KeyAdmission::kBloom;
  // Every key's initial values, whatever the order in which keys come.
  EmbeddingTable initial = make_table(1, 1000);
  std::vector<std::uint64_t> all(401);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = 400 - i;
  std::vector<std::uint32_t> slots(all.size());
  initial.begin(EventTime{0});
  initial.look_up(all, slots);
  initial.keep();

  std::mt19937_64 random(static_cast<std::uint64_t>(admit_after * 1000 + max_rows));
  StateLog log;
  Saved saved(table);
  std::map<std::uint64_t, float> served;  // what a follower of the publications has
  std::int64_t second = 1'000'000;
  for (int step = 0; step < 600; ++step) {
    second += static_cast<std::int64_t>(random() % 4);
    std::vector<std::uint64_t> keys(random() % 40);
    for (auto& key : keys) key = random() % 401;  // 0 is missing
    table.make_room(EventTime{second * 1000});
    model.make_room();
    train(table, keys, EventTime{second * 1000}, false);  // undone: changes nothing
    train(table, keys, EventTime{second * 1000});
    model.train(keys, second);
    if (random() % 10 == 0) {
      table.expire(EventTime{second * 1000}, false);
      model.expire(second);
    }
    if (random() % 7 == 0) {
      std::vector<std::uint64_t> changed, erased;
      std::vector<float> weights;
      table.publish(false, changed, weights, erased);
      for (std::size_t i = 0; i < changed.size(); ++i) served[changed[i]] = weights[i * kDimension];
      for (const std::uint64_t key : erased) served.erase(key);
      ASSERT_EQ(served.size(), table.rows());
      for (const auto& [key, weight] : served) ASSERT_EQ(weight, *table.find(key));
    }
    if (random() % 5 == 0) log.commit(saved, random() % 3);
    if (random() % 50 == 0) {
      log.commit(saved, 1);
      EmbeddingTable again = make();
      Saved into(again);
      log.restore(into);
      expect_same(again, model, initial);
      // Whichever way its rows stand in memory, it goes on as if nothing had happened.
      again.restore_counters(table.counters());
      current.emplace(std::move(again));
      std::vector<std::uint64_t> keys_now, erased;
      std::vector<float> weights;
      table.publish(true, keys_now, weights, erased);
      served.clear();
      for (std::size_t i = 0; i < keys_now.size(); ++i) {
        served[keys_now[i]] = weights[i * kDimension];
      }
      std::size_t sets = 0;
      for (const auto& [at, value] : log.entries()) sets += at.first == "counters/t" ? 0 : 1;
      ASSERT_EQ(sets, table.rows() + table.candidates());
      ASSERT_EQ(log.live_bytes("rows/t"), table.rows() * (1 + 4 + 8 + 4 + 6 * 4 + 4));
    }
    expect_same(table, model, initial);
    ASSERT_EQ(table.counters().refused, model.refused);
    ASSERT_EQ(table.counters().expired, model.expired);
    ASSERT_EQ(table.counters().evicted, model.evicted);
  }
  EXPECT_TRUE(model.expired > 0 || model.evicted > 0);
  EXPECT_EQ(model.evicted > 0, evict == Eviction::kOldest);
  EXPECT_GT(log.sequence(), 20U);
}

constexpr auto kOldest = Eviction::kOldest;
constexpr auto kBloom = KeyAdmission::kBloom;
INSTANTIATE_TEST_SUITE_P(Limits, TableHistory,
                         ::testing::Values(Limits{1, 1000}, Limits{1, 90}, Limits{3, 1000},
                                           Limits{3, 60}, Limits{2, 1}, Limits{1, 90, kOldest},
                                           Limits{3, 60, kOldest}, Limits{1, 1, kOldest},
                                           Limits{2, 1000, Eviction::kNone, kBloom},
                                           Limits{4, 60, kOldest, kBloom}));

// Among rows of one second the keys alone decide, not where the rows stand.
TEST(EmbeddingTable, EvictionDoesNotDependOnTheOrderOfInsertion) {
  constexpr std::size_t kRows = 320;
  std::vector<std::uint64_t> keys(kRows);
  for (std::size_t i = 0; i < kRows; ++i) keys[i] = 1000 + i;
  std::set<std::vector<std::uint64_t>> outcomes;
  std::mt19937_64 random(3);
  for (int order = 0; order < 6; ++order) {
    std::shuffle(keys.begin(), keys.end(), random);
    EmbeddingTable table = make_table(1, kRows, Duration{60'000}, 7, kOldest);
    // Rows come and go before, so that they stand on free ones in other orders.
    train(table, {1, 2, 3, 4, 5, 6, 7}, EventTime{0});
    table.expire(EventTime{60'000}, false);
    train(table, keys, EventTime{100'000});
    table.make_room(EventTime{100'000});
    EXPECT_EQ(table.rows(), kRows - kRows / 16);
    EXPECT_EQ(table.counters().evicted, kRows / 16);
    std::vector<std::uint64_t> left;
    for (std::uint64_t key = 1000; key < 1000 + kRows; ++key) {
      if (table.find(key) != nullptr) left.push_back(key);
    }
    outcomes.insert(left);
  }
  EXPECT_EQ(outcomes.size(), 1U);
}

// Without a commit or a publication rows come and go for years, and nothing grows.
TEST(EmbeddingTable, WhatIsNotedDownOfChangesIsBounded) {
  for (const bool publishes : {false, true}) {
    EmbeddingTable table = make_table(1, 100'000);
    std::vector<std::uint64_t> changed, erased, keys(5000);
    std::vector<float> weights;
    if (publishes) table.publish(true, changed, weights, erased);
    std::uint64_t bytes = 0;
    for (int day = 0; day < 60; ++day) {
      for (std::size_t i = 0; i < keys.size(); ++i) {
        keys[i] = 1 + static_cast<std::uint64_t>(day) * keys.size() + i;
      }
      const EventTime now{day * 100'000};
      table.expire(now, false);
      train(table, keys, now);
      if (day == 5) bytes = table.bytes();
    }
    // The keys that went are for the publication, which comes twice a second.
    const std::uint64_t gone = publishes ? 2 * 8 * 60 * keys.size() : 0;
    EXPECT_LE(table.bytes(), bytes + bytes / 5 + gone) << publishes;
  }
}

// Its limit may be lowered between two starts.
TEST(EmbeddingTable, ATableBeyondItsLimitShrinksBelowIt) {
  EmbeddingTable wide = make_table(1, 100);
  std::vector<std::uint64_t> keys(100);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = i + 1;
  train(wide, keys, EventTime{0});
  StateLog log;
  Saved saved(wide);
  log.commit(saved);
  EmbeddingTable narrow = make_table(1, 32, Duration{60'000}, 7, kOldest);
  Saved into(narrow);
  log.restore(into);
  narrow.make_room(EventTime{0});
  EXPECT_EQ(narrow.rows(), 30U);
}

TEST(EmbeddingTable, ADuplicateIsLookedUpOnceAndNeutralKeysHaveNoSlot) {
  EmbeddingTable table = make_table(1, 2);
  const auto slots = train(table, {5, kMissingKey, 5, 6, 7, 6}, EventTime{0});
  EXPECT_EQ(slots, (std::vector<std::uint32_t>{0, EmbeddingTable::kNeutral, 0, 1,
                                               EmbeddingTable::kNeutral, 1}));
  EXPECT_EQ(table.counters().refused, 1U);
}

TEST(EmbeddingTable, AKeyIsAdmittedAtItsNthOccurrence) {
  EmbeddingTable table = make_table(3, 10);
  constexpr auto none = EmbeddingTable::kNeutral;
  EXPECT_EQ(train(table, {5, 5}, EventTime{0}), (std::vector<std::uint32_t>{none, none}));
  EXPECT_EQ(train(table, {5, 5}, EventTime{0}), (std::vector<std::uint32_t>{0, 0}));
  EXPECT_EQ(table.candidates(), 0U);
}

TEST(EmbeddingTable, InitialValuesAreNormalAndDifferBySeed) {
  EmbeddingTable one = make_table(1, 100'000, Duration{60'000}, 1);
  EmbeddingTable two = make_table(1, 100'000, Duration{60'000}, 2);
  std::vector<std::uint64_t> keys(20'000);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = i + 1;
  std::vector<std::uint32_t> slots(keys.size());
  double sum = 0, squares = 0, product = 0;
  one.begin(EventTime{0});
  one.look_up(keys, slots);
  two.begin(EventTime{0});
  two.look_up(keys, slots);
  for (const std::uint64_t key : keys) {
    for (int d = 0; d < kDimension; ++d) {
      const double a = one.find(key)[d], b = two.find(key)[d];
      sum += a;
      squares += a * a;
      product += a * b;
      EXPECT_EQ(one.find(key)[kDimension + d], 0);
    }
  }
  const double n = static_cast<double>(keys.size()) * kDimension;
  EXPECT_NEAR(sum / n, 0, 4 * 0.05 / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), 0.05, 0.0005);
  EXPECT_NEAR(product / n / (0.05 * 0.05), 0, 4 / std::sqrt(n));
}

TEST(EmbeddingTable, AJumpOfTimeDropsEverything) {
  EmbeddingTable table = make_table(2, 10);
  train(table, {1, 1, 2}, EventTime{0});
  table.expire(EventTime{200LL * 365 * 86'400'000}, true);
  EXPECT_EQ(table.rows() + table.candidates(), 0U);
  EXPECT_EQ(table.counters().expired, 1U);
}

TEST(EmbeddingTable, ADamagedBlockIsRefused) {
  EmbeddingTable table = make_table(1, 10);
  EntryWriter writer;
  writer.put("12345678", "short");
  const std::string bytes = writer.take();
  EXPECT_THROW(table.restore("rows/t", 1, bytes), StateError);
  EXPECT_THROW(table.restore("rows/t", 1, std::string_view(bytes).substr(0, 9)), StateError);
  EXPECT_FALSE(table.restore("rows/other", 1, bytes));
}

// What ten million rows of dimension 16 with Adagrad may take: 1.6 GB.
TEST(EmbeddingTable, MemoryPerRow) {
  EmbeddingOptions options;
  EmbeddingTable table({"t", 16, 16, 1, false}, options);
  constexpr std::uint64_t kRows = 1'000'000;
  std::vector<std::uint64_t> keys(1000);
  std::vector<std::uint32_t> slots(keys.size());
  for (std::uint64_t first = 1; first <= kRows; first += keys.size()) {
    for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = first + i;
    table.begin(EventTime{0});
    table.look_up(keys, slots);
    table.keep();
  }
  ASSERT_EQ(table.rows(), kRows);
  std::vector<std::uint64_t> changed, erased;
  std::vector<float> weights;
  table.publish(false, changed, weights, erased);
  // Before the lists of changes, which a commit and a publication empty.
  EXPECT_LT(static_cast<double>(table.bytes()) / kRows, 160 + 4 * 2 * 2);
}

}  // namespace
}  // namespace millrace
