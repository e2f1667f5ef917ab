// A version's name must never stand for two sets of weights, also where the first publication comes
// before the first commit of the process.
#include "ops/engine/publisher.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace millrace {
namespace {

Publication publication() {
  Publication one;
  one.tables.resize(1);
  one.dense = std::make_shared<DenseWeights>();
  one.complete = true;
  return one;
}

TEST(Publisher, ThePublicationsOfOneCommitAreCountedFromTheStartsOwn) {
  Feature user;
  user.name = "user";
  user.dimension = 2;
  Task ctr;
  ctr.name = "ctr";
  const Schema schema({user}, {ctr});
  ServingModel model(schema);
  model.apply(publication(), {5, 0});
  Failure failure;
  std::atomic<std::uint64_t> durable{5};
  Publisher publisher(
      model, nullptr, {5, 0}, failure, [&] { return durable.load(); }, [] { return EventTime{1}; });
  auto publish = [&] {
    publisher.publish(publication());
    while (!publisher.idle()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return model.pin().version();
  };

  EXPECT_EQ(publish(), (VersionNumber{5, 1}));
  EXPECT_EQ(publish(), (VersionNumber{5, 2}));
  durable = 7;
  EXPECT_EQ(publish(), (VersionNumber{7, 0}));
  EXPECT_EQ(publish(), (VersionNumber{7, 1}));
  EXPECT_FALSE(failure.happened());
}

// Whose weights are held when another takes its place has nothing that could be published: what was
// served of it is served on, by its name.
TEST(Publisher, AFormerChampionIsServedOnByItsName) {
  Feature dense;
  dense.name = "dense";
  dense.kind = FeatureKind::kDense;
  dense.width = 1;
  Task ctr;
  ctr.name = "ctr";
  const Schema schema({dense}, {ctr});
  ServingModel model(schema);
  ServedModels served(model);
  Failure failure;
  Publisher publisher(
      model, &served, {}, failure, [] { return 1; }, [] { return EventTime{1}; });
  const auto publish = [&](const std::string& name, float first,
                           std::vector<NamedPublication> others) {
    Publication one;
    one.dense = std::make_shared<DenseWeights>(DenseWeights{{first}, {}, {{}}});
    one.complete = true;
    one.shape = std::make_shared<const ServedShape>(ServedShape{name, {}, Projection(schema)});
    publisher.publish(std::move(one), std::move(others));
    while (!publisher.idle()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  const auto first_of = [&](const char* name) {
    const auto found = served.find(name);
    return found == nullptr ? -1 : found->pin().dense()->parameters[0];
  };
  publish("a", 1, {});
  publish("b", 2, {});
  EXPECT_EQ(first_of("a"), 1);
  EXPECT_EQ(first_of("b"), 2);
  EXPECT_EQ(served.find("a")->pin().version(), (VersionNumber{1, 0}));
  // Its next one takes the place of what was left; and it may come back.
  Publication next;
  next.dense = std::make_shared<DenseWeights>(DenseWeights{{3}, {}, {{}}});
  next.complete = true;
  next.shape = std::make_shared<const ServedShape>(ServedShape{"a", {}, Projection(schema)});
  publish("b", 4, {{"a", next}});
  EXPECT_EQ(first_of("a"), 3);
  publish("a", 5, {});
  EXPECT_EQ(first_of("a"), 5);
  EXPECT_EQ(first_of("b"), 4);
  EXPECT_FALSE(failure.happened());
}

}  // namespace
}  // namespace millrace
