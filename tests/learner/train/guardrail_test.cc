// What a freeze means, whoever asked for it: the task's labels have no weight, its own parameters
// stay bit for bit, rows are measured on; what decides is state. And no version leaves that the
// bounds forbid.
#include "learner/train/guardrail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "learner/model/model.h"
#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kBatch = 32;

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

/// Guards that find nothing, so that a test sees the one that it is about.
LearnerOptions quiet_options() {
  LearnerOptions options = stream::options(kBatch);
  options.guardrails.spike.enabled = false;
  options.guardrails.calibration.enabled = false;
  options.guardrails.silent.enabled = false;
  return options;
}

std::vector<float> weights_of(Trainer& trainer) { return trainer.publish().dense->parameters; }

Batch poisoned(stream::Source& source) {
  Batch batch = source.next(kBatch, Stream::kMatured, 0);
  batch.labels[stream::kDwell] = 1e30F;
  batch.condition[stream::kDwell] = 1;
  return batch;
}

/// The values of a task's own slots.
std::vector<float> own(const std::vector<float>& weights, int task) {
  const Model<float> model(schema(), quiet_options().model);
  std::vector<float> values;
  for (const ParameterSlot& slot : own_slots(model.parameters(), task)) {
    for (int r = 0; r < slot.rows; ++r) {
      for (int c = 0; c < slot.cols; ++c) {
        values.push_back(weights[static_cast<std::size_t>(slot.offset + r * slot.stride + c)]);
      }
    }
  }
  return values;
}

TEST(Guardrail, AFrozenTasksParametersStayAndTheOthersLearn) {
  Trainer trainer("m", schema(), quiet_options());
  stream::Source source(schema(), 1);
  for (int i = 0; i < 20; ++i) trainer.train(source.next(kBatch));
  const std::vector<float> before = weights_of(trainer);
  trainer.freeze(stream::kLike, "a test");
  for (int i = 0; i < 20; ++i) trainer.train(source.next(kBatch));
  const std::vector<float> after = weights_of(trainer);
  ASSERT_GT(own(before, stream::kLike).size(), 50U);
  EXPECT_EQ(own(after, stream::kLike), own(before, stream::kLike));
  for (const int task : {stream::kClick, stream::kCart, stream::kBuy, stream::kDwell}) {
    EXPECT_NE(own(after, task), own(before, task)) << task;
  }
}

// Nothing that stands in a frozen task's labels reaches any weight, shared ones and rows included.
// They are measured, by the metrics and as relations between labels.
TEST(Guardrail, AFrozenTasksLabelsChangeNoWeight) {
  Trainer one("m", schema(), quiet_options()), two("m", schema(), quiet_options());
  stream::Source source(schema(), 2);
  for (int i = 0; i < 60; ++i) {
    if (i == 20) {
      one.freeze(stream::kCart, "a test");
      two.freeze(stream::kCart, "a test");
    }
    Batch batch = source.next(i % 3 == 0 ? 7 : kBatch);
    one.train(batch);
    if (i >= 20) {
      for (int r = 0; r < batch.rows; ++r) {
        float& label = batch.labels[static_cast<std::size_t>(r * stream::kTasks + stream::kCart)];
        label = 1 - label;
      }
    }
    two.train(batch);
  }
  EXPECT_THAT(differences(state_of(one), state_of(two), "metrics"), Each(":relations"));
  EXPECT_NE(one.report().tasks[stream::kCart].all.positives,
            two.report().tasks[stream::kCart].all.positives);
}

// Nor what its labels say to the nets beside its policy.
TEST(Guardrail, AFrozenTasksAuxiliaryHeadsLearnNothing) {
  for (const bool frozen : {true, false}) {
    const Schema early(stream::features(), stream::tasks(FeedbackPolicy::kEsDfm));
    Trainer one("m", early, quiet_options()), two("m", early, quiet_options());
    stream::Source source(early, 2);
    for (int i = 0; i < 40; ++i) {
      Batch batch = source.next(kBatch, i % 2 == 0 ? Stream::kAtOnce : Stream::kMatured);
      for (std::size_t r = 0; r < kBatch; ++r) {
        batch.targets[r * stream::kTasks + stream::kClick] = target::kDelayedKnown;
      }
      if (i == 20 && frozen) {
        one.freeze(stream::kClick, "a test");
        two.freeze(stream::kClick, "a test");
      }
      one.train(batch);
      for (std::uint8_t& targets : batch.targets) {
        if (i >= 20 && targets != 0) targets |= target::kDelayed;
      }
      two.train(batch);
    }
    EXPECT_EQ(differences(state_of(one), state_of(two), "metrics").empty(), frozen);
  }
}

