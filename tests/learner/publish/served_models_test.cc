// Models beside the champion are found by their names, while the champion changes too.
#include "learner/publish/served_models.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "learner/model/model.h"

namespace millrace {
namespace {

Schema small_schema() {
  Feature dense;
  dense.name = "dense";
  dense.kind = FeatureKind::kDense;
  dense.width = 2;
  Task task;
  task.name = "ctr";
  return {{dense}, {task}};
}

class ServedModelsTest : public ::testing::Test {
 protected:
  Publication publication(const std::string& name, float first, bool complete = true) const {
    Publication publication;
    publication.complete = complete;
    auto dense = std::make_shared<DenseWeights>();
    dense->parameters.assign(static_cast<std::size_t>(Model<float>(schema, {}).parameter_count()),
                             first);
    publication.dense = dense;
    if (complete) {
      publication.shape =
          std::make_shared<const ServedShape>(ServedShape{name, {}, Projection(schema)});
    }
    return publication;
  }
  // The first of the weights that answer for a model; −1: nothing does.
  float first_of(const char* name) const {
    const auto model = served.find(name);
    return model == nullptr ? -1 : model->pin().dense()->parameters[0];
  }

  const Schema schema = small_schema();
  ServingModel champion{schema};
  ServedModels served{champion};
};

TEST_F(ServedModelsTest, EachAnswersByItsName) {
  EXPECT_EQ(served.find("a"), nullptr);
  champion.apply(publication("a", 1), {1, 0});
  served.apply({"b", publication("b", 2)}, {1, 0});
  EXPECT_EQ(first_of("a"), 1);
  EXPECT_EQ(first_of("b"), 2);
  EXPECT_EQ(first_of("c"), -1);
  served.apply({"b", publication("b", 3, false)}, {1, 1});
  EXPECT_EQ(first_of("b"), 3);
}

TEST_F(ServedModelsTest, AChampionIsFoundWhereItIsServed) {
  champion.apply(publication("a", 1), {1, 0});
  served.apply({"b", publication("b", 2)}, {1, 0});
  const auto held = served.find("b");  // by a request under way
  // b takes a's place.
  served.apply({"a", publication("a", 4)}, {2, 0});
  champion.apply(publication("b", 5), {2, 0});
  EXPECT_EQ(first_of("a"), 4);
  EXPECT_EQ(first_of("b"), 5);
  served.became_champion("b");
  EXPECT_EQ(first_of("b"), 5);
  EXPECT_EQ(held->pin().dense()->parameters[0], 2);
  // And a comes back.
  served.apply({"b", publication("b", 6)}, {3, 0});
  champion.apply(publication("a", 7), {3, 0});
  EXPECT_EQ(first_of("a"), 7) << "not the one that was left from before";
  EXPECT_EQ(first_of("b"), 6);
}

}  // namespace
}  // namespace millrace
