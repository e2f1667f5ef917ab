// Rows that weigh nothing (guardrails.user_cap): measured with the others, and to all that is
// learned as if they had never been there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

using ::testing::IsEmpty;
using Rows = std::function<bool(std::size_t row)>;

constexpr int kBatch = 48;

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

LearnerOptions options() {
  LearnerOptions options = stream::options(kBatch);
  options.embeddings.admit_after = 2;
  return options;
}

/// The batch without some of its rows.
Batch without(const Batch& batch, const Schema& schema, const Rows& leave_out) {
  Batch rest = empty_batch(schema, batch.stream);
  rest.due = batch.due;
  rest.first_due = batch.first_due;
  rest.seen = batch.seen;
  for (std::size_t r = 0; r < static_cast<std::size_t>(batch.rows); ++r) {
    if (leave_out(r)) continue;
    ++rest.rows;
    const auto copy = [r](const auto& from, std::size_t width, auto& to) {
      const auto first = from.begin() + static_cast<std::ptrdiff_t>(r * width);
      if (!from.empty()) to.insert(to.end(), first, first + static_cast<std::ptrdiff_t>(width));
    };
    for (std::size_t c = 0; c < batch.columns.size(); ++c) {
      const KeyColumn& from = batch.columns[c];
      KeyColumn& to = rest.columns[c];
      if (from.ends.empty()) {
        to.keys.push_back(from.keys[r]);
        continue;
      }
      to.keys.insert(to.keys.end(), from.keys.begin() + (r == 0 ? 0 : from.ends[r - 1]),
                     from.keys.begin() + from.ends[r]);
      to.ends.push_back(static_cast<std::uint32_t>(to.keys.size()));
    }
    const std::size_t T = schema.tasks().size();
    copy(batch.numeric, schema.numeric_features().size(), rest.numeric);
    copy(batch.dense, static_cast<std::size_t>(schema.dense_width()), rest.dense);
    copy(batch.labels, T, rest.labels);
    copy(batch.condition, T, rest.condition);
    copy(batch.weights, 1, rest.weights);
    copy(batch.keys, 1, rest.keys);
    copy(batch.origin, T, rest.origin);
    copy(batch.targets, T, rest.targets);
    copy(batch.since, T, rest.since);
    copy(batch.until, T, rest.until);
  }
  return rest;
}

/// A third of the rows weighs nothing: wrong labels, keys that no other row has, huge numbers.
Batch spoiled(Batch batch, const Schema& schema, std::mt19937_64& random) {
  batch.measure_weights = batch.weights;
  const std::size_t T = schema.tasks().size();
  for (std::size_t r = 0; r < static_cast<std::size_t>(batch.rows); ++r) {
    if (random() % 3 != 0) continue;
    batch.weights[r] = 0;
    for (std::size_t k = 0; k < T; ++k) {
      float& label = batch.labels[r * T + k];
      label = schema.tasks()[k].kind == TaskKind::kBinary ? 1 - label : 1000 * label;
    }
    batch.columns[0].keys[r] = 10'000 + random() % 5;
    for (std::size_t i = r == 0 ? 0 : batch.columns[2].ends[r - 1]; i < batch.columns[2].ends[r];
         ++i) {
      batch.columns[2].keys[i] = 20'000 + random() % 5;
    }
    batch.numeric[r] = 1e6F;
  }
  return batch;
}

Rows weightless(const Batch& batch) {
  return [&batch](std::size_t row) { return batch.weights[row] == 0; };
}

/// What differs but for rounding: a chunk of a batch adds up in the order of its rows.
std::vector<std::string> unlike(const StateLog::Entries& a, const StateLog::Entries& b) {
  std::vector<std::string> names;
  for (const std::string& name : differences(a, b, "metrics")) {
    const std::pair<std::string, std::string> key{name.substr(0, name.find(':')),
                                                  name.substr(name.find(':') + 1)};
    const auto x = a.find(key), y = b.find(key);
    const bool is_rounding =
        x != a.end() && y != b.end() && x->second.size() == y->second.size() &&
        (key.first.starts_with("rows/") || key.second == "dense" || key.second == "guardrails");
    if (!is_rounding) names.push_back(name);
  }
  return names;
}

void expect_same_learning(Trainer& with, Trainer& rest) {
  EXPECT_THAT(unlike(state_of(with), state_of(rest)), IsEmpty());
  EXPECT_EQ(with.report().rows, rest.report().rows);
  const Publication a = with.publish(), b = rest.publish();
  const std::vector<float>&p = a.dense->parameters, &q = b.dense->parameters;
  for (std::size_t i = 0; i < p.size(); ++i) ASSERT_NEAR(p[i], q[i], 2e-4) << i;
  for (std::size_t t = 0; t < a.tables.size(); ++t) {
    ASSERT_EQ(a.tables[t].keys, b.tables[t].keys);
    for (std::size_t i = 0; i < a.tables[t].rows.size(); ++i) {
      ASSERT_NEAR(a.tables[t].rows[i], b.tables[t].rows[i], 2e-3) << t << ' ' << i;
    }
  }
}