TEST(Guardrail, WhereAllIsFrozenNothingChangesAndRowsAreMeasured) {
  Trainer trainer("m", schema(), quiet_options());
  stream::Source source(schema(), 3);
  for (int i = 0; i < 10; ++i) trainer.train(source.next(kBatch));
  trainer.freeze(std::nullopt, "a test");
  const auto report = trainer.report();
  StateLog log;
  log.commit(trainer);
  const auto before = log.digested();
  for (int i = 0; i < 10; ++i) trainer.train(source.next(kBatch));
  log.commit(trainer);
  EXPECT_THAT(differences(before, log.digested(), "metrics"), IsEmpty());
  EXPECT_GT(trainer.report().tasks[0].all.rows, report.tasks[0].all.rows + 200);
  EXPECT_EQ(trainer.report().rows, report.rows);
  EXPECT_EQ(trainer.report().guardrails.learning.rows, 10U * kBatch);
  EXPECT_GT(trainer.report().guardrails.passed_over[stream::kClick], 200U);
  EXPECT_TRUE(trainer.resume(std::nullopt));
  trainer.train(source.next(kBatch));
  EXPECT_EQ(trainer.report().rows, report.rows + kBatch);
  EXPECT_FALSE(trainer.resume(std::nullopt));
}

TEST(Guardrail, BatchesThatAreNotFiniteAreRememberedAndManyInARowFreezeLearning) {
  LearnerOptions options = quiet_options();
  options.guardrails.not_finite.limit = 3;
  options.guardrails.not_finite.quarantine = 4;
  Trainer trainer("m", schema(), options);
  stream::Source source(schema(), 4);
  for (int round = 0; round < 3; ++round) {
    trainer.train(poisoned(source));
    trainer.train(poisoned(source));
    trainer.train(source.next(kBatch));
  }
  GuardrailReport report = trainer.report().guardrails;
  EXPECT_FALSE(report.learning.on());
  ASSERT_EQ(report.quarantine.size(), 4U);
  EXPECT_EQ(report.quarantine[3].task, "dwell");
  EXPECT_EQ(report.quarantine[3].reason, "loss");
  EXPECT_EQ(report.quarantine[3].rows, static_cast<std::uint64_t>(kBatch));
  EXPECT_GT(report.quarantine[3].last, report.quarantine[2].last);

  for (int i = 0; i < 3; ++i) trainer.train(poisoned(source));
  report = trainer.report().guardrails;
  EXPECT_EQ(report.learning.reason, FreezeReason::kNotFinite);
  const auto rows = trainer.report().rows;
  trainer.train(source.next(kBatch));
  EXPECT_EQ(trainer.report().rows, rows);
  EXPECT_TRUE(trainer.resume(std::nullopt));
  trainer.train(source.next(kBatch));
  EXPECT_EQ(trainer.report().rows, rows + kBatch);
}

// However many there are, the log has few lines of it; the counts and the quarantine have all.
TEST(Guardrail, OfManySkippedBatchesAFewAreTold) {
  LearnerOptions options = quiet_options();
  options.guardrails.not_finite.limit = 1'000'000;
  Trainer trainer("m", schema(), options);
  stream::Source source(schema(), 4);
  for (int i = 0; i < 500; ++i) {
    trainer.train(poisoned(source));
    if (i % 7 == 0) trainer.train(source.next(kBatch));
  }
  const auto notices = trainer.take_notices();
  ASSERT_EQ(notices.size(), 9U) << "1, 2, 4 … 256";
  EXPECT_THAT(notices[0], HasSubstr("is skipped: its loss of task dwell is not finite"));
  EXPECT_THAT(notices[8], HasSubstr("256 were of late"));
  EXPECT_EQ(trainer.report().skipped, 500U);
  for (int i = 0; i < 1024; ++i) trainer.train(source.next(1));
  trainer.train(poisoned(source));
  EXPECT_THAT(trainer.take_notices(), ElementsAre(HasSubstr("is skipped"))) << "another series";
}

// Positives come back in the middle of a batch, which is passed over as a whole.
TEST(Guardrail, WhatASilenceSaysItLastedIsWhatWasPassedOver) {
  LearnerOptions options = quiet_options();
  options.guardrails.silent.enabled = true;
  options.guardrails.silent.rows = 100;
  Trainer trainer("m", schema(), options);
  stream::Source source(schema(), 6);
  for (int i = 0; i < 400; ++i) {
    Batch batch = source.next(kBatch, Stream::kMatured, 0);
    for (int r = 0; r < batch.rows && 200 < i && i < 300; ++r) {
      float& like = batch.labels[static_cast<std::size_t>(r * stream::kTasks + stream::kLike)];
      if (like > 0) like = 0;
    }
    trainer.train(batch);
  }
  std::uint64_t told = 0;
  for (const std::string& notice : trainer.take_notices()) {
    const auto at = notice.find("(silent) for ");
    if (at != std::string::npos) told += std::stoull(notice.substr(at + 13));
  }
  EXPECT_GT(told, 0U);
  EXPECT_EQ(told, trainer.report().guardrails.passed_over[stream::kLike]);
}

