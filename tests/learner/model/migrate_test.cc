// What a migrated model promises: what it keeps computes what it computed before, to the bit.
#include "learner/model/migrate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "learner/device/devices.h"
#include "learner/model/model.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

Feature keyed(const char* name, FeatureKind kind, int dimension, bool context) {
  Feature feature;
  feature.name = name;
  feature.kind = kind;
  feature.dimension = dimension;
  feature.context = context;
  return feature;
}

Schema shop_schema() {
  std::vector<Feature> features{keyed("user_id", FeatureKind::kCategorical, 16, true),
                                keyed("country", FeatureKind::kCategorical, 4, true),
                                keyed("item_id", FeatureKind::kCategorical, 16, false),
                                keyed("genres", FeatureKind::kBag, 8, false),
                                keyed("price", FeatureKind::kNumeric, 0, false),
                                keyed("taste", FeatureKind::kDense, 0, false)};
  features[5].width = 8;
  std::vector<Task> tasks(4);
  tasks[0] = {.name = "ctr"};
  tasks[1] = {.name = "cvr", .given = 0, .entire_space = true};
  tasks[2] = {.name = "dwell", .kind = TaskKind::kRegression, .given = 0};
  tasks[3] = {.name = "like", .given = 0};
  return {std::move(features), std::move(tasks)};
}

std::vector<int> pair_tasks(const Schema& from, const Schema& to) {
  std::vector<int> pairs;
  for (const Task& task : to.tasks()) pairs.push_back(from.find_task(task.name));
  return pairs;
}

std::vector<int> pair_features(const Schema& from, const Schema& to) {
  std::vector<int> pairs;
  for (const Feature& feature : to.features()) pairs.push_back(from.find_feature(feature.name));
  return pairs;
}

struct Net {
  Schema schema;
  ModelOptions options;
  Model<float> model{schema, options};
  Matrix<float> weights{1, static_cast<int>(model.parameter_count()), 5};

  /// z of one row whose columns of a feature hold what its name says; a feature that is not in
  /// `present` is zeros.
  std::vector<float> score(const std::vector<std::string>& present) {
    const std::unique_ptr<Backend<float>> cpu = open_device<float>("cpu");
    Matrix<float> x(1, schema.inputs()), z(1, model.tasks());
    for (std::size_t f = 0; f < schema.features().size(); ++f) {
      const std::string& name = schema.features()[f].name;
      const bool set = std::find(present.begin(), present.end(), name) != present.end();
      const int offset = schema.input_offset(static_cast<int>(f));
      for (int i = 0; i < schema.input_width(static_cast<int>(f)); ++i) {
        x.values[static_cast<std::size_t>(offset + i)] =
            set ? 0.1F * static_cast<float>(name[0] % 7) - 0.05F * static_cast<float>(i) : 0;
      }
    }
    const auto work = model.workspace(*cpu, 1);
    model.forward(weights.values.data(), x, *work, z);
    return z.values;
  }
};

const std::vector<std::string> kOld{"user_id", "country", "item_id", "genres", "price", "taste"};

ModelMigration migrate(const Net& from, Net& to) {
  ModelMigration migration =
      migrate_model(from.schema, from.options, to.schema, to.options,
                    pair_tasks(from.schema, to.schema), pair_features(from.schema, to.schema));
  for (const KeptWeights& kept : migration.kept) {
    std::copy_n(from.weights.values.begin() + kept.from, kept.count,
                to.weights.values.begin() + kept.to);
  }
  return migration;
}

void randomise(Net& net, std::uint64_t seed) {
  net.weights = Matrix<float>(1, net.weights.cols, static_cast<int>(seed));
}

float of_task(Net& net, const std::vector<float>& z, const char* task) {
  return z[static_cast<std::size_t>(net.schema.find_task(task))];
}

