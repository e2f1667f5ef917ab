// Batches close by data alone (contract/join.md, Batches): by size and by cells of due time, the
// same whatever the order of arrival and wherever the open ones were saved and restored.
#include "ingest/encode/batcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <sstream>

#include "ingest/join/joiner.h"
#include "tests/support/join_histories.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

std::vector<Feature> one_number() {
  Feature x;
  x.name = "x";
  x.kind = FeatureKind::kNumeric;
  return {x};
}

// The encoding of that one number (ingest/encode/features.h).
EncodedFeatures encode(double x) {
  EncodedFeatures bytes(sizeof x, '\0');
  std::memcpy(bytes.data(), &x, sizeof x);
  return bytes;
}

std::string to_text(const Batch& batch) {
  std::ostringstream text;
  text << (batch.stream == Stream::kAtOnce ? "at once" : "matured") << " rows " << batch.rows
       << " due " << batch.due.ms << " x";
  for (const float x : batch.numeric) text << ' ' << x;
  text << " labels";
  for (const float label : batch.labels) text << ' ' << label;
  text << " conditions";
  for (const auto holds : batch.condition) text << ' ' << int{holds};
  text << " certain";
  for (const auto holds : batch.certain) text << ' ' << int{holds};
  text << " weights";
  for (const float weight : batch.weights) text << ' ' << weight;
  text << " measure";
  for (const float weight : batch.measure_weights) text << ' ' << weight;
  text << " keys";
  for (const auto key : batch.keys) text << ' ' << key;
  text << " origins";
  for (const auto origin : batch.origin) text << ' ' << static_cast<int>(origin);
  text << " targets";
  for (const auto bits : batch.targets) text << ' ' << int{bits};
  const MeasuredLabels& measured = batch.measured;
  for (std::size_t i = 0, T = batch.condition.size() / std::max(1, batch.rows);
       i < measured.keys.size(); ++i) {
    text << " final of " << measured.keys[i] << (measured.last[i] != 0 ? " last" : "") << " w "
         << measured.weights[i];
    for (std::size_t k = 0; k < T; ++k) {
      text << ' ' << measured.labels[i * T + k] << '/' << int{measured.condition[i * T + k]};
    }
  }
  return text.str();
}

std::vector<std::string> to_text(const std::vector<Batch>& batches) {
  std::vector<std::string> text;
  for (const Batch& batch : batches) text.push_back(to_text(batch));
  return text;
}

struct BatcherTest : ::testing::Test {
  static constexpr EventTime kNever = EventTime::before_all();
  const Schema schema{one_number(), {Task{.name = "ctr"}}};

  JoinedRow row(std::int64_t due, double x, Stream stream = Stream::kMatured) const {
    return {.impression_id = "i",
            .time = {due},
            .due = {due},
            .watermark = {due + 1},
            .stream = stream,
            .features = encode(x),
            .weight = 1,
            .labels = {1},
            .condition = {1},
            .counts = {1}};
  }
  // Sizes of what closed since the last call.
  std::vector<int> sizes() {
    std::vector<int> sizes;
    for (const Batch& batch : closed) sizes.push_back(batch.rows);
    closed.clear();
    return sizes;
  }
  std::vector<Batch> closed;
  using Sizes = std::vector<int>;
};

TEST_F(BatcherTest, ClosesWhenFull) {
  Batcher batcher(schema, 3, Duration{100});
  for (int i = 0; i < 7; ++i) batcher.add(row(50, i), {60}, closed);
  EXPECT_EQ(sizes(), (Sizes{3, 3}));
}

TEST_F(BatcherTest, ARowOfALaterCellClosesTheOlderBatch) {
  Batcher batcher(schema, 10, Duration{100});
  batcher.add(row(99, 1), {110}, closed);
  batcher.add(row(0, 2), {111}, closed);
  EXPECT_EQ(sizes(), Sizes{});
  batcher.add(row(100, 3), {120}, closed);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].rows, 2);
  EXPECT_EQ(closed[0].seen, EventTime{111});
  EXPECT_EQ(closed[0].due, EventTime{0});
}

