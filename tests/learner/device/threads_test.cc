// Work cut by its shape gives the same bits on any number of threads; every part runs once;
// denormals are flushed wherever a part runs; a failure reaches the caller.
#include "learner/device/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "learner/train/chunks.h"

namespace millrace {
namespace {

class ThreadsTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadsTest, EveryPartRunsOnce) {
  Threads threads(GetParam());
  EXPECT_EQ(threads.count(), GetParam());
  for (int job = 0; job < 200; ++job) {
    const int parts = job % 7;
    std::vector<std::atomic<int>> runs(7);
    threads.run(parts, [&](int part) { ++runs[static_cast<std::size_t>(part)]; });
    for (int part = 0; part < 7; ++part) {
      EXPECT_EQ(runs[static_cast<std::size_t>(part)], part < parts ? 1 : 0);
    }
  }
}

// volatile: the sum must be done at run time.
float denormal_half() {
  volatile float least = std::numeric_limits<float>::min();
  return least / 2;
}

TEST_P(ThreadsTest, DenormalsAreFlushedInPartsAndOnlyThere) {
  Threads threads(GetParam());
  ASSERT_GT(denormal_half(), 0);
  std::vector<float> halves(16, 1);
  threads.run(16, [&](int part) { halves[static_cast<std::size_t>(part)] = denormal_half(); });
  for (const float half : halves) EXPECT_EQ(half, 0);
  EXPECT_GT(denormal_half(), 0);
}

TEST_P(ThreadsTest, TheFailureOfTheLowestPartReachesTheCaller) {
  Threads threads(GetParam());
  for (int job = 0; job < 20; ++job) {
    std::atomic<int> done{0};
    try {
      threads.run(8, [&](int part) {
        if (part == 3 || part == 6) throw std::runtime_error(std::to_string(part));
        ++done;
      });
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& failure) {
      EXPECT_STREQ(failure.what(), "3");
    }
    EXPECT_EQ(done, 6);
  }
  int runs = 0;
  threads.run(1, [&](int) { ++runs; });
  EXPECT_EQ(runs, 1);
}

INSTANTIATE_TEST_SUITE_P(Counts, ThreadsTest, ::testing::Values(1, 2, 4));

TEST(FlushDenormals, NestsAndRestores) {
  {
    const FlushDenormals outer;
    { const FlushDenormals inner; }
    EXPECT_EQ(denormal_half(), 0);
  }
  EXPECT_GT(denormal_half(), 0);
}

TEST(Chunks, CoverAllRowsOnceAndNoneIsEmpty) {
  for (int rows = 1; rows <= 3000; ++rows) {
    const Chunks chunks(rows);
    ASSERT_LE(chunks.count, Chunks::kMost);
    int covered = 0;
    for (int c = 0; c < chunks.count; ++c) {
      ASSERT_EQ(chunks.begin(c), covered);
      ASSERT_GT(chunks.end(c), chunks.begin(c)) << rows;
      covered = chunks.end(c);
    }
    ASSERT_EQ(covered, rows);
  }
  EXPECT_EQ(Chunks(128).count, 1);
  EXPECT_EQ(Chunks(1024).count, 4);
  EXPECT_EQ(Chunks(1024).rows_per_chunk, 256);
}

}  // namespace
}  // namespace millrace