TEST(MigrateModelTest, TheSameShapeKeepsEveryWeight) {
  Net from{shop_schema(), {}}, to{shop_schema(), {}};
  randomise(to, 6);
  const ModelMigration migration = migrate(from, to);
  EXPECT_EQ(from.weights.values, to.weights.values);
  EXPECT_EQ(migration.whole.size(), from.model.parameters().size());
  EXPECT_TRUE(migration.partly.empty() && migration.made.empty() && migration.dropped.empty());
}

TEST(MigrateModelTest, TasksComeAndGoAndTheOthersScoreAsBefore) {
  for (const bool deep_gates : {false, true}) {
    ModelOptions options;
    if (deep_gates) options.gate_layers = {8};
    Net from{shop_schema(), options};
    std::vector<Task> tasks = shop_schema().tasks();
    tasks.erase(tasks.begin() + 1);  // cvr
    for (Task& task : tasks) task.given = task.given < 0 ? -1 : 1;
    tasks.insert(tasks.begin(), {.name = "share"});
    Net to{Schema(shop_schema().features(), tasks), options};
    randomise(to, 6);
    const ModelMigration migration = migrate(from, to);

    const std::vector<float> before = from.score(kOld), after = to.score(kOld);
    for (const char* task : {"ctr", "dwell", "like"}) {
      EXPECT_EQ(of_task(from, before, task), of_task(to, after, task)) << task;
    }
    const auto has = [](const std::vector<std::string>& names, const std::string& name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    EXPECT_TRUE(has(migration.made, "tower.0.layer.0.weight"));
    EXPECT_TRUE(has(migration.made, "gate.0.layer.0.weight"));
    EXPECT_TRUE(has(migration.dropped, "tower.1.layer.2.bias"));
    EXPECT_TRUE(has(migration.whole, "tower.1.layer.2.bias"));  // the new place of ctr
  }
}

TEST(MigrateModelTest, FeaturesComeAndGoAndWhatIsKeptCountsAsBefore) {
  Net from{shop_schema(), {}};
  std::vector<Feature> features = shop_schema().features();
  std::rotate(features.begin(), features.begin() + 3, features.end());
  std::erase_if(features, [](const Feature& feature) { return feature.name == "country"; });
  Feature added;
  added.name = "device";
  added.dimension = 5;
  features.insert(features.begin() + 2, added);
  Net to{Schema(features, shop_schema().tasks()), {}};
  randomise(to, 6);
  migrate(from, to);

  const std::vector<std::string> kept{"user_id", "item_id", "genres", "price", "taste"};
  const std::vector<float> before = from.score(kept), after = to.score(kept);
  // The same products, added in another order.
  for (std::size_t k = 0; k < before.size(); ++k)
    EXPECT_NEAR(before[k], after[k], 1e-5 * std::abs(before[k]));
}

TEST(MigrateModelTest, ExpertsComeAndGoAndTheirNeighboursStay) {
  for (const auto& [before, after] : {std::pair{4, 6}, {6, 3}}) {
    ModelOptions old_options, new_options;
    old_options.experts = before;
    new_options.experts = after;
    Net from{shop_schema(), old_options}, to{shop_schema(), new_options};
    randomise(to, 6);
    const ModelMigration migration = migrate(from, to);
    EXPECT_EQ(migration.made.empty(), after < before);
    EXPECT_EQ(migration.dropped.empty(), after > before);
    // Every gate keeps its columns of the experts that stay, and the towers wholly stay.
    EXPECT_EQ(migration.partly.size(), shop_schema().tasks().size());
    for (const std::string& name : migration.partly) EXPECT_EQ(name.substr(0, 5), "gate.");
  }
}

TEST(MigrateModelTest, ALayerOfAnotherSizeIsMadeAnew) {
  ModelOptions wider;
  wider.tower_layers = {48, 16};
  Net from{shop_schema(), {}}, to{shop_schema(), wider};
  const ModelMigration migration = migrate(from, to);
  EXPECT_EQ(migration.made.size(), 3 * shop_schema().tasks().size());
  for (const std::string& name : migration.made) EXPECT_EQ(name.substr(0, 6), "tower.");
}

}  // namespace
}  // namespace millrace