TEST_F(BatcherTest, ClosesWhenNoFurtherRowOfItsCellCanCome) {
  Batcher batcher(schema, 10, Duration{100});
  batcher.add(row(50, 1), {60}, closed);
  batcher.close_passed({99}, {500}, closed);
  EXPECT_EQ(sizes(), Sizes{});
  batcher.close_passed({100}, {500}, closed);
  EXPECT_EQ(sizes(), Sizes{1});

  batcher.add(row(50, 1, Stream::kAtOnce), {60}, closed);
  batcher.close_passed({500}, {99}, closed);
  EXPECT_EQ(sizes(), Sizes{});
  batcher.close_passed(kNever, {100}, closed);
  EXPECT_EQ(sizes(), Sizes{1});
}

TEST_F(BatcherTest, RowsAtOnceFormBatchesOfTheirOwnAndGoFirst) {
  Batcher batcher(schema, 10, Duration{100});
  batcher.add(row(50, 1), {60}, closed);
  batcher.add(row(51, 2, Stream::kAtOnce), {60}, closed);
  batcher.close_passed({100}, {100}, closed);
  ASSERT_EQ(closed.size(), 2u);
  EXPECT_EQ(closed[0].stream, Stream::kAtOnce);
  EXPECT_EQ(closed[1].stream, Stream::kMatured);
}

TEST_F(BatcherTest, WithoutASpanClosesBySizeAloneAndAtAFlush) {
  Batcher batcher(schema, 3, std::nullopt);
  for (int i = 0; i < 4; ++i) batcher.add(row(1000 * i, i), {60}, closed);
  batcher.close_passed({99'999}, {99'999}, closed);
  EXPECT_EQ(sizes(), Sizes{3});
  batcher.flush(Stream::kAtOnce, closed);
  EXPECT_EQ(sizes(), Sizes{});
  batcher.flush(Stream::kMatured, closed);
  batcher.flush(Stream::kMatured, closed);
  EXPECT_EQ(sizes(), Sizes{1});
}

TEST_F(BatcherTest, RowsWithoutALabelThatCountsArePassedOver) {
  Batcher batcher(schema, 10, Duration{100});
  JoinedRow none = row(50, 1), cold = row(50, 2);
  none.labels = {kMissing};
  cold.labels = {0};
  cold.counts = {0};
  batcher.add(none, {60}, closed);
  batcher.add(cold, {60}, closed);
  batcher.flush(Stream::kMatured, closed);
  EXPECT_EQ(sizes(), Sizes{});
}

TEST_F(BatcherTest, LabelsAreTransformedAndThoseThatDoNotCountAreMissing) {
  const Schema tasks(
      {}, {Task{.name = "ctr"}, Task{.name = "cvr", .given = 0, .entire_space = true},
           Task{.name = "up", .kind = TaskKind::kRegression, .transform = Transform::kLog1p},
           Task{.name = "down", .kind = TaskKind::kRegression, .transform = Transform::kLog1p},
           Task{.name = "items", .kind = TaskKind::kCount},
           Task{.name = "back", .kind = TaskKind::kCount},
           Task{.name = "watch", .kind = TaskKind::kDuration},
           Task{.name = "never", .kind = TaskKind::kDuration}});
  Batcher batcher(tasks, 1, Duration{100});
  JoinedRow r = row(50, 0);
  r.features.clear();
  r.weight = 4;
  r.labels = {1, 0, 3, -3, 2, -1, 3, -3};
  r.condition = {1, 0, 1, 1, 1, 1, 1, 1};
  r.counts = {1, 0, 1, 1, 1, 1, 1, 1};
  batcher.add(r, {60}, closed);
  ASSERT_EQ(closed.size(), 1u);
  const Batch& batch = closed[0];
  EXPECT_EQ(batch.labels[0], 1);
  EXPECT_TRUE(std::isnan(batch.labels[1]));
  EXPECT_FLOAT_EQ(batch.labels[2], std::log(4.0F));
  EXPECT_FLOAT_EQ(batch.labels[3], -std::log(4.0F));
  EXPECT_EQ(batch.labels[4], 2);
  EXPECT_TRUE(std::isnan(batch.labels[5]));  // no count is below 0
  EXPECT_FLOAT_EQ(batch.labels[6], std::log(4.0F));
  EXPECT_TRUE(std::isnan(batch.labels[7]));
  EXPECT_EQ(batch.condition, r.condition);
  EXPECT_EQ(batch.weights, std::vector<float>{4});
}

