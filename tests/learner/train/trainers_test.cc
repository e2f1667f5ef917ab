// Several models on one stream: each learns as it would alone, to the bit, and what is served is
// always one model's weights, whoever was champion before.
#include "learner/train/trainers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "learner/publish/scorer.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr int kBatch = 32;

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

// Another model, one with a part of the features, and two with a part of the tasks: one that has a
// task's condition and one that does not.
std::vector<ModelPlan> plans(int threads = 1) {
  LearnerOptions usual = stream::options(kBatch);
  usual.train.threads = threads;
  LearnerOptions other = usual;
  other.model.experts = 3;
  other.train.seed = 77;
  other.balance.method = BalanceMethod::kFixed;
  return {{"a", Projection(schema()), usual},
          {"b", Projection(schema()), other},
          {"blind", Projection(schema(), {0, 1, 2, 3, 4}, {1, 3}), usual},
          {"funnel", Projection(schema(), {0, 1}, {0, 1, 2, 3, 4}), usual},
          {"twin", Projection(schema(), {2}, {0, 1, 2, 3, 4}), usual}};
}

std::vector<Batch> draw(int count, std::uint64_t seed) {
  stream::Source source(schema(), seed);
  std::vector<Batch> batches;
  for (int i = 0; i < count; ++i) {
    batches.push_back(source.next(i % 3 == 0 ? kBatch : 1 + i % kBatch,
                                  i % 4 == 0 ? Stream::kAtOnce : Stream::kMatured));
  }
  return batches;
}

TEST(Trainers, EachLearnsAsItWouldAlone) {
  const auto batches = draw(60, 3);
  for (const int threads : {1, 2, 4}) {
    Trainers together(plans(threads));
    for (const Batch& batch : batches) together.train(batch);
    for (std::size_t m = 0; m < together.size(); ++m) {
      const ModelPlan plan = plans()[m];
      Trainer alone(plan.name, plan.projection.schema(), plan.options);
      Batch cut;
      for (const Batch& batch : batches) {
        plan.projection.apply(batch, cut);
        alone.train(plan.projection.is_whole() ? batch : cut);
      }
      EXPECT_GT(alone.report().steps, 30U);
      EXPECT_THAT(differences(state_of(together[m]), state_of(alone)), ::testing::IsEmpty())
          << plan.name << " with " << threads << " threads";
    }
  }
}

TEST(Trainers, FollowersAreGivenEveryBatchOnceAndInOrder) {
  const auto batches = draw(30, 8);
  for (const int threads : {1, 2, 4}) {
    Trainers trainers(plans(threads));
    std::vector<EventTime> one, other;
    trainers.follow([&](const Batch& batch) { one.push_back(batch.due); });
    trainers.follow([&](const Batch& batch) { other.push_back(batch.due); });
    std::vector<EventTime> all;
    for (const Batch& batch : batches) {
      all.push_back(batch.due);
      trainers.train(batch);
    }
    EXPECT_EQ(one, all);
    EXPECT_EQ(other, all);
  }
}

TEST(Trainers, ARestartAnywhereChangesNoBit) {
  const auto batches = draw(40, 5);
  Trainers whole(plans());
  for (const Batch& batch : batches) whole.train(batch);
  auto trainers = std::make_unique<Trainers>(plans());
  std::vector<StateLog> logs(trainers->size());
  StateLog of_all;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    trainers->train(batches[i]);
    if (i % 7 != 3) continue;
    if (i == 17) {
      ASSERT_TRUE(trainers->set_champion("b"));
    }
    for (std::size_t m = 0; m < logs.size(); ++m) logs[m].commit((*trainers)[m]);
    of_all.commit(*trainers);
    trainers = std::make_unique<Trainers>(plans());
    for (std::size_t m = 0; m < logs.size(); ++m) logs[m].restore((*trainers)[m]);
    of_all.restore(*trainers);
  }
  EXPECT_EQ(trainers->champion().name(), "b");
  EXPECT_FALSE(trainers->lost_champion());
  for (std::size_t m = 0; m < logs.size(); ++m) {
    logs[m].commit((*trainers)[m]);
    EXPECT_THAT(differences(logs[m].digested(), state_of(whole[m])), ::testing::IsEmpty());
  }
}