TEST(Guardrail, BatchesThatArePausedAreMeasuredOnly) {
  Trainer trainer("m", schema(), quiet_options());
  stream::Source source(schema(), 5);
  trainer.train(source.next(kBatch));
  const auto weights = weights_of(trainer);
  Batch batch = source.next(kBatch);
  batch.paused = true;
  trainer.train(batch);
  EXPECT_EQ(weights_of(trainer), weights);
  EXPECT_EQ(trainer.report().guardrails.pause.reason, FreezeReason::kDeadLetters);
  trainer.train(source.next(kBatch));
  EXPECT_NE(weights_of(trainer), weights);
  EXPECT_FALSE(trainer.report().guardrails.pause.on());
  EXPECT_THAT(trainer.take_notices(), ElementsAre(AllOf(HasSubstr("frozen (dead_letters)"),
                                                        HasSubstr("rows are passed over")),
                                                  HasSubstr("goes on")));
}

/// A stream on which the guards find something now and then: flipped labels, silence, poison.
std::vector<Batch> troubled(std::uint64_t seed) {
  stream::Source source(schema(), seed);
  std::vector<Batch> batches;
  for (int i = 0; i < 400; ++i) {
    Batch batch = i % 97 == 96 ? poisoned(source) : source.next(kBatch, Stream::kMatured, 0);
    for (int r = 0; r < batch.rows; ++r) {
      float* labels = &batch.labels[static_cast<std::size_t>(r * stream::kTasks)];
      if (i > 250 && r % 3 == 0) labels[stream::kClick] = 1 - labels[stream::kClick];
      if (200 < i && i < 300 && labels[stream::kLike] > 0) labels[stream::kLike] = 0;
    }
    batches.push_back(std::move(batch));
  }
  return batches;
}

LearnerOptions eager_options() {
  LearnerOptions options = stream::options(kBatch);
  options.guardrails.spike.rows = 64;
  options.guardrails.spike.ratio = 1.02;
  options.guardrails.spike.deviations = 0.5;
  options.guardrails.spike.limit = 4;
  options.guardrails.calibration.rows = 100;
  options.guardrails.silent.rows = 100;
  return options;
}

TEST(Guardrail, ARestartAnywhereChangesNoBitAndNoState) {
  const auto batches = troubled(6);
  Trainer whole("m", schema(), eager_options());
  for (std::size_t i = 0; i < batches.size(); ++i) {
    whole.train(batches[i]);
    if (i == 150) whole.freeze(stream::kDwell, "a test");
    if (i == 160) whole.resume(stream::kDwell);
  }
  const GuardrailReport expected = whole.report().guardrails;
  const auto state = state_of(whole);
  EXPECT_GT(expected.freezes[static_cast<std::size_t>(FreezeReason::kSilent)], 0U);
  EXPECT_GT(expected.freezes[static_cast<std::size_t>(FreezeReason::kSpike)] +
                expected.freezes[static_cast<std::size_t>(FreezeReason::kCalibration)],
            0U);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    std::mt19937_64 random(seed);
    StateLog log;
    auto trainer = std::make_unique<Trainer>("m", schema(), eager_options());
    for (std::size_t i = 0; i < batches.size(); ++i) {
      trainer->train(batches[i]);
      if (i == 150) trainer->freeze(stream::kDwell, "a test");
      if (i == 160) trainer->resume(stream::kDwell);
      if (random() % 11 != 0) continue;
      log.commit(*trainer);
      trainer = std::make_unique<Trainer>("m", schema(), eager_options());
      log.restore(*trainer);
    }
    log.commit(*trainer);
    EXPECT_THAT(differences(log.digested(), state, "metrics"), IsEmpty()) << seed;
    const GuardrailReport found = trainer->report().guardrails;
    EXPECT_EQ(found.passed_over, expected.passed_over);
    EXPECT_EQ(found.freezes, expected.freezes);
    ASSERT_EQ(found.quarantine.size(), expected.quarantine.size());
    for (std::size_t k = 0; k < expected.tasks.size(); ++k) {
      EXPECT_EQ(found.tasks[k].reason, expected.tasks[k].reason);
      EXPECT_EQ(found.tasks[k].since, expected.tasks[k].since);
      EXPECT_EQ(found.tasks[k].rows, expected.tasks[k].rows);
      EXPECT_EQ(found.tasks[k].text, expected.tasks[k].text);
    }
  }
}