// Final labels of impressions that were trained before: they have no features and fill nothing.
struct MeasuringTest : BatcherTest {
  const Schema feedback{one_number(), {Task{.name = "ctr", .policy = FeedbackPolicy::kFnw}}};

  JoinedRow final_of(std::int64_t due, double label, bool last = true) const {
    JoinedRow r = row(due, 0);
    r.labels = {kMissing};
    r.origin = {Origin::kFinal};
    r.targets = {0};
    r.measured = {label};
    r.is_last = last;
    r.keeps_score = true;
    return r;
  }
  JoinedRow trained(std::int64_t due, double x) const {
    JoinedRow r = row(due, x);
    r.origin = {Origin::kFinal};
    r.targets = {0};
    r.measured = {kMissing};
    return r;
  }
};

TEST_F(MeasuringTest, RideBesideABatchAndDoNotFillIt) {
  Batcher batcher(feedback, 2, Duration{100});
  for (int i = 0; i < 5; ++i) batcher.add(final_of(50, i % 2), {60}, closed);
  batcher.add(trained(50, 1), {60}, closed);
  EXPECT_EQ(closed.size(), 0U);
  batcher.add(trained(50, 2), {60}, closed);
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].rows, 2);
  EXPECT_EQ(closed[0].measured.labels, (std::vector<float>{0, 1, 0, 1, 0}));
  EXPECT_EQ(closed[0].measured.count(), 5);
  // The next ones have a cell to themselves, which closes all the same.
  batcher.add(final_of(150, 1, false), {160}, closed);
  batcher.close_passed({199}, {500}, closed);
  EXPECT_EQ(closed.size(), 1U);
  batcher.close_passed({200}, {500}, closed);
  ASSERT_EQ(closed.size(), 2U);
  EXPECT_EQ(closed[1].rows, 0);
  EXPECT_EQ(closed[1].due, EventTime{150});
  EXPECT_EQ(closed[1].measured.last, std::vector<std::uint8_t>{0});
}

TEST_F(MeasuringTest, GoAheadOfARowThatWaitsWhenTheyAreMany) {
  Batcher batcher(feedback, 2, std::nullopt);
  batcher.add(trained(50, 1), {60}, closed);
  for (int i = 0; i < Batcher::kMostMeasured + 3; ++i) batcher.add(final_of(50, 1), {60}, closed);
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].rows, 0);
  EXPECT_EQ(closed[0].measured.count(), Batcher::kMostMeasured);
  // What is saved is what is still open.
  StateLog log;
  log.commit(batcher);
  Batcher after(feedback, 2, std::nullopt);
  log.restore(after);
  closed.clear();
  after.flush(Stream::kMatured, closed);
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].rows, 1);
  EXPECT_EQ(closed[0].measured.count(), 3);
}

TEST_F(MeasuringTest, OneKeyAnImpression) {
  Batcher batcher(feedback, 10, Duration{100});
  JoinedRow first = trained(50, 1), none = trained(50, 2), other = trained(50, 3);
  first.keeps_score = other.keeps_score = true;
  other.time = {51};  // the same id again
  for (const JoinedRow* r : {&first, &none, &other}) batcher.add(*r, {60}, closed);
  batcher.add(final_of(50, 1), {60}, closed);
  batcher.flush(Stream::kMatured, closed);
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].keys[1], 0U);
  EXPECT_NE(closed[0].keys[0], closed[0].keys[2]);
  EXPECT_EQ(closed[0].keys[0], closed[0].measured.keys[0]);
}

