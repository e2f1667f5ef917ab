// Balancing, surgery and relations in the whole training step: against a plain trainer in double
// that writes every gradient out; bits that no thread or restart changes; tasks that are missing,
// or frozen, take no part; many tasks stay finite.
#include "learner/train/task_balancing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "learner/train/trainer.h"
#include "tests/learner/train/reference_trainer.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr BalanceMethod kMethods[] = {BalanceMethod::kFixed,    BalanceMethod::kUncertainty,
                                      BalanceMethod::kGradnorm, BalanceMethod::kDwa,
                                      BalanceMethod::kDtp,      BalanceMethod::kPerformance,
                                      BalanceMethod::kRandom};
constexpr Surgery kSurgeries[] = {Surgery::kNone, Surgery::kPcgrad, Surgery::kCagrad};

struct Combination {
  BalanceMethod method;
  Surgery surgery;
  bool task_states = false;
};
std::vector<Combination> combinations() {
  std::vector<Combination> all;
  for (const BalanceMethod method : kMethods) {
    for (const Surgery surgery : kSurgeries) all.push_back({method, surgery});
    all.push_back({method, Surgery::kNone, true});
  }
  return all;
}
std::string name_of(const ::testing::TestParamInfo<Combination>& test) {
  return std::string(choice_name(test.param.method)) + "_" +
         std::string(test.param.task_states ? "task_states" : choice_name(test.param.surgery));
}

LearnerOptions options_of(Combination combination, int batch = 32) {
  LearnerOptions options = stream::options(batch);
  options.balance.method = combination.method;
  options.balance.surgery = combination.surgery;
  options.train.dense.task_states = combination.task_states;
  options.balance.window = 3;
  options.relations.every = 1;
  return options;
}

const Schema& schema() {
  static const Schema schema(stream::features(), stream::tasks());
  return schema;
}

void expect_weights_near(Trainer& trainer, const ReferenceTrainer& reference) {
  const Publication got = trainer.publish();
  EXPECT_LT(distance(got.dense->parameters, reference.weights), 5e-4);
  for (std::size_t t = 0; t < reference.tables.size(); ++t) {
    const TableUpdate& table = got.tables[t];
    ASSERT_EQ(table.keys.size(), reference.tables[t].size());
    for (std::size_t i = 0; i < table.keys.size(); ++i) {
      const auto& row = reference.tables[t].at(table.keys[i]);
      for (std::size_t d = 0; d < row.weight.size(); ++d) {
        ASSERT_NEAR(table.rows[i * row.weight.size() + d], row.weight[d], 2e-3) << table.keys[i];
      }
    }
  }
}

class BalancedTrainer : public ::testing::TestWithParam<Combination> {};

// Full and partial batches, chains over the entire space, missing labels: weights, rows and
// cosines.
TEST_P(BalancedTrainer, IsThePlainOneInDouble) {
  const LearnerOptions options = options_of(GetParam());
  Trainer trainer("m", schema(), options);
  ReferenceTrainer reference(schema(), options);
  stream::Source source(schema(), 5);
  for (const int rows : {32, 32, 5, 17, 32, 1, 32, 8, 8, 8, 8, 32, 31, 32, 2, 32}) {
    const Batch batch = source.next(rows, Stream::kMatured);
    trainer.train(batch);
    reference.train(batch);
  }
  expect_weights_near(trainer, reference);
  const TrainerReport report = trainer.report();
  const std::vector<double> weights = reference.task_weights();
  for (std::size_t k = 0; k < weights.size(); ++k) {
    EXPECT_NEAR(report.tasks[k].weight, weights[k], 1e-3) << k;
  }
  const RelationReport& relations = report.relations;
  const int T = stream::kTasks;
  for (int i = 0; i < T; ++i) {
    const auto row = static_cast<std::size_t>(i * T);
    EXPECT_NEAR(relations.gradient_norm[row / static_cast<std::size_t>(T)],
                *reference.cosines.norm(i), 1e-3);
    for (int j = 0; j < T; ++j) {
      const std::size_t at = row + static_cast<std::size_t>(j);
      EXPECT_NEAR(relations.gradient_cosine[at], *reference.cosines.cosine(i, j), 2e-3);
      EXPECT_NEAR(relations.conflict_rate[at], *reference.cosines.conflict_rate(i, j), 1e-6);
    }
  }
  EXPECT_EQ(reference.conflicts > 0, GetParam().surgery != Surgery::kNone);
}
// Those whose weights the plain trainer has: windows of metrics are not written out there.
INSTANTIATE_TEST_SUITE_P(
    Methods, BalancedTrainer,
    ::testing::Values(Combination{BalanceMethod::kUncertainty, Surgery::kNone},
                      Combination{BalanceMethod::kUncertainty, Surgery::kPcgrad},
                      Combination{BalanceMethod::kFixed, Surgery::kCagrad},
                      Combination{BalanceMethod::kGradnorm, Surgery::kNone},
                      Combination{BalanceMethod::kGradnorm, Surgery::kPcgrad},
                      Combination{BalanceMethod::kDwa, Surgery::kNone},
                      Combination{BalanceMethod::kUncertainty, Surgery::kNone, true},
                      Combination{BalanceMethod::kGradnorm, Surgery::kNone, true},
                      Combination{BalanceMethod::kRandom, Surgery::kCagrad}),
    name_of);