// Statistics, shares, first biases, ranges of labels, keys on their way to a row, and those that
// expire: all but the bits of sums.
TEST(WeightlessRows, AreToLearningAsIfTheyWereNotThere) {
  Trainer with("m", schema(), options()), rest("m", schema(), options());
  stream::Source source(schema(), 5);
  std::mt19937_64 random(6);
  for (int i = 0; i < 40; ++i) {
    const Batch batch = spoiled(
        source.next(i % 4 == 3 ? 9 : kBatch, i % 5 == 0 ? Stream::kAtOnce : Stream::kMatured),
        schema(), random);
    with.train(batch);
    rest.train(without(batch, schema(), weightless(batch)));
  }
  expect_same_learning(with, rest);
  EXPECT_GT(with.report().tasks[stream::kClick].all.rows,
            rest.report().tasks[stream::kClick].all.rows * 5 / 4);
}

TEST(WeightlessRows, UnderEveryPolicyOfDelayedFeedback) {
  for (const FeedbackPolicy policy :
       {FeedbackPolicy::kFnw, FeedbackPolicy::kFnc, FeedbackPolicy::kEsDfm, FeedbackPolicy::kDefer,
        FeedbackPolicy::kDefuse, FeedbackPolicy::kDfm}) {
    const Schema early(stream::features(), stream::tasks(policy));
    Trainer with("m", early, options()), rest("m", early, options());
    stream::Source source(early, 7);
    std::mt19937_64 random(8);
    for (int i = 0; i < 30; ++i) {
      Batch batch = source.next(kBatch, i % 2 == 0 ? Stream::kAtOnce : Stream::kMatured);
      for (std::uint8_t& targets : batch.targets) {
        targets = static_cast<std::uint8_t>(target::kDelayedKnown | target::kNeverKnown |
                                            (random() % 2 == 0 ? target::kDelayed : 0));
      }
      batch = spoiled(std::move(batch), early, random);
      with.train(batch);
      rest.train(without(batch, early, weightless(batch)));
    }
    const auto names = unlike(state_of(with), state_of(rest));
    EXPECT_TRUE(names.empty() || names == std::vector<std::string>{":feedback"})
        << ::testing::PrintToString(names);
    const auto heads = with.report().heads, expected = rest.report().heads;
    ASSERT_EQ(heads.size(), expected.size());
    for (std::size_t h = 0; h < heads.size(); ++h) {
      EXPECT_NEAR(heads[h].loss, expected[h].loss, 1e-3);
    }
  }
}

// Their first scores are kept: a final label of theirs is measured when it is decided.
TEST(WeightlessRows, FirstScoresAreKept) {
  const Schema early(stream::features(), stream::tasks(FeedbackPolicy::kFnw));
  Trainer trainer("m", early, options());
  stream::Source source(early, 7);
  Batch batch = source.next(4, Stream::kAtOnce);
  batch.measure_weights = batch.weights;
  batch.weights.assign(4, 0);
  batch.keys = {11, 12, 13, 14};
  trainer.train(batch);
  EXPECT_EQ(trainer.report().scores.waiting, 4U);
}

TEST(WeightlessRows, ABatchOfNothingElseChangesNothing) {
  Trainer trainer("m", schema(), options());
  stream::Source source(schema(), 9);
  for (int i = 0; i < 10; ++i) trainer.train(source.next(kBatch));
  const TrainerReport report = trainer.report();
  StateLog log;
  log.commit(trainer);
  const auto before = log.digested();
  Batch batch = source.next(kBatch);
  batch.due = {0};  // nothing expires by it
  batch.measure_weights = batch.weights;
  batch.weights.assign(kBatch, 0);
  trainer.train(batch);
  log.commit(trainer);
  EXPECT_THAT(differences(before, log.digested(), "metrics"), IsEmpty());
  EXPECT_EQ(trainer.report().rows, report.rows);
  EXPECT_GT(trainer.report().tasks[0].all.rows, report.tasks[0].all.rows + 30);
}

// What is not learned from freezes nothing: an attacker beyond the cap can stop no task.
TEST(WeightlessRows, FreezeNoTask) {
  for (const bool weighs : {false, true}) {
    LearnerOptions guarded = options();
    guarded.guardrails.spike.warm_up = 4;
    guarded.guardrails.calibration.enabled = false;
    guarded.guardrails.silent.enabled = false;
    Trainer trainer("m", schema(), guarded);
    stream::Source source(schema(), 11);
    for (int i = 0; i < 150; ++i) trainer.train(source.next(kBatch, Stream::kMatured, 0));
    for (int i = 0; i < 150; ++i) {
      Batch batch = source.next(kBatch, Stream::kMatured, 0);
      batch.measure_weights = batch.weights;
      for (std::size_t r = 0; r < kBatch / 2; ++r) {
        float& label = batch.labels[r * stream::kTasks + stream::kDwell];
        label = std::isnan(label) ? label : 100.0F;
        if (!weighs) batch.weights[r] = 0;
      }
      trainer.train(batch);
    }
    EXPECT_EQ(trainer.report().guardrails.tasks[stream::kDwell].on(), weighs);
  }
}

TEST(WeightlessRows, TheSameBitsWithAnyNumberOfThreads) {
  std::vector<StateLog::Entries> states;
  for (const int threads : {1, 2, 3}) {
    LearnerOptions many = stream::options(512);
    many.train.threads = threads;
    Trainer trainer("m", schema(), many);
    stream::Source source(schema(), 13);
    std::mt19937_64 random(14);
    for (int i = 0; i < 6; ++i) trainer.train(spoiled(source.next(512), schema(), random));
    states.push_back(state_of(trainer));
  }
  EXPECT_THAT(differences(states[0], states[1]), IsEmpty());
  EXPECT_THAT(differences(states[0], states[2]), IsEmpty());
}

}  // namespace
}  // namespace millrace