TEST_F(MeasuringTest, ARowWithATargetAloneIsTaken) {
  Batcher batcher(feedback, 10, Duration{100});
  JoinedRow r = trained(50, 1);
  r.labels = {kMissing};
  batcher.add(r, {60}, closed);
  batcher.flush(Stream::kMatured, closed);
  EXPECT_EQ(closed.size(), 0U);
  r.targets = {target::kDelayedKnown};
  batcher.add(r, {60}, closed);
  batcher.flush(Stream::kMatured, closed);
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].targets, std::vector<std::uint8_t>{target::kDelayedKnown});
}

TEST_F(BatcherTest, AfterARestartOpenRowsAreCutByTheNewSizes) {
  StateLog log;
  Batcher before(schema, 10, Duration{100});
  for (int i = 0; i < 5; ++i) before.add(row(10 * i, i), {60}, closed);
  log.commit(before);
  Batcher after(schema, 2, Duration{40});
  log.restore(after);
  log.commit(after);  // nothing was cut yet: all is still there
  Batcher again(schema, 2, Duration{40});
  log.restore(again);
  for (Batcher* batcher : {&after, &again}) {
    batcher->close_passed(kNever, kNever, closed);
    EXPECT_EQ(sizes(), (Sizes{2, 2}));
    batcher->flush(Stream::kMatured, closed);
    EXPECT_EQ(sizes(), Sizes{1});
  }
}

TEST_F(BatcherTest, WhatIsCertainIsKeptBesideItsRows) {
  StateLog log;
  Batcher before(schema, 10, Duration{100});
  JoinedRow certain = row(20, 1);
  certain.certain.assign(schema.tasks().size(), 0);
  certain.certain[0] = 1;
  before.add(row(10, 0), {60}, closed);
  before.add(certain, {60}, closed);
  before.add(row(30, 2), {60}, closed);
  before.add(row(130, 3), {160}, closed);
  log.commit(before);
  std::vector<std::uint8_t> expected(3 * schema.tasks().size(), 0);
  expected[schema.tasks().size()] = 1;
  ASSERT_EQ(closed.size(), 1U);
  EXPECT_EQ(closed[0].certain, expected);
  EXPECT_EQ(closed[0].condition.size(), expected.size());

  certain.due = {140};
  before.add(certain, {160}, closed);
  log.commit(before);
  Batcher after(schema, 10, Duration{100});
  log.restore(after);
  before.flush(Stream::kMatured, closed);
  after.flush(Stream::kMatured, closed);
  ASSERT_EQ(closed.size(), 3U);
  expected.erase(expected.end() - static_cast<long>(schema.tasks().size()), expected.end());
  EXPECT_EQ(closed[1].certain, expected);
  EXPECT_EQ(closed[2].certain, expected);
  EXPECT_EQ(closed[2].condition, closed[1].condition);
}

TEST_F(BatcherTest, DamagedStateIsRefused) {
  Batcher batcher(schema, 10, Duration{100});
  EXPECT_THROW(batcher.restore_value("matured", "abc"), StateError);
  EXPECT_THROW(batcher.restore_value("seen", "abc"), StateError);
  EXPECT_THROW(batcher.restore_value("other", "abc"), StateError);
}

// The join and the batches as the pipeline drives them; with dice, saved and restored between any
// two calls.
class Line {
 public:
  Line(const JoinCase& join_case, Dice* dice)
      : case_(join_case), schema_(one_number(), join_case.tasks), dice_(dice) {
    renew();
  }

