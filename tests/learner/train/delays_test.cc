// The unit of delays: their running median, whatever they are measured in.
#include "learner/train/delays.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace millrace {
namespace {

std::vector<double> delays(std::mt19937_64& random, double mean, int count) {
  std::exponential_distribution<double> of(1 / mean);
  std::vector<double> all;
  for (int i = 0; i < count; ++i) all.push_back(of(random));
  return all;
}

TEST(DelayScale, FollowsTheMedianOfSecondsAndOfDays) {
  for (const double mean : {1e3, 3.6e6, 8.64e7}) {
    std::mt19937_64 random(2);
    DelayScale scale(1000);
    for (int i = 0; i < 400; ++i) scale.add(delays(random, mean, 20));
    EXPECT_NEAR(scale.ms() / (mean * std::log(2.0)), 1, 0.1) << mean;
    for (int i = 0; i < 2000; ++i) scale.add(delays(random, 3 * mean, 20));
    EXPECT_NEAR(scale.ms() / (3 * mean * std::log(2.0)), 1, 0.1) << mean;
  }
}

TEST(DelayScale, StartsAtTheFirstDelays) {
  DelayScale scale(1000);
  EXPECT_EQ(scale.ms(), 1000);
  scale.add({});
  EXPECT_EQ(scale.ms(), 1000);
  scale.add({70, 9, 5e6});
  EXPECT_EQ(scale.ms(), 70);
  DelayScale none(1000);
  none.add({0, -3});
  EXPECT_EQ(none.ms(), 1);
}

TEST(DelayScale, IsTheSameAfterARestart) {
  std::mt19937_64 random(2);
  DelayScale one(1000);
  one.add(delays(random, 5e5, 30));
  ByteWriter writer;
  one.save(writer);
  DelayScale two(7);
  const std::string bytes = writer.take();
  ByteReader reader(bytes);
  two.restore(reader);
  const std::vector<double> more = delays(random, 5e5, 30);
  one.add(more);
  two.add(more);
  EXPECT_EQ(one.ms(), two.ms());
  ByteWriter bad;
  bad.put(0.0);
  bad.put(3.0);
  const std::string broken = bad.take();
  ByteReader from(broken);
  EXPECT_THROW(two.restore(from), StateError);
}

}  // namespace
}  // namespace millrace