TEST(Trainers, TheChampionIsOneThatHasEveryTask) {
  Trainers trainers(plans());
  EXPECT_EQ(trainers.champion().participant_name(), "model/a");
  EXPECT_TRUE(trainers.set_champion("blind"));
  EXPECT_EQ(trainers.champion_index(), 2U);
  const auto unknown = trainers.set_champion("c");
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, ::testing::HasSubstr("a, b, blind"));
  const auto part = trainers.set_champion("funnel");
  ASSERT_FALSE(part);
  EXPECT_THAT(part.error().message, ::testing::HasSubstr("every task"));
  EXPECT_EQ(trainers.champion().name(), "blind");
}

TEST(Trainers, WeightsThatAreHeldAreNoChampion) {
  std::vector<ModelPlan> held = plans();
  held[1].options.guardrails.publish.max_weight = 1;
  held[1].options.train.dense.rate = 5;
  Trainers trainers(held);
  for (const Batch& batch : draw(10, 6)) trainers.train(batch);
  const auto refused = trainers.set_champion("b");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("held (unbounded)"));
  EXPECT_EQ(trainers.champion().name(), "a");
}

TEST(Trainers, AChampionThatIsNotThereAnyMoreIsTold) {
  Trainers before(plans());
  ASSERT_TRUE(before.set_champion("b"));
  StateLog log;
  log.commit(before);
  const std::vector<ModelPlan> all = plans();
  Trainers after({all[0], all[2]});
  log.restore(after);
  EXPECT_EQ(after.champion().name(), "a");
  EXPECT_EQ(after.lost_champion(), "b");
}

// What the champion's own weights, taken whole, score; `log` has what was committed of it before.
std::vector<float> scores_of(Trainer& trainer, const ModelPlan& plan, const Batch& rows,
                             StateLog& log) {
  const auto copy = std::make_unique<Trainer>(plan.name, plan.projection.schema(), plan.options);
  log.commit(trainer);
  log.restore(*copy);
  ServingModel serving(plan.projection.schema());
  serving.apply(copy->publish(), {1, 0});
  Batch context, candidates;
  plan.projection.apply(rows, candidates);
  context = candidates;
  Scorer scorer(plan.projection.schema(), plan.options.model);
  Scores scores;
  scorer.score(serving, context, candidates, scores);
  return scores.values;
}

TEST(Trainers, WhatIsServedIsTheChampionsWhoeverWasItBefore) {
  const auto batches = draw(36, 8);
  stream::Source source(schema(), 9);
  const Batch rows = source.next(1);
  Trainers trainers(plans());
  ServingModel serving(schema());
  Scorer scorer(schema(), plans()[0].options.model);
  Scores scores;
  std::vector<StateLog> logs(trainers.size());
  const std::vector<std::string> champions{"a", "b", "a", "blind", "a", "b"};
  for (std::size_t i = 0; i < batches.size(); ++i) {
    trainers.train(batches[i]);
    if (i % 6 == 5) {
      ASSERT_TRUE(trainers.set_champion(champions[i / 6]));
    }
    if (i % 2 == 0 && i > 0) continue;  // some versions have several steps
    serving.apply(trainers.publish(), {1, i});
    scorer.score(serving, rows, rows, scores);
    EXPECT_EQ(scores.model, trainers.champion().name());
    const std::size_t m = trainers.champion_index();
    EXPECT_EQ(scores.values, scores_of(trainers.champion(), plans()[m], rows, logs[m])) << i;
  }
}

