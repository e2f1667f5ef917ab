// Every backbone in a trainer: the same bits with one thread and two, and after a restart in the
// middle; and what is published is what was learned.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "learner/publish/scorer.h"
#include "learner/train/trainer.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

struct Case {
  const char* name;
  void (*change)(ModelOptions&);
};

class BackbonesInTraining : public ::testing::TestWithParam<Case> {
 protected:
  BackbonesInTraining() { GetParam().change(options.model); }

  std::vector<Batch> draw(int count, std::uint64_t seed) {
    stream::Source source(schema, seed);
    std::vector<Batch> batches;
    for (int i = 0; i < count; ++i) batches.push_back(source.next(i % 3 == 0 ? 37 : 300));
    return batches;
  }

  const Schema schema{stream::features(), stream::tasks()};
  LearnerOptions options = stream::options(300);
};

TEST_P(BackbonesInTraining, NeitherThreadsNorARestartChangesABit) {
  Trainer one("m", schema, options);
  options.train.threads = 2;
  Trainer two("m", schema, options);
  auto resumed = std::make_unique<Trainer>("m", schema, options);
  StateLog logs[3];
  int step = 0;
  for (const Batch& batch : draw(20, 3)) {
    one.train(batch);
    two.train(batch);
    resumed->train(batch);
    if (++step != 9) continue;
    logs[0].commit(one);
    logs[1].commit(two);
    logs[2].commit(*resumed);
    resumed = std::make_unique<Trainer>("m", schema, options);
    logs[2].restore(*resumed);
  }
  logs[0].commit(one);
  logs[1].commit(two);
  logs[2].commit(*resumed);
  const auto expected = logs[0].digested();
  EXPECT_EQ(one.report().skipped, 0U);
  EXPECT_THAT(differences(logs[1].digested(), expected), ::testing::IsEmpty());
  EXPECT_THAT(differences(logs[2].digested(), expected), ::testing::IsEmpty());
}

// A row that was learned before is scored by what was published and then trained on: the loss of
// the label 1 is −ln of the trainer's own probability.
TEST_P(BackbonesInTraining, WhatIsServedWasLearned) {
  options.model.gate_dropout = 0;  // Which serving has not.
  Trainer trainer("m", schema, options);
  ServingModel serving(input_schema(schema, options.model));
  Scorer scorer(schema, options.model);
  for (const Batch& batch : draw(12, 4)) trainer.train(batch);
  stream::Source source(schema, 4);
  for (std::uint64_t i = 0; i < 8; ++i) {
    Batch row = source.next(1);
    row.labels.assign(stream::kTasks, stream::kMissing);
    row.labels[stream::kClick] = 1;
    row.condition.assign(stream::kTasks, 1);
    row.weights = {1};
    serving.apply(trainer.publish(), {1, i});
    Scores scores;
    scorer.score(serving, row, row, scores);
    trainer.train(row);
    const auto loss = trainer.report().tasks[stream::kClick].loss;
    ASSERT_TRUE(loss);
    EXPECT_NEAR(scores.values[stream::kClick], std::exp(-*loss), 1e-5) << i;
  }
}

void gate_options(ModelOptions& m) {
  m.learn_temperature = true;
  m.gate_entropy = 0.05;
  m.load_balance = 0.1;
}