// Whatever the network, what one task alone reaches, rows' parts too, keeps its own gradient.
class BalancedBackbone : public ::testing::TestWithParam<BackboneKind> {};
INSTANTIATE_TEST_SUITE_P(All, BalancedBackbone,
                         ::testing::Values(BackboneKind::kSharedBottom, BackboneKind::kPle,
                                           BackboneKind::kStem, BackboneKind::kSharedSpecific,
                                           BackboneKind::kSeparate),
                         [](const auto& test) { return std::string(choice_name(test.param)); });

TEST_P(BalancedBackbone, TasksThatDoNotMeetAreLeftAlone) {
  LearnerOptions options = options_of({BalanceMethod::kFixed, Surgery::kNone});
  options.model.backbone = GetParam();
  Trainer plain("m", schema(), options);
  options.balance.surgery = Surgery::kPcgrad;
  Trainer operated("m", schema(), options);
  stream::Source source(schema(), 2);
  for (int i = 0; i < 5; ++i) {
    Batch batch = source.next(32);
    // One task alone: PCGrad has nothing to take away.
    for (std::size_t cell = 0; cell < batch.labels.size(); ++cell) {
      if (cell % stream::kTasks != stream::kLike) batch.labels[cell] = stream::kMissing;
    }
    plain.train(batch);
    operated.train(batch);
  }
  EXPECT_EQ(operated.report().skipped, 0U);
  EXPECT_LT(distance(operated.publish().dense->parameters, plain.publish().dense->parameters),
            1e-5);
}

// Of one task, with every rule that has a state for each, every bit is that of the plain rule.
TEST(TaskStates, OfOneTaskAreThePlainRule) {
  const Schema one({stream::keys("user", 3)}, {{.name = "click"}});
  for (const DenseOptimizer optimizer :
       {DenseOptimizer::kAdagrad, DenseOptimizer::kAdam, DenseOptimizer::kAdamw}) {
    LearnerOptions options = options_of({BalanceMethod::kUncertainty, Surgery::kNone}, 300);
    options.train.dense.optimizer = optimizer;
    options.train.dense.clip_norm = 0.5;
    Trainer plain("m", one, options);
    options.train.dense.task_states = true;
    Trainer apart("m", one, options);
    std::mt19937_64 random(9);
    for (int step = 0; step < 12; ++step) {
      Batch batch = empty_batch(one, Stream::kMatured);
      batch.rows = step % 3 == 2 ? 7 : 300;
      for (int r = 0; r < batch.rows; ++r) {
        const std::uint64_t user = 1 + random() % 9;
        batch.columns[0].keys.push_back(user);
        batch.weights.push_back(1);
        const bool known = random() % 5 >= 2;
        batch.labels.push_back(known ? static_cast<float>(user % 3 == 0) : stream::kMissing);
        batch.condition.push_back(1);
      }
      batch.due = {1'764'000'000'000 + step};
      plain.train(batch);
      apart.train(batch);
    }
    const Publication a = plain.publish(), b = apart.publish();
    EXPECT_EQ(a.dense->parameters, b.dense->parameters) << choice_name(optimizer);
    EXPECT_EQ(a.tables[0].rows, b.tables[0].rows) << choice_name(optimizer);
  }
}

