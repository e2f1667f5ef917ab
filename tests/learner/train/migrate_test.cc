// What a migrated model promises: what both shapes have is kept, bits and all; what is new starts
// as in a new model and learns; a shape that went and came again has lost only its own.
#include "learner/train/migrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "learner/model/model.h"
#include "learner/train/task_states.h"
#include "tests/learner/train/stream.h"
#include "tests/support/state_log.h"

namespace millrace {
namespace {

constexpr int kBatch = 32;

struct Shape {
  Schema schema{stream::features(), stream::tasks()};
  LearnerOptions options = stream::options(kBatch);

  std::unique_ptr<Trainer> trainer() const {
    return std::make_unique<Trainer>("m", schema, options);
  }
  void train(Trainer& trainer, int batches, std::uint64_t seed) const {
    const Schema of_stream(stream::features(), stream::tasks());
    stream::Source source(of_stream, seed);
    for (int b = 0; b < batches; ++b) trainer.train(fitted(source.next(kBatch)));
  }

 private:
  // The stream's rows as this shape reads them: columns and labels by name.
  Batch fitted(const Batch& full) const {
    const Schema of_stream(stream::features(), stream::tasks());
    Batch batch = empty_batch(schema, full.stream);
    batch.rows = full.rows;
    batch.due = full.due;
    batch.seen = full.seen;
    batch.weights = full.weights;
    batch.numeric = full.numeric;
    batch.dense = full.dense;
    for (std::size_t c = 0; c < schema.key_features().size(); ++c) {
      const auto f = static_cast<std::size_t>(schema.key_features()[c]);
      const std::string& name = schema.features()[f].name;
      const int source = of_stream.find_feature(name == "shop" ? "user" : name);
      const auto& keys = of_stream.key_features();
      batch.columns[c] = full.columns[static_cast<std::size_t>(
          std::find(keys.begin(), keys.end(), source) - keys.begin())];
    }
    const std::size_t T = of_stream.tasks().size();
    for (std::size_t r = 0; r < static_cast<std::size_t>(full.rows); ++r) {
      for (const Task& task : schema.tasks()) {
        const int k = of_stream.find_task(task.name == "share" ? "like" : task.name);
        batch.labels.push_back(full.labels[r * T + static_cast<std::size_t>(k)]);
        batch.condition.push_back(full.condition[r * T + static_cast<std::size_t>(k)]);
      }
    }
    return batch;
  }
};

// Without `cart` and what is given it, with a task `share`, in another order.
Shape other_tasks() {
  Shape shape;
  std::vector<Task> tasks{{.name = "share", .given = 1},
                          stream::tasks()[stream::kClick],
                          stream::tasks()[stream::kLike],
                          stream::tasks()[stream::kDwell]};
  tasks[2].given = tasks[3].given = 1;
  shape.schema = Schema(stream::features(), tasks);
  return shape;
}

// Without `seen` and `taste`, with a categorical `shop`.
Shape other_features() {
  Shape shape;
  std::vector<Feature> features = stream::features();
  std::erase_if(features, [](const Feature& f) { return f.name == "seen"; });
  features.insert(features.begin(), stream::keys("shop", 5));
  shape.schema = Schema(features, stream::tasks());
  return shape;
}

StateLog log_of(Trainer& trainer) {
  StateLog log;
  log.commit(trainer);
  return log;
}

StateLog migrate(const Shape& from, const Shape& to, const StateLog& log) {
  const TrainerMigration migration(from.schema, from.options, to.schema, to.options);
  return log.carried_over([&](const std::string& name,
                              const std::string& bytes) { return migration.value(name, bytes); },
                          [&](const std::string& set) { return migration.keeps_set(set); });
}

TEST(MigrateTrainerTest, TheSameShapeGoesOnAsIfNothingHadHappened) {
  const Shape shape;
  const auto undisturbed = shape.trainer();
  shape.train(*undisturbed, 20, 1);
  StateLog log = log_of(*undisturbed);
  StateLog carried = migrate(shape, shape, log);
  const auto migrated = shape.trainer();
  carried.restore(*migrated);
  shape.train(*undisturbed, 10, 2);
  shape.train(*migrated, 10, 2);
  log.commit(*undisturbed);
  carried.commit(*migrated);
  EXPECT_THAT(differences(carried.digested(), log.digested()), ::testing::IsEmpty());
  EXPECT_EQ(migrated->report().rows, undisturbed->report().rows);
  EXPECT_EQ(migrated->publish().dense->parameters, undisturbed->publish().dense->parameters);
}

// Each task's optimiser state comes along with its task.
TEST(MigrateTrainerTest, StatesOfTasksGoOnWithTheirTasks) {
  Shape shape;
  shape.options.train.dense.task_states = true;
  const auto undisturbed = shape.trainer();
  shape.train(*undisturbed, 20, 1);
  const StateLog log = log_of(*undisturbed);
  Shape other = other_tasks();
  other.options.train.dense.task_states = true;
  StateLog carried = migrate(shape, shape, log), moved = migrate(shape, other, log);
  const auto migrated = shape.trainer();
  carried.restore(*migrated);
  shape.train(*undisturbed, 5, 2);
  shape.train(*migrated, 5, 2);
  EXPECT_EQ(migrated->publish().dense->parameters, undisturbed->publish().dense->parameters);

  // To other tasks: their own states, of a new task none.
  const auto states_of = [](const Shape& of, const StateLog& from) {
    const Model<float> model(of.schema, of.options.model);
    const int tasks = static_cast<int>(of.schema.tasks().size());
    const std::string dense = from.digested().at({"", "dense"});
    ByteReader reader(dense);
    reader.get_all<float>();  // the weights
    reader.get<double>();
    reader.get_all<float>();  // moments of what is summed
    reader.get_all<float>();
    TaskStates<float> states(model.parameters(), tasks, 2);
    states.restore(reader);
    return states;
  };
  const auto old_states = states_of(shape, log), new_states = states_of(other, moved);
  EXPECT_EQ(new_states.steps(0), 0);
  EXPECT_EQ(new_states.steps(1), old_states.steps(stream::kClick));
  const TrainerMigration migration(shape.schema, shape.options, other.schema, other.options);
  const auto from = old_states.spread(stream::kLike, 1, migration.model().old_count);
  const auto to = new_states.spread(2, 1, migration.model().new_count);
  double seen = 0;
  for (const KeptWeights& kept : migration.model().kept) {
    for (long i = 0; i < kept.count; ++i) {
      const auto at = [&](long first) { return static_cast<std::size_t>(first + i); };
      if (to[at(kept.to)] == 0) continue;  // not shared
      EXPECT_EQ(to[at(kept.to)], from[at(kept.from)]);
      ++seen;
    }
  }
  EXPECT_GT(seen, 100);
}

TEST(MigrateTrainerTest, RowsAndOptimisersStayBitForBit) {
  const Shape from;
  const auto old_trainer = from.trainer();
  from.train(*old_trainer, 30, 1);
  StateLog before = log_of(*old_trainer);
  for (const Shape& to : {other_tasks(), other_features()}) {
    StateLog after = migrate(from, to, before);
    for (const auto& [key, value] : after.entries()) {
      EXPECT_EQ(before.entries().at(key), value) << key.first;
    }
    const auto trainer = to.trainer();
    after.restore(*trainer);
    EXPECT_EQ(trainer->report().tables.back().rows, old_trainer->report().tables.back().rows);
    EXPECT_EQ(trainer->report().rows, old_trainer->report().rows);
  }
}

TEST(MigrateTrainerTest, KeptTasksKeepTheirMetricsAndNewOnesLearn) {
  const Shape from, to = other_tasks();
  const auto old_trainer = from.trainer();
  from.train(*old_trainer, 60, 1);
  const auto trainer = to.trainer();
  migrate(from, to, log_of(*old_trainer)).restore(*trainer);

  const TrainerReport before = old_trainer->report(), after = trainer->report();
  EXPECT_EQ(after.tasks[1].all.rows, before.tasks[stream::kClick].all.rows);
  EXPECT_EQ(after.tasks[1].all.auc, before.tasks[stream::kClick].all.auc);
  EXPECT_EQ(after.tasks[0].all.rows, 0U);
  to.train(*trainer, 60, 2);
  EXPECT_GT(trainer->report().tasks[0].all.rows, 0U);
  const Publication publication = trainer->publish();  // keeps what the loop reads
  for (const float weight : publication.dense->parameters) {
    ASSERT_TRUE(std::isfinite(weight));
  }
}

TEST(MigrateTrainerTest, ThereAndBackLosesOnlyWhatWasAway) {
  const Shape from;
  for (const Shape& to : {other_tasks(), other_features()}) {
    const auto old_trainer = from.trainer();
    from.train(*old_trainer, 30, 1);
    const StateLog log = log_of(*old_trainer);
    const auto back = from.trainer();
    migrate(to, from, migrate(from, to, log)).restore(*back);

    const TrainerMigration migration(from.schema, from.options, to.schema, to.options);
    const std::vector<float> before = old_trainer->publish().dense->parameters,
                             after = back->publish().dense->parameters;
    ASSERT_FALSE(migration.model().kept.empty());
    for (const KeptWeights& kept : migration.model().kept) {
      for (long i = kept.from; i < kept.from + kept.count; ++i) {
        ASSERT_EQ(before[static_cast<std::size_t>(i)], after[static_cast<std::size_t>(i)]);
      }
    }
  }
}

TEST(MigrateTrainerTest, AnotherMethodStartsAnewAndTheRestStays) {
  Shape from, to;
  to.options.balance.method = BalanceMethod::kFixed;
  const auto old_trainer = from.trainer();
  from.train(*old_trainer, 10, 1);
  const auto trainer = to.trainer();
  migrate(from, to, log_of(*old_trainer)).restore(*trainer);
  EXPECT_EQ(trainer->report().tasks[0].weight, 1);
  EXPECT_EQ(trainer->publish().dense->parameters, old_trainer->publish().dense->parameters);
}

TEST(MigrateTrainerTest, DamageIsSaid) {
  const Shape shape;
  const auto trainer = shape.trainer();
  shape.train(*trainer, 2, 1);
  const TrainerMigration migration(shape.schema, shape.options, shape.schema, shape.options);
  EXPECT_THROW(migration.value("dense", "short"), StateError);
  EXPECT_THROW(migration.value("shares", std::string(7, '\0')), StateError);
  EXPECT_THROW(migration.value("unheard of", ""), StateError);
}

}  // namespace
}  // namespace millrace