// Before the first batch after it, too.
TEST(Guardrail, ARestartLeavesAFrozenTaskFrozen) {
  const Schema all = schema();
  Guardrail before(all, {}), after(all, {});
  before.freeze(stream::kDwell, "a test");
  StateChanges changes;
  before.save(changes);
  for (const auto& value : changes.values) after.restore(value.name, value.bytes);
  const std::vector<std::uint8_t>& learns = after.refresh({});
  for (int k = 0; k < static_cast<int>(all.tasks().size()); ++k) {
    EXPECT_EQ(learns[static_cast<std::size_t>(k)] == 0, k == stream::kDwell);
  }
}

TEST(Guardrail, AHealthyStreamFreezesNothingAndHoldsNoVersion) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Trainer trainer("m", schema(), stream::options(kBatch));
    stream::Source source(schema(), seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 300; ++i) {
      trainer.train(source.next(1 + static_cast<int>(random() % kBatch)));
      if (random() % 4 != 0) continue;
      ASSERT_EQ(trainer.held(), "") << seed << " " << i;
      trainer.publish();
    }
    EXPECT_THAT(trainer.take_notices(), IsEmpty()) << seed;
  }
}

// A rate a thousand times too high: whatever it makes of the weights, no version of it leaves.
TEST(Guardrail, ARateTimesAThousandIsHeldAndFrozen) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    LearnerOptions options = stream::options(kBatch);
    stream::Source source(schema(), seed);
    StateLog log;
    {
      Trainer good("m", schema(), options);
      for (int i = 0; i < 200; ++i) good.train(source.next(kBatch));
      log.commit(good);
    }
    options.train.dense.rate *= 1000;
    options.guardrails.publish.hold = 1024;
    options.train.embedding.rate = 10;
    Trainer trainer("m", schema(), options);
    log.restore(trainer);
    ASSERT_EQ(trainer.held(), "");
    const auto served = weights_of(trainer);
    for (int i = 0; i < 40; ++i) {
      trainer.train(source.next(kBatch));
      EXPECT_NE(trainer.held(), "") << seed << " " << i;
    }
    EXPECT_EQ(trainer.report().guardrails.learning.reason, FreezeReason::kUnbounded) << seed;
    EXPECT_EQ(trainer.report().guardrails.held, "unbounded");
  }
}

// A task that was frozen by garbage holds versions until its rows look well again.
TEST(Guardrail, AHoldLastsWhileAFrozenTaskIsFarOff) {
  LearnerOptions options = stream::options(kBatch);
  options.guardrails.publish.hold = 400;
  options.guardrails.publish.max_change = 1e30;
  options.guardrails.publish.max_weight = 1e30;
  options.guardrails.calibration.enabled = false;
  stream::Source source(schema(), 4);
  StateLog log;
  {
    Trainer good("m", schema(), options);
    for (int i = 0; i < 400; ++i) good.train(source.next(kBatch));
    log.commit(good);
  }
  options.train.embedding.rate = 300;
  Trainer trainer("m", schema(), options);
  log.restore(trainer);
  const auto click = static_cast<std::size_t>(*trainer.find_task("click"));
  const auto is_frozen = [&] {
    return trainer.report().guardrails.tasks[click].reason == FreezeReason::kSpike;
  };
  for (int i = 0; i < 400 && !is_frozen(); ++i) trainer.train(source.next(kBatch));
  ASSERT_TRUE(is_frozen());
  for (int i = 0; i < 60; ++i) {
    trainer.train(source.next(kBatch));
    ASSERT_EQ(trainer.report().guardrails.held, "unbounded") << i;
  }
}

// Where no bound is set, the last batch tells.
TEST(Guardrail, AVersionThatUnlearnedTheLastBatchIsHeld) {
  LearnerOptions options = quiet_options();
  stream::Source source(schema(), 9);
  StateLog log;
  {
    Trainer good("m", schema(), options);
    for (int i = 0; i < 200; ++i) good.train(source.next(kBatch));
    log.commit(good);
  }
  options.train.dense.rate = 3;
  options.guardrails.publish.max_change = 1e30;
  Trainer trainer("m", schema(), options);
  log.restore(trainer);
  trainer.publish();
  Batch batch = source.next(kBatch, Stream::kMatured, 0);
  trainer.train(batch);
  log = {};
  log.commit(trainer);
  const auto before = log.digested();
  EXPECT_EQ(trainer.held(), "loss");
  log.commit(trainer);
  EXPECT_THAT(differences(log.digested(), before, "metrics"), IsEmpty());  // asking changes nothing
}

TEST(Guardrail, AWeightBeyondItsBoundIsHeld) {
  LearnerOptions options = quiet_options();
  options.guardrails.publish.max_weight = 1;
  options.train.embedding.rate = 10;  // a new row's first step is 10
  Trainer trainer("m", schema(), options);
  trainer.publish();
  stream::Source source(schema(), 10);
  trainer.train(source.next(kBatch));
  EXPECT_EQ(trainer.held(), "unbounded");
}

}  // namespace
}  // namespace millrace
