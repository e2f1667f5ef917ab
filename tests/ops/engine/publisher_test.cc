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
      model, nullptr, failure, [&] { return durable.load(); }, [] { return EventTime{1}; });
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

}  // namespace
}  // namespace millrace