INSTANTIATE_TEST_SUITE_P(
    All, BackbonesInTraining,
    ::testing::Values(
        Case{"shared_bottom", [](ModelOptions& m) { m.backbone = BackboneKind::kSharedBottom; }},
        Case{"mmoe", [](ModelOptions&) {}},
        Case{"one_gate", [](ModelOptions& m) { m.one_gate = true; }},
        Case{"mmoe_gate_options",
             [](ModelOptions& m) {
               gate_options(m);
               m.gate_dropout = 0.1;
             }},
        Case{"ple_gate_options",
             [](ModelOptions& m) {
               gate_options(m);
               m.backbone = BackboneKind::kPle;
               m.gate_dropout = 0.1;
             }},
        Case{"stem_gate_options",
             [](ModelOptions& m) {
               gate_options(m);
               m.backbone = BackboneKind::kStem;
             }},
        Case{"mmoe_expert_norm", [](ModelOptions& m) { m.expert_norm = true; }},
        Case{"ple_expert_norm",
             [](ModelOptions& m) {
               m.backbone = BackboneKind::kPle;
               m.expert_norm = true;
             }},
        Case{"stem_expert_norm",
             [](ModelOptions& m) {
               m.backbone = BackboneKind::kStem;
               m.expert_norm = true;
             }},
        Case{"cgc", [](ModelOptions& m) { m.backbone = BackboneKind::kCgc; }},
        Case{"ple", [](ModelOptions& m) { m.backbone = BackboneKind::kPle; }},
        Case{"ple_shared_gate",
             [](ModelOptions& m) {
               m.backbone = BackboneKind::kPle;
               m.shared_gate = SharedGate::kShared;
             }},
        Case{"ple_no_shared_gate",
             [](ModelOptions& m) {
               m.backbone = BackboneKind::kPle;
               m.shared_gate = SharedGate::kNone;
             }},
        Case{"stem", [](ModelOptions& m) { m.backbone = BackboneKind::kStem; }},
        Case{"stem_of_two_levels",
             [](ModelOptions& m) {
               m.backbone = BackboneKind::kStem;
               m.stem_levels = 2;
             }},
        Case{"separate", [](ModelOptions& m) { m.backbone = BackboneKind::kSeparate; }},
        Case{"concat", [](ModelOptions& m) { m.backbone = BackboneKind::kSharedSpecific; }},
        Case{"measured",
             [](ModelOptions& m) {
               m.backbone = BackboneKind::kSharedSpecific;
               m.shared_mix = SharedMix::kMeasured;
             }},
        Case{"learned",
             [](ModelOptions& m) {
               m.backbone = BackboneKind::kSharedSpecific;
               m.shared_mix = SharedMix::kLearned;
             }}),
    [](const auto& info) { return std::string(info.param.name); });

// A task that learns alone from the start leaves the networks of the others, and with STEM their
// parts of the embeddings, bit for bit; what is shared it moves.
class OneTask : public ::testing::TestWithParam<BackboneKind> {};
INSTANTIATE_TEST_SUITE_P(Backbones, OneTask,
                         ::testing::Values(BackboneKind::kCgc, BackboneKind::kStem,
                                           BackboneKind::kSharedSpecific, BackboneKind::kSeparate),
                         [](const auto& info) { return std::string(choice_name(info.param)); });

TEST_P(OneTask, LeavesWhatIsTheOthersBitForBit) {
  const Schema schema{stream::features(), stream::tasks()};
  LearnerOptions options = stream::options(64);
  options.model.backbone = GetParam();
  Trainer trainer("m", schema, options);
  stream::Source source(schema, 11);
  Batch batch = source.next(64);
  for (std::size_t cell = 0; cell < batch.labels.size(); ++cell) {
    if (cell % stream::kTasks != stream::kClick) batch.labels[cell] = stream::kMissing;
  }
  const std::vector<float> start = trainer.publish().dense->parameters;
  trainer.train(batch);
  const Publication first = trainer.publish();
  for (int i = 0; i < 5; ++i) trainer.train(batch);
  const Publication last = trainer.publish();

  const Schema inputs = input_schema(schema, options.model);
  const Model<float> model(inputs, options.model);
  for (const ParameterSlot& slot : model.parameters()) {
    if (!slot.trained) continue;
    int moved = 0;
    for (int r = 0; r < slot.rows; ++r) {
      for (int c = 0; c < slot.cols; ++c) {
        const auto at = static_cast<std::size_t>(slot.offset + r * slot.stride + c);
        moved += start[at] == last.dense->parameters[at] ? 0 : 1;
      }
    }
    const bool others = slot.task > stream::kClick;
    EXPECT_EQ(moved == 0, others) << slot.name;
  }
  for (std::size_t t = 0; t < inputs.tables().size(); ++t) {
    const int width = inputs.tables()[t].dimension, whole = schema.tables()[t].dimension;
    ASSERT_EQ(first.tables[t].keys, last.tables[t].keys);
    for (std::size_t i = 0; i < first.tables[t].rows.size(); ++i) {
      const int part = static_cast<int>(i) % width / whole;
      const bool others = part > stream::kClick && part < stream::kTasks && width > whole;
      if (!others) continue;
      EXPECT_EQ(first.tables[t].rows[i], last.tables[t].rows[i]) << part;
    }
    EXPECT_NE(first.tables[t].rows, last.tables[t].rows);
  }
}

}  // namespace
}  // namespace millrace