// click is drowned by a task over the same expert with a hundred times its weight; its twin learns
// it alone.
TEST(Trainers, NegativeTransferRaisesTheAlarmAndARestartChangesNothingOfIt) {
  std::vector<ModelPlan> models{plans()[0]};
  models[0].options.model.experts = 1;
  models[0].options.model.expert_layers = {2};
  models[0].options.model.tower_layers = {};
  models[0].options.balance.method = BalanceMethod::kFixed;
  models[0].options.balance.weights = {{"click", 1e-4}, {"dwell", 100.0}};
  ModelPlan twin{"twin.click", Projection(schema(), {0}, {0, 1, 2, 3, 4}), models[0].options, 0};
  twin.options.balance.weights.clear();
  models.push_back(twin);
  const TransferAlarmOptions alarm{.block = 50, .blocks = 40, .deviations = 4};
  Trainers whole(models, alarm);
  auto part = std::make_unique<Trainers>(models, alarm);
  std::vector<StateLog> logs(2);
  StateLog of_all;
  std::vector<std::string> notices;
  const auto batches = draw(300, 11);
  for (std::size_t i = 0; i < batches.size(); ++i) {
    whole.train(batches[i]);
    for (std::string& notice : whole.take_notices()) notices.push_back(std::move(notice));
    part->train(batches[i]);
    if (i % 50 != 7) continue;
    for (std::size_t m = 0; m < 2; ++m) logs[m].commit((*part)[m]);
    of_all.commit(*part);
    part = std::make_unique<Trainers>(models, alarm);
    for (std::size_t m = 0; m < 2; ++m) logs[m].restore((*part)[m]);
    of_all.restore(*part);
  }
  const TransferReport report = whole.report().twins.at(0);
  EXPECT_TRUE(report.alarm);
  EXPECT_EQ(report.task, "click");
  EXPECT_EQ(report.twin, "twin.click");
  EXPECT_GT(report.difference - report.margin, 0);
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_THAT(notices[0], ::testing::HasSubstr("task click of the model a is worse"));
  const StateChanges expected = whole.save(1, {}), restarted = part->save(1, {});
  ASSERT_EQ(restarted.values.size(), expected.values.size());
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    EXPECT_EQ(restarted.values[i].bytes, expected.values[i].bytes) << expected.values[i].name;
  }
  const std::vector<std::pair<std::string, std::uint64_t>> by_model{{"a", 1}};
  EXPECT_EQ(report.by_model, by_model);
  EXPECT_EQ(part->report().twins.at(0).by_model, by_model);
}

// Each model answers for the alarms of its own time as the champion; one that is not it has none.
TEST(Trainers, AlarmsAreCountedByChampion) {
  std::vector<ModelPlan> models{plans()[0], plans()[1]};
  ModelPlan twin{"twin.click", Projection(schema(), {0}, {0, 1, 2, 3, 4}), models[0].options, 0};
  models.push_back(twin);
  for (std::size_t m = 0; m < 2; ++m) {
    LearnerOptions& options = models[m].options;
    options.model.experts = 1;
    options.model.expert_layers = {2};
    options.model.tower_layers = {};
    options.balance.method = BalanceMethod::kFixed;
    options.balance.weights = {{"click", 1e-4}, {"dwell", 100.0}};
  }
  Trainers trainers(models, {.block = 50, .blocks = 40, .deviations = 4});
  using Counts = std::vector<std::pair<std::string, std::uint64_t>>;
  const std::string first = models[0].name, second = models[1].name;
  const auto batches = draw(600, 11);
  for (std::size_t i = 0; i < 300; ++i) trainers.train(batches[i]);
  EXPECT_EQ(trainers.report().twins.at(0).by_model, (Counts{{first, 1}, {second, 0}}));
  ASSERT_TRUE(trainers.set_champion(second));
  for (std::size_t i = 300; i < 600; ++i) trainers.train(batches[i]);
  EXPECT_EQ(trainers.report().twins.at(0).by_model, (Counts{{first, 1}, {second, 1}}));
  EXPECT_EQ(trainers.report().twins.at(0).alarms, 2U);
  StateLog log;
  log.commit(trainers);
  Trainers again(models, {.block = 50, .blocks = 40, .deviations = 4});
  log.restore(again);
  EXPECT_EQ(again.report().twins.at(0).by_model, (Counts{{first, 1}, {second, 1}}));
}

// Which model is served is an administrator's word, not the data's; so is whom a twin is held
// against.
TEST(Trainers, TheDigestIsTheSameWhicheverModelIsServed) {
  auto models = plans();
  ModelPlan twin{"twin.click", Projection(schema(), {0}, {0, 1, 2, 3, 4}), models[0].options, 0};
  models.push_back(twin);
  const TransferAlarmOptions alarm{.block = 50, .blocks = 40, .deviations = 4};
  Trainers one(models, alarm), other(models, alarm);
  ASSERT_TRUE(other.set_champion("b"));
  for (const Batch& batch : draw(20, 12)) {
    one.train(batch);
    other.train(batch);
  }
  EXPECT_THAT(differences(state_of(one), state_of(other)), ::testing::IsEmpty());
  for (std::size_t m = 0; m < one.size(); ++m) {
    EXPECT_THAT(differences(state_of(one[m]), state_of(other[m])), ::testing::IsEmpty());
  }
}

}  // namespace
}  // namespace millrace