// A task whose loss is a thousandth of another's moves what they share as far as the other.
TEST(TaskStates, ASmallLossIsNotDrowned) {
  // The share of shared weights that are elsewhere after a step because of the small loss.
  const auto moved = [](bool task_states) {
    LearnerOptions options = options_of({BalanceMethod::kFixed, Surgery::kNone, task_states});
    options.balance.weights = {{"click", 3.99}, {"like", 0.001}};
    const Model<float> model(schema(), options.model);
    std::vector<std::vector<float>> ends;
    for (const bool has_like : {false, true}) {
      Trainer trainer("m", schema(), options);
      stream::Source source(schema(), 2);
      Batch batch = source.next(32);
      for (std::size_t cell = 0; cell < batch.labels.size(); ++cell) {
        const std::size_t task = cell % stream::kTasks;
        const bool known = task == stream::kClick || (has_like && task == stream::kLike);
        if (!known) batch.labels[cell] = stream::kMissing;
      }
      trainer.train(batch);
      ends.push_back(trainer.publish().dense->parameters);
    }
    double elsewhere = 0, all = 0;
    for (const ParameterSlot& slot : shared_slots(model.parameters())) {
      for (int c = 0; c < slot.cols; ++c, ++all) {
        const auto at = static_cast<std::size_t>(slot.offset + c);
        const double by = std::abs(double{ends[0][at]} - double{ends[1][at]});
        elsewhere += by > 0.9 * options.train.dense.rate ? 1 : 0;
      }
    }
    return elsewhere / all;
  };
  EXPECT_GT(moved(true), 0.5);
  EXPECT_LT(moved(false), 0.02);
}

class EveryBalancing : public ::testing::TestWithParam<Combination> {};
INSTANTIATE_TEST_SUITE_P(All, EveryBalancing, ::testing::ValuesIn(combinations()), name_of);

TEST_P(EveryBalancing, ThreadsAndRestartsChangeNoBit) {
  LearnerOptions options = options_of(GetParam(), 300);
  options.relations.every = 2;
  options.balance.gradnorm.every = 3;
  stream::Source source(schema(), 6);
  std::mt19937_64 random(6);
  std::vector<Batch> batches;
  for (int i = 0; i < 14; ++i) {
    batches.push_back(source.next(i % 3 == 0 ? 300 : 1 + static_cast<int>(random() % 200)));
  }
  Trainer one("m", schema(), options);
  for (const Batch& batch : batches) one.train(batch);
  options.train.threads = 2;
  auto two = std::make_unique<Trainer>("m", schema(), options);
  StateLog log;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    two->train(batches[i]);
    if (i % 4 != 1) continue;
    log.commit(*two, 0);
    two = std::make_unique<Trainer>("m", schema(), options);
    log.restore(*two);
  }
  log.commit(*two, 0);
  EXPECT_THAT(differences(log.digested(), state_of(one)), ::testing::IsEmpty());
}

// What stands in the cells of a missing label changes nothing, and its tower does not move.
TEST_P(EveryBalancing, AMissingLabelHasNoWeightAnywhere) {
  const LearnerOptions options = options_of(GetParam());
  Trainer one("m", schema(), options), two("m", schema(), options);
  stream::Source source(schema(), 4);
  const std::vector<float> initial = one.publish().dense->parameters;
  for (int i = 0; i < 8; ++i) {
    Batch batch = source.next(32);
    for (int r = 0; r < batch.rows; ++r) {
      batch.labels[static_cast<std::size_t>(r * stream::kTasks + stream::kLike)] = stream::kMissing;
    }
    one.train(batch);
    for (int r = 0; r < batch.rows; ++r) {
      batch.condition[static_cast<std::size_t>(r * stream::kTasks + stream::kLike)] ^= 1;
    }
    two.train(batch);
  }
  EXPECT_THAT(differences(state_of(one), state_of(two)), ::testing::IsEmpty());
  const std::vector<float> after = one.publish().dense->parameters;
  const Model<float> model(schema(), options.model);
  bool moved[stream::kTasks] = {};
  for (const ParameterSlot& slot : model.parameters()) {
    for (int r = 0; r < slot.rows && slot.task >= 0; ++r) {
      for (int c = 0; c < slot.cols; ++c) {
        const auto at = static_cast<std::size_t>(slot.offset + r * slot.stride + c);
        moved[slot.task] |= initial[at] != after[at];
      }
    }
  }
  for (int k = 0; k < stream::kTasks; ++k) EXPECT_EQ(moved[k], k != stream::kLike) << k;
}

