// The AUC within users against counting every pair, what is held at the bound, and what comes back
// from the saved state.
#include "learner/evaluate/grouped_auc.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace millrace {
namespace {

struct Row {
  std::uint64_t user;
  float logit;
  bool positive;
  double weight;
};

// Few logits, so that there are ties; users of one row, of one class, of both.
std::vector<Row> draw(std::size_t count, std::uint64_t users, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Row> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t user = random() % users;
    rows.push_back({user, static_cast<float>(random() % 40) / 8 - 2,
                    random() % (user % 7 == 3 ? 1'000'000 : 4) == 0,
                    random() % 3 == 0 ? 2.5 : 1.0});
  }
  return rows;
}

GroupedAucFigure oracle(const std::vector<Row>& rows) {
  std::map<std::uint64_t, std::vector<Row>> users;
  for (const Row& row : rows) {
    if (row.user != 0) users[row.user].push_back(row);
  }
  GroupedAucFigure figure;
  double weights = 0, sum = 0;
  for (const auto& [user, of] : users) {
    figure.rows += of.size();
    ++figure.users;
    double pairs = 0, won = 0, weight = 0;
    for (const Row& a : of) {
      weight += a.weight;
      for (const Row& b : of) {
        if (!a.positive || b.positive) continue;
        pairs += a.weight * b.weight;
        won += a.weight * b.weight * (a.logit > b.logit ? 1 : a.logit == b.logit ? 0.5 : 0);
      }
    }
    if (!(pairs > 0)) continue;
    ++figure.counted;
    weights += weight;
    sum += weight * won / pairs;
  }
  if (weights > 0) figure.value = sum / weights;
  return figure;
}

void expect_same(const GroupedAucFigure& a, const GroupedAucFigure& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.users, b.users);
  EXPECT_EQ(a.counted, b.counted);
  ASSERT_EQ(a.value.has_value(), b.value.has_value());
  if (a.value) {
    EXPECT_NEAR(*a.value, *b.value, 1e-12);
  }
}

void add(GroupedAuc& auc, const Row& row) {
  auc.add(row.user, row.logit, row.positive, row.weight);
}

TEST(GroupedAuc, IsTheMeanOverUsersOfCountedPairs) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    GroupedAuc auc(4'000);
    const auto rows = draw(1 + seed * 137, 1 + seed * 9, seed);
    for (const Row& row : rows) add(auc, row);
    expect_same(auc.figure(), oracle(rows));
  }
}

TEST(GroupedAuc, HoldsTheLastRowsByPieces) {
  GroupedAuc auc(1'600);
  const auto rows = draw(5'350, 90, 7);
  std::vector<Row> known;
  for (const Row& row : rows) {
    add(auc, row);
    if (row.user != 0) known.push_back(row);
  }
  // 16 closed pieces of 100 and what is open.
  const std::size_t held = 1'600 + known.size() % 100;
  expect_same(auc.figure(), oracle({known.end() - static_cast<std::ptrdiff_t>(held), known.end()}));
}

TEST(GroupedAuc, IsUndefinedUnlessAUserHasBothClasses) {
  GroupedAuc auc(100);
  EXPECT_FALSE(auc.figure().value);
  auc.add(1, 0.5, true, 1);
  auc.add(2, 0.5, false, 1);
  auc.add(0, 0.1, true, 1);
  auc.add(0, 0.2, false, 1);
  EXPECT_FALSE(auc.figure().value);
  EXPECT_EQ(auc.figure().rows, 2U);
  auc.add(1, 0.25, false, 1);
  EXPECT_EQ(auc.figure().value, 1.0);
}

TEST(GroupedAuc, ARestartAnywhereChangesNothing) {
  const auto rows = draw(3'000, 60, 9);
  GroupedAuc whole(800);
  auto cut = std::make_unique<GroupedAuc>(800);
  std::map<std::string, std::string> values;
  std::mt19937_64 random(3);
  for (const Row& row : rows) {
    add(whole, row);
    add(*cut, row);
    if (random() % 90 != 0) continue;
    StateChanges changes;
    cut->save("g", changes);
    for (const auto& value : changes.values) values[value.name] = value.bytes;
    if (random() % 2 == 0) continue;
    cut = std::make_unique<GroupedAuc>(800);
    for (const auto& [name, bytes] : values)
      cut->restore(name.size() > 1 ? name.substr(2) : "", bytes);
  }
  expect_same(cut->figure(), whole.figure());
  // Under another number of rows it begins anew.
  GroupedAuc other(640);
  for (const auto& [name, bytes] : values)
    other.restore(name.size() > 1 ? name.substr(2) : "", bytes);
  EXPECT_EQ(other.figure().rows, 0U);
}

}  // namespace
}  // namespace millrace
