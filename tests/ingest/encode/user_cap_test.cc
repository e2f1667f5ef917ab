// The cap on one user's influence: exactly the first rows of a user in each window weigh something,
// whatever else comes between them and wherever a restart falls; more users than are counted loosen
// it by no more than it says.
#include "ingest/encode/user_cap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "ingest/encode/batcher.h"
#include "tests/support/join_histories.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

JoinedRow row(std::uint64_t user, std::int64_t due, Stream stream = Stream::kMatured) {
  return {.impression_id = "i",
          .time = {due},
          .due = {due},
          .watermark = {due},
          .stream = stream,
          .features = {},
          .weight = 4,
          .user = user,
          .labels = {1},
          .condition = {1},
          .counts = {1}};
}

/// A stream of rows as the join gives them: each of the two streams in the order of due time.
class Rows {
 public:
  explicit Rows(std::uint32_t seed) : dice_(seed) {}

  JoinedRow next(int users) {
    const Stream stream = dice_.chance(0.4) ? Stream::kAtOnce : Stream::kMatured;
    std::int64_t& due = stream == Stream::kAtOnce ? newest_ : watermark_;
    due += dice_.chance(0.01) ? dice_.below(20'000) : dice_.below(60);
    // A few users have most of the rows.
    const int user = dice_.chance(0.5) ? dice_.below(3) : dice_.below(users);
    JoinedRow next = row(dice_.chance(0.1) ? kNoUser : user_key(std::to_string(user)), due, stream);
    next.weight = dice_.chance(0.5) ? 1 : 2.5;
    if (dice_.chance(0.3)) next.measure_weight = 7;
    if (dice_.chance(0.1)) next.labels[0] = kMissing;  // of no batch
    return next;
  }

 private:
  Dice dice_;
  std::int64_t watermark_ = -30'000, newest_ = 1000;  // windows begin before 1970, too
};

/// The rule, as plainly as it can be said.
class Oracle {
 public:
  explicit Oracle(const UserCapOptions& options) : options_(options) {}

  bool is_capped(const JoinedRow& row) {
    if (row.user == kNoUser || std::isnan(row.labels[0])) return false;
    const auto window = static_cast<std::int64_t>(
        std::floor(static_cast<double>(row.due.ms) / static_cast<double>(options_.window.count())));
    const bool capped = ++seen_[{row.stream, window, row.user}] > options_.rows;
    if (capped) users_.insert({row.stream, window, row.user});
    rows_ += capped ? 1 : 0;
    return capped;
  }
  std::uint64_t rows() const { return rows_; }
  std::uint64_t users() const { return users_.size(); }