// To what is learned, a frozen task's labels are not there.
TEST_P(EveryBalancing, AFrozenTaskTakesNoPart) {
  const LearnerOptions options = options_of(GetParam());
  if (options.balance.method == BalanceMethod::kDtp ||
      options.balance.method == BalanceMethod::kPerformance) {
    return;  // They go by metrics, which a frozen task still has.
  }
  Trainer frozen("m", schema(), options), masked("m", schema(), options);
  stream::Source source(schema(), 8);
  frozen.freeze(stream::kDwell, "");
  masked.freeze(stream::kDwell, "");
  for (int i = 0; i < 8; ++i) {
    Batch batch = source.next(32);
    frozen.train(batch);
    for (int r = 0; r < batch.rows; ++r) {
      batch.labels[static_cast<std::size_t>(r * stream::kTasks + stream::kDwell)] =
          stream::kMissing;
    }
    masked.train(batch);
  }
  EXPECT_EQ(frozen.publish().dense->parameters, masked.publish().dense->parameters);
  for (std::size_t k = 0; k < stream::kTasks; ++k) {
    EXPECT_EQ(frozen.report().tasks[k].weight, masked.report().tasks[k].weight);
  }
}

TEST_P(EveryBalancing, ManyTasksWithMissingLabelsStayFinite) {
  std::vector<Feature> features{stream::keys("user", 3)};
  std::vector<Task> tasks(128);
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    tasks[k].name = "t" + std::to_string(k);
    tasks[k].kind = k % 8 == 7 ? TaskKind::kRegression : TaskKind::kBinary;
    if (k % 8 == 1) {
      tasks[k].given = static_cast<int>(k) - 1;
      tasks[k].entire_space = true;
    }
  }
  const Schema many(features, tasks);
  LearnerOptions options = options_of(GetParam(), 24);
  options.model.experts = 2;
  options.model.expert_layers = {6, 5};
  options.model.tower_layers = {3};
  options.balance.window = 2;
  Trainer trainer("m", many, options);
  std::mt19937_64 random(9);
  for (int step = 0; step < 12; ++step) {
    Batch batch = empty_batch(many, Stream::kMatured);
    batch.rows = step % 3 == 2 ? 7 : 24;
    for (int r = 0; r < batch.rows; ++r) {
      const std::uint64_t user = 1 + random() % 9;
      batch.columns[0].keys.push_back(user);
      batch.weights.push_back(1);
      for (std::size_t k = 0; k < tasks.size(); ++k) {
        const bool known = random() % 5 >= 2;
        const bool positive = (user + k) % 3 == 0;
        batch.labels.push_back(known ? static_cast<float>(positive) : stream::kMissing);
        batch.condition.push_back(1);
      }
    }
    batch.due = {1'764'000'000'000 + step};
    trainer.train(batch);
  }
  const TrainerReport report = trainer.report();
  EXPECT_EQ(report.skipped, 0U);
  EXPECT_EQ(report.steps, 12U);
  double sum = 0;
  for (const TaskReport& task : report.tasks) {
    ASSERT_TRUE(std::isfinite(task.weight));
    sum += task.weight;
  }
  EXPECT_NEAR(sum, 128, 1e-6);
  const auto dense = trainer.publish().dense;
  for (const float weight : dense->parameters) ASSERT_TRUE(std::isfinite(weight));
  EXPECT_FALSE(std::isnan(report.relations.gradient_cosine[1]));
  EXPECT_FALSE(std::isnan(report.relations.label_correlation[1]));
}

TEST(Relations, AreOfFinalLabelsAndOfTowerInputs) {
  LearnerOptions options = stream::options(32);
  options.relations.every = 1;
  Trainer trainer("m", schema(), options);
  stream::Source source(schema(), 3);
  for (int i = 0; i < 30; ++i) trainer.train(source.next(32));
  const RelationReport relations = trainer.report().relations;
  ASSERT_EQ(relations.tasks.size(), std::size_t{stream::kTasks});
  const auto at = [](int i, int j) { return static_cast<std::size_t>(i * stream::kTasks + j); };
  EXPECT_GT(relations.label_correlation[at(stream::kClick, stream::kCart)], 0.3);
  EXPECT_GT(relations.mutual_information[at(stream::kClick, stream::kCart)], 0.05);
  EXPECT_NEAR(relations.gradient_cosine[at(1, 1)], 1, 1e-6);
  EXPECT_NEAR(relations.representation_similarity[at(2, 2)], 1, 1e-9);
  EXPECT_GT(relations.representation_similarity[at(0, 1)], 0.5);
  EXPECT_EQ(relations.positive[at(3, 3)], 1);

  options.relations.every = 0;
  Trainer silent("m", schema(), options);
  stream::Source again(schema(), 3);
  for (int i = 0; i < 3; ++i) silent.train(again.next(32));
  EXPECT_TRUE(silent.report().relations.tasks.empty());
}

}  // namespace
}  // namespace millrace
