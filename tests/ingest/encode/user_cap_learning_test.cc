// What the cap is for: one user who sends three events of ten, each with its label turned round,
// moves the model much less with it than without.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "ingest/encode/batcher.h"
#include "ingest/encode/user_cap.h"
#include "learner/publish/scorer.h"
#include "learner/publish/serving_model.h"
#include "learner/train/trainer.h"
#include "tests/support/join_histories.h"

namespace millrace {
namespace {

constexpr int kItems = 50, kUsers = 300, kEvents = 40'000;

Schema make_schema() {
  Feature item;
  item.name = "item";
  item.dimension = 4;
  return Schema({item}, {Task{.name = "ctr"}});
}

double truth(int item) { return 1 / (1 + std::exp(1 - 2 * std::sin(static_cast<double>(item)))); }

EncodedFeatures features_of(const Schema& schema, int item) {
  FeatureBuilder builder(schema);
  EXPECT_TRUE(builder.set_integer(0, item));
  EncodedFeatures encoded;
  builder.finish(encoded);
  return encoded;
}

struct Outcomes {
  double distance = 0;  ///< Mean of |p − truth| over the items.
  std::uint64_t capped = 0;
  std::uint64_t measured = 0;
};

Outcomes learn(double attack, int cap_rows) {
  const Schema schema = make_schema();
  LearnerOptions options;
  options.train.batch = 64;
  options.model.experts = 2;
  options.model.expert_layers = {16};
  options.model.tower_layers = {8};
  options.guardrails.user_cap = {.rows = cap_rows, .window = Duration{600'000}};
  // The other guards would stop learning; here it is the cap alone.
  options.guardrails.spike.enabled = options.guardrails.calibration.enabled =
      options.guardrails.silent.enabled = false;
  UserCap cap(options.guardrails.user_cap);
  Batcher batcher(schema, options.train.batch, options.train.batch_span);
  Trainer trainer("m", schema, options);
  std::vector<Batch> closed;
  Dice dice(21), attacker(22);
  for (int i = 0; i < kEvents; ++i) {
    const bool attacks = attacker.chance(attack);
    const int item = dice.below(kItems);
    const bool click = dice.chance(truth(item)) != attacks;
    const std::string user = attacks ? "attacker" : std::to_string(dice.below(kUsers));
    const EventTime due{1'764'000'000'000 + i * 100};
    JoinedRow row{.impression_id = "i" + std::to_string(i),
                  .time = due,
                  .due = due,
                  .watermark = due,
                  .features = features_of(schema, item),
                  .user = user_key(user),
                  .labels = {click ? 1.0 : 0.0},
                  .condition = {1},
                  .counts = {1}};
    cap.weigh(row);
    batcher.add(row, due, closed);
    for (const Batch& batch : closed) trainer.train(batch);
    closed.clear();
  }
  batcher.flush(Stream::kMatured, closed);
  for (const Batch& batch : closed) trainer.train(batch);
  ServingModel serving(schema);
  serving.apply(trainer.publish(), {1, 0});
  Scorer scorer(schema, options.model);
  Batch context = empty_batch(schema, Stream::kAtOnce), items = context;
  append_features(schema, features_of(schema, 0), context);
  for (int item = 0; item < kItems; ++item) {
    append_features(schema, features_of(schema, item), items);
  }
  Scores scores;
  scorer.score(serving, context, items, scores);
  Outcomes outcomes{.capped = cap.counts().rows, .measured = trainer.report().tasks[0].all.rows};
  for (int item = 0; item < kItems; ++item) {
    outcomes.distance +=
        std::abs(scores.values[static_cast<std::size_t>(item)] - truth(item)) / kItems;
  }
  return outcomes;
}

TEST(UserCapLearning, AnAttackerMovesTheModelLessWithIt) {
  const Outcomes none = learn(0, 50), capped = learn(0.3, 50), uncapped = learn(0.3, 0);
  EXPECT_EQ(none.capped, 0U) << "no honest user is capped";
  EXPECT_GT(capped.capped, 11'000U);
  EXPECT_EQ(uncapped.capped, 0U);
  for (const Outcomes& outcomes : {none, capped, uncapped}) {
    EXPECT_EQ(outcomes.measured, std::uint64_t{kEvents}) << "capped rows are measured";
  }
  // 12,000 turned labels of 40,000, or 350 of 28,350.
  EXPECT_GT(uncapped.distance, none.distance + 0.04);
  EXPECT_LT(capped.distance, none.distance + 0.25 * (uncapped.distance - none.distance));
}

}  // namespace
}  // namespace millrace