  void take(Event event) {
    std::vector<JoinedRow> rows;
    joiner_->add(std::move(event), rows);
    add(rows);
    batcher_->close_passed(EventTime::before_all(), joiner_->newest(), batches);
    decide();
    batcher_->close_passed(joiner_->watermark(), joiner_->newest(), batches);
  }
  void flush() {
    batcher_->flush(Stream::kAtOnce, batches);
    joiner_->flush();
    decide();
    batcher_->flush(Stream::kMatured, batches);
  }
  StateLog::Entries open_batches() {
    log_.commit(*batcher_);
    return log_.digested();
  }

  std::vector<Batch> batches;

 private:
  void renew() {
    joiner_ = joiner_ ? std::move(joiner_)
                      : std::make_unique<Joiner>(schema_, case_.types, case_.labels, case_.options);
    batcher_ = std::make_unique<Batcher>(schema_, 4, Duration{10});
  }
  void disturb() {
    if (!dice_ || !dice_->chance(0.1)) return;
    log_.commit(*batcher_);
    if (dice_->chance(0.5)) return;
    renew();
    log_.restore(*batcher_);
  }
  void add(const std::vector<JoinedRow>& rows) {
    for (const JoinedRow& row : rows) {
      disturb();
      batcher_->add(row, joiner_->watermark() + case_.options.allowed_lateness, batches);
    }
  }
  void decide() {
    for (bool more = true; more;) {
      std::vector<JoinedRow> rows;
      more = joiner_->advance(2, rows);
      add(rows);
      disturb();
    }
  }

  const JoinCase& case_;
  const Schema schema_;
  Dice* dice_;
  std::unique_ptr<Joiner> joiner_;
  std::unique_ptr<Batcher> batcher_;
  StateLog log_;
};

// Random cases with rows at maturity only, whose batches do not depend on the order of arrival.
TEST(BatcherProperty, OrderOfArrivalAndRestartsChangeNoBatch) {
  int batches = 0;
  for (int seed = 0; seed < 300; ++seed) {
    Dice dice(static_cast<std::uint64_t>(seed));
    JoinCase c = random_case(dice);
    c.options.allowed_lateness = Duration{20};
    for (Task& task : c.tasks) task.policy = FeedbackPolicy::kWait;
    std::vector<Event> events = orderly_events(dice, c, 60);
    for (Event& event : events) {
      if (auto* impression = std::get_if<Impression>(&event)) {
        impression->features = encode(std::stod(impression->features));
      }
    }
    std::vector<std::string> expected;
    for (int round = 0; round < 4; ++round) {
      Line line(c, round == 0 ? nullptr : &dice);
      for (const Event& event : shuffled_within_lateness(dice, c, events)) line.take(event);
      line.flush();
      for (const Batch& batch : line.batches) {
        ASSERT_LE(batch.rows, 4);
        ++batches;
      }
      if (round == 0) expected = to_text(line.batches);
      ASSERT_EQ(to_text(line.batches), expected) << "seed " << seed << '\n' << to_text(c);
    }
  }
  EXPECT_GT(batches, 1000);
}

// With samples and fnw beside, for one order of arrival: restarts change nothing, and what is open
// is saved in the same bytes.
TEST(BatcherProperty, RestartsChangeNoBatchOfRowsAtOnceEither) {
  for (int seed = 0; seed < 300; ++seed) {
    Dice dice(5000 + static_cast<std::uint64_t>(seed));
    const JoinCase c = random_case(dice);
    Line plain(c, nullptr), disturbed(c, &dice);
    for (const Step& step : random_history(dice, c, 150)) {
      const auto* taken = std::get_if<Event>(&step);
      if (taken == nullptr) continue;
      Event event = *taken;
      if (auto* impression = std::get_if<Impression>(&event)) {
        impression->features = encode(std::stod(impression->features));
      }
      if (auto* sample = std::get_if<Sample>(&event)) sample->features = encode(-1);
      plain.take(event);
      disturbed.take(event);
    }
    ASSERT_EQ(disturbed.open_batches(), plain.open_batches()) << "seed " << seed;
    plain.flush();
    disturbed.flush();
    ASSERT_EQ(to_text(disturbed.batches), to_text(plain.batches)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace millrace