 private:
  using Key = std::tuple<Stream, std::int64_t, std::uint64_t>;
  const UserCapOptions options_;
  std::map<Key, int> seen_;
  std::set<Key> users_;
  std::uint64_t rows_ = 0;
};

TEST(UserCap, IsOffByDefault) {
  const UserCapOptions off;
  UserCap cap(off);
  for (int i = 0; i < 1000; ++i) {
    JoinedRow r = row(7, 1000);
    cap.weigh(r);
    EXPECT_EQ(r.weight, 4);
  }
  const StateChanges changes = cap.save(1, {});
  EXPECT_TRUE(changes.values.empty() && changes.blocks.empty() && changes.sizes.empty());
}

TEST(UserCap, RowsBeyondWeighNothingAndAreMeasuredAsBefore) {
  const UserCapOptions options{.rows = 2, .window = Duration{1000}};
  UserCap cap(options);
  JoinedRow first = row(7, 5000), second = row(7, 5999), third = row(7, 5999), other = row(8, 5999),
            nobody = row(kNoUser, 5999), next_window = row(7, 6000);
  third.measure_weight = 40;
  for (JoinedRow* r : {&first, &second, &third, &other, &nobody, &next_window}) cap.weigh(*r);
  for (const JoinedRow* r : {&first, &second, &other, &nobody, &next_window}) {
    EXPECT_EQ(r->weight, 4);
    EXPECT_FALSE(r->measure_weight);
  }
  EXPECT_EQ(third.weight, 0);
  EXPECT_EQ(third.measure_weight, 40);  // what sampling said
  JoinedRow fourth = row(7, 6500), fifth = row(7, 6500);
  cap.weigh(fourth);
  cap.weigh(fifth);
  EXPECT_EQ(fourth.weight, 4);
  EXPECT_EQ(fifth.weight, 0);
  EXPECT_EQ(fifth.measure_weight, 4);
  EXPECT_EQ(cap.counts().rows, 2U);
  EXPECT_EQ(cap.counts().users, 2U);
  EXPECT_EQ(cap.counts().crowded, 0U);
}

// What no batch takes is not learned from, so it uses up nothing.
TEST(UserCap, OnlyRowsThatAreTrainedCount) {
  const UserCapOptions options{.rows = 1};
  UserCap cap(options);
  JoinedRow unlabelled = row(7, 1000), uncounted = row(7, 1000), target = row(7, 1000),
            last = row(7, 1000);
  unlabelled.labels[0] = target.labels[0] = kMissing;
  unlabelled.measured = {1};  // a label that is only measured
  uncounted.counts[0] = 0;
  target.targets = {1};
  for (JoinedRow* r : {&unlabelled, &uncounted, &target, &last}) cap.weigh(*r);
  EXPECT_EQ(unlabelled.weight, 4);
  EXPECT_EQ(uncounted.weight, 4);
  EXPECT_EQ(target.weight, 4);
  EXPECT_EQ(last.weight, 0);
}

TEST(UserCap, IsTheRuleOnRandomStreamsWhateverRestarts) {
  Dice dice(5);
  for (std::uint32_t seed = 0; seed < 12; ++seed) {
    const UserCapOptions options{.rows = 1 + dice.below(20),
                                 .window = Duration{1000 + dice.below(9000)}};
    Rows rows(seed);
    Oracle oracle(options);
    auto cap = std::make_unique<UserCap>(options);
    UserCap undisturbed(options);
    StateLog log, other;
    for (int i = 0; i < 20'000; ++i) {
      JoinedRow r = rows.next(50), same = r;
      const double weight = r.weight, measured = r.measure_weight.value_or(weight);
      const bool capped = oracle.is_capped(r);
      cap->weigh(r);
      undisturbed.weigh(same);
      ASSERT_EQ(r.weight, capped ? 0 : weight) << "seed " << seed << ", row " << i;
      ASSERT_EQ(r.measure_weight.value_or(r.weight), measured);
      ASSERT_EQ(same.weight, r.weight);
      if (dice.chance(0.005)) {
        log.commit(*cap, static_cast<std::size_t>(dice.below(3)));
        if (dice.chance(0.5)) continue;
        cap = std::make_unique<UserCap>(options);
        log.restore(*cap);
      }
    }
    EXPECT_EQ(cap->counts().rows, oracle.rows());
    EXPECT_EQ(cap->counts().users, oracle.users());
    EXPECT_GT(oracle.rows(), 500U);
    log.commit(*cap);
    other.commit(undisturbed);
    EXPECT_EQ(log.digested(), other.digested());
    for (const char* set : {"matured", "at_once"}) {
      EXPECT_EQ(log.live_bytes(set), other.live_bytes(set));
    }
  }
}

// Misra and Gries: nobody is capped too early, and nobody gets more than n / (users + 1) rows
// beyond the cap.
TEST(UserCap, MoreUsersThanAreCountedLoosenItNoMoreThanItSays) {
  const UserCapOptions options{.rows = 10, .window = Duration{1'000'000'000}, .users = 20};
  UserCap cap(options);
  Dice dice(3);
  std::map<std::uint64_t, int> seen, full;
  constexpr int kRows = 20'000;
  for (int i = 0; i < kRows; ++i) {
    const std::uint64_t user =
        1 + static_cast<std::uint64_t>(dice.chance(0.3) ? 0 : dice.below(2000));
    JoinedRow r = row(user, 1000 + i);
    cap.weigh(r);
    ++seen[user];
    full[user] += r.weight > 0 ? 1 : 0;
    if (r.weight == 0) {
      EXPECT_GT(seen[user], options.rows);
    }
  }
  for (const auto& [user, count] : full) {
    EXPECT_LE(count, options.rows + kRows / (static_cast<int>(options.users) + 1)) << user;
  }
  EXPECT_LT(full[1], seen[1] / 2);
  EXPECT_GT(seen[1], 5000);
  EXPECT_GT(cap.counts().crowded, 100U);
  // And the state is bounded.
  StateLog log;
  log.commit(cap);
  EXPECT_LE(log.entries().size(), 20U);
}

TEST(UserCap, AnotherCapGoesOnAndAnotherWindowBeginsAnew) {
  const UserCapOptions options{.rows = 3, .window = Duration{10'000}};
  UserCap before(options);
  for (int i = 0; i < 5; ++i) {
    JoinedRow r = row(7, 1000);
    before.weigh(r);
  }
  StateLog log;
  log.commit(before);
  const auto weight_after = [&](const UserCapOptions& changed) {
    UserCap after(changed);
    log.restore(after);
    EXPECT_EQ(after.counts().rows, 2U);
    JoinedRow r = row(7, 1001);
    after.weigh(r);
    return r.weight;
  };
  EXPECT_EQ(weight_after(options), 0);
  EXPECT_EQ(weight_after({.rows = 2, .window = options.window}), 0);
  EXPECT_EQ(weight_after({.rows = 5, .window = options.window}), 4);
  EXPECT_EQ(weight_after({.rows = 3, .window = Duration{20'000}}), 4);

  const UserCapOptions off;
  UserCap none(off);
  log.restore(none);
  log.commit(none);
  EXPECT_TRUE(log.entries().empty());
}

TEST(UserCap, DamageShows) {
  const UserCapOptions options{.rows = 3};
  UserCap cap(options);
  for (const char* name : {"windows", "counts", "other"}) {
    EXPECT_THROW(cap.restore_value(name, "x"), StateError) << name;
  }
  EXPECT_THROW(cap.restore_block("other", 1, ""), StateError);
  EXPECT_THROW(cap.restore_block("matured", 1, "x"), StateError);
}

// Who is capped does not depend on how the rows are cut into batches.
TEST(UserCap, BatchesCarryTheVerdictAndTheUserHoweverTheyAreCut) {
  const Schema schema({}, {Task{.name = "ctr"}});
  const UserCapOptions options{.rows = 5, .window = Duration{5000}};
  const auto columns_of = [&](int batch, std::optional<Duration> span, int restart_every) {
    UserCap cap(options);
    auto batcher = std::make_unique<Batcher>(schema, batch, span);
    Rows rows(9);
    StateLog log;
    std::vector<Batch> closed;
    std::array<std::vector<std::tuple<std::uint64_t, float, float>>, kStreams> columns;
    for (int i = 1; i <= 3000; ++i) {
      JoinedRow r = rows.next(50);
      cap.weigh(r);
      batcher->add(r, r.due, closed);
      if (i % restart_every != 0) continue;
      log.commit(*batcher);
      batcher = std::make_unique<Batcher>(schema, batch, span);
      log.restore(*batcher);
    }
    for (const Stream stream : {Stream::kAtOnce, Stream::kMatured}) batcher->flush(stream, closed);
    for (const Batch& b : closed) {
      for (std::size_t r = 0; r < static_cast<std::size_t>(b.rows); ++r) {
        columns[static_cast<std::size_t>(b.stream)].emplace_back(
            b.users.at(r), b.weights.at(r),
            b.measure_weights.empty() ? b.weights[r] : b.measure_weights.at(r));
      }
    }
    return columns;
  };
  const auto expected = columns_of(256, std::nullopt, 10'000);
  EXPECT_EQ(columns_of(7, Duration{300}, 10'000), expected);
  EXPECT_EQ(columns_of(1, std::nullopt, 401), expected);
  EXPECT_EQ(columns_of(64, Duration{10'000}, 97), expected);
}

}  // namespace
}  // namespace millrace
