// What scorers rely on: a pin sees exactly one version, whatever the publisher does meanwhile, and
// both sides hold the same after every publication. Run under ThreadSanitizer too.
#include "learner/publish/serving_model.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "learner/base/random.h"

namespace millrace {
namespace {

Schema two_tables() {
  Feature user, item;
  user.name = "user";
  user.dimension = 4;
  item.name = "item";
  item.dimension = 2;
  return Schema({user, item}, {{.name = "ctr"}});
}

std::shared_ptr<const DenseWeights> dense(float value) {
  return std::make_shared<const DenseWeights>(
      DenseWeights{.parameters = {value, value}, .numeric = {}, .labels = {{}}});
}

Publication publication(float value, bool complete) {
  Publication p;
  p.tables.resize(2);
  p.dense = dense(value);
  p.complete = complete;
  p.seen = EventTime{static_cast<std::int64_t>(value)};
  return p;
}

void put(TableUpdate& update, std::uint64_t key, int dimension, float value) {
  update.keys.push_back(key);
  update.rows.insert(update.rows.end(), static_cast<std::size_t>(dimension), value);
}

TEST(ServingModel, HasNoVersionBeforeTheFirst) {
  const Schema schema = two_tables();
  ServingModel model(schema);
  EXPECT_FALSE(model.has_version());
  EXPECT_DEATH((void)model.pin(), "has_version");
  EXPECT_DEATH(model.apply(publication(1, false), {1, 0}), "complete");
}

TEST(ServingModel, ChangesErasuresAndReplacement) {
  const Schema schema = two_tables();
  ServingModel model(schema);
  Publication first = publication(1, true);
  put(first.tables[0], 5, 4, 0.5F);
  put(first.tables[1], 5, 2, 0.25F);
  put(first.tables[1], 6, 2, 0.75F);
  model.apply(first, {7, 0});
  EXPECT_TRUE(model.has_version());
  EXPECT_EQ(print_version(model.pin().version()), "7.0");
  EXPECT_EQ(model.pin().find(0, 5)[3], 0.5F);
  EXPECT_EQ(model.pin().find(1, 6)[1], 0.75F);
  EXPECT_EQ(model.pin().find(0, 6), nullptr);
  EXPECT_EQ(model.rows(), 3U);

  Publication change = publication(2, false);
  change.dense = nullptr;
  put(change.tables[1], 6, 2, -1);
  change.tables[1].erased = {5, 99};
  // Twice, so that either side has been the visible one.
  for (std::uint64_t n = 1; n <= 2; ++n) {
    model.apply(change, {7, n});
    const auto pin = model.pin();
    EXPECT_EQ(pin.version(), (VersionNumber{7, n}));
    EXPECT_EQ(pin.seen(), EventTime{2});
    EXPECT_EQ(pin.find(1, 5), nullptr);
    EXPECT_EQ(pin.find(1, 6)[0], -1);
    EXPECT_EQ(pin.find(0, 5)[0], 0.5F);
    EXPECT_EQ(pin.dense()->parameters[0], 1);  // Those of the version before.
  }

  Publication all = publication(3, true);
  put(all.tables[0], 1, 4, 3);
  model.apply(all, {8, 0});
  EXPECT_EQ(model.rows(), 1U);
  EXPECT_EQ(model.pin().find(0, 5), nullptr);
  EXPECT_EQ(model.pin().find(0, 1)[0], 3);
  EXPECT_EQ(model.pin().dense()->parameters[0], 3);
}

TEST(ServingModel, KeyThatWentAndCameBackHasItsRow) {
  const Schema schema = two_tables();
  ServingModel model(schema);
  model.apply(publication(1, true), {1, 0});
  Publication change = publication(2, false);
  change.tables[0].erased = {3};
  put(change.tables[0], 3, 4, 9);
  model.apply(change, {1, 1});
  EXPECT_EQ(model.pin().find(0, 3)[0], 9);
}

TEST(ServingModel, DenseWeightsOutliveTheirVersion) {
  const Schema schema = two_tables();
  ServingModel model(schema);
  model.apply(publication(1, true), {1, 0});
  const auto kept = model.pin().dense();
  for (std::uint64_t n = 1; n < 5; ++n) {
    model.apply(publication(static_cast<float>(n + 1), false), {1, n});
  }
  EXPECT_EQ(kept->parameters[0], 1);
  EXPECT_EQ(kept.use_count(), 1);  // Nobody else keeps old weights.
}

TEST(ServingModel, PublisherWaitsForTheReaderButNotTheReaderForIt) {
  const Schema schema = two_tables();
  ServingModel model(schema);
  model.apply(publication(1, true), {1, 0});
  std::atomic<bool> applied{false};
  std::thread publisher;
  {
    const auto held = model.pin();
    publisher = std::thread([&] {
      model.apply(publication(2, false), {1, 1});
      applied = true;
    });
    // The new version shows while the old one is held; the publisher still waits.
    while (model.pin().version() != VersionNumber{1, 1}) std::this_thread::yield();
    EXPECT_EQ(held.version(), (VersionNumber{1, 0}));
    EXPECT_EQ(held.dense()->parameters[0], 1);
    EXPECT_FALSE(applied);
  }
  publisher.join();
  EXPECT_TRUE(applied);
}

// Version n has n in every row and weight; keys come and go as a function of n. Each reader must
// find the whole of one version in every pin, and never go back.
TEST(ServingModel, ConcurrentReadersSeeWholeVersions) {
  const Schema schema = two_tables();
  ServingModel model(schema);
  constexpr std::uint64_t kKeys = 64;
  constexpr std::uint64_t kVersions = 300;
  auto is_there = [](std::uint64_t version, std::uint64_t key) {
    return philox(5, version / 16, key)[0] % 3 != 0;
  };
  auto publish = [&](std::uint64_t n) {
    Publication p = publication(static_cast<float>(n), n == 0 || n % 100 == 0);
    for (std::uint64_t key = 1; key <= kKeys; ++key) {
      for (int t = 0; t < 2; ++t) {
        TableUpdate& update = p.tables[static_cast<std::size_t>(t)];
        if (is_there(n, key)) {
          put(update, key, t == 0 ? 4 : 2, static_cast<float>(n));
        } else {
          update.erased.push_back(key);
        }
      }
    }
    model.apply(p, {1, n});
  };
  publish(0);
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> pins{0}, wrong{0};
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      std::uint64_t last = 0;
      while (!done) {
        const auto pin = model.pin();
        const std::uint64_t n = pin.version().publication;
        const auto value = static_cast<float>(n);
        bool right = n >= last && pin.seen() == EventTime{static_cast<std::int64_t>(n)} &&
                     pin.dense()->parameters[1] == value;
        for (std::uint64_t key = 1; key <= kKeys; ++key) {
          for (int t = 0; t < 2; ++t) {
            const float* row = pin.find(t, key);
            right = right && (row != nullptr) == is_there(n, key);
            right = right && (row == nullptr || (row[0] == value && row[1] == value));
          }
        }
        last = n;
        if (!right) ++wrong;
        ++pins;
      }
    });
  }
  for (std::uint64_t n = 1; n < kVersions; ++n) publish(n);
  while (pins < 100) std::this_thread::yield();
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0U);
}

}  // namespace
}  // namespace millrace
