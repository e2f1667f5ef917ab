// Every optimiser of rows against its formulas, written out in double for one weight after another;
// what is done to a row before its step; what is not finite is told.
#include "learner/embedding/row_optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <set>
#include <vector>

namespace millrace {
namespace {

/// One row, weight by weight, as the page of the mathematics has it.
struct PlainRow {
  std::vector<double> w, n, z, m, v;
  double row_n = 0, steps = 0;
  std::int64_t moment = -1;

  void step(const EmbeddingOptimizerOptions& o, std::vector<double> g, std::int64_t now) {
    using enum EmbeddingOptimizer;
    const std::size_t D = w.size();
    if (o.decay > 0 && moment >= 0) {
      const double elapsed = static_cast<double>(now - moment) / RowOptimizer::kUnitsPerStep;
      for (double& weight : w) weight *= std::exp(-o.rate * o.decay * elapsed);
    }
    moment = now;
    double squares = 0;
    for (std::size_t d = 0; d < D; ++d) {
      if (o.optimizer != kFtrl) g[d] += o.l2 * w[d];
      squares += g[d] * g[d];
    }
    row_n += squares / static_cast<double>(D);
    steps += 1;
    for (std::size_t d = 0; d < D; ++d) {
      const double before = n[d];
      n[d] += g[d] * g[d];
      switch (o.optimizer) {
        case kSgd:
          w[d] -= o.rate * g[d];
          break;
        case kAdagrad:
          w[d] -= o.rate * g[d] / (std::sqrt(n[d]) + 1e-10);
          break;
        case kRowwiseAdagrad:
          w[d] -= o.rate * g[d] / (std::sqrt(row_n) + 1e-10);
          break;
        case kFtrl: {
          if (steps == 1) z[d] = -w[d] * (o.beta / o.rate + o.l2);
          z[d] += g[d] - (std::sqrt(n[d]) - std::sqrt(before)) / o.rate * w[d];
          const double denominator = (o.beta + std::sqrt(n[d])) / o.rate + o.l2;
          w[d] = std::abs(z[d]) <= o.l1 ? 0 : -(z[d] - std::copysign(o.l1, z[d])) / denominator;
          break;
        }
        case kAdam:
          m[d] = o.beta1 * m[d] + (1 - o.beta1) * g[d];
          v[d] = o.beta2 * v[d] + (1 - o.beta2) * g[d] * g[d];
          w[d] -= o.rate * m[d] / (1 - std::pow(o.beta1, steps)) /
                  (std::sqrt(v[d] / (1 - std::pow(o.beta2, steps))) + o.epsilon);
          break;
      }
    }
  }
};

std::vector<EmbeddingOptimizerOptions> all_options() {
  using enum EmbeddingOptimizer;
  std::vector<EmbeddingOptimizerOptions> all;
  for (const auto optimizer : {kSgd, kAdagrad, kRowwiseAdagrad, kFtrl, kAdam}) {
    EmbeddingOptimizerOptions o;
    o.optimizer = optimizer;
    o.rate = 0.05;
    all.push_back(o);
    o.l2 = 0.1;
    all.push_back(o);
    o.l2 = 0;
    o.decay = 0.3;
    if (optimizer != kFtrl) all.push_back(o);
  }
  EmbeddingOptimizerOptions o;
  o.optimizer = kFtrl;
  o.l1 = 0.8;
  o.l2 = 0.2;
  o.beta = 0.5;
  all.push_back(o);
  o = {};
  o.optimizer = kAdam;
  o.beta1 = 0.5;
  o.beta2 = 0.9;
  o.epsilon = 1e-3;
  all.push_back(o);
  return all;
}

class RowOptimizerTest : public ::testing::TestWithParam<int> {};

TEST_P(RowOptimizerTest, FollowsTheFormulas) {
  const int D = GetParam();
  const auto width = static_cast<std::size_t>(D);
  constexpr std::size_t kRows = 30;
  for (const EmbeddingOptimizerOptions& options : all_options()) {
    const RowOptimizer optimizer(options);
    const auto whole = width + static_cast<std::size_t>(optimizer.state(D));
    std::mt19937_64 random(7);
    std::normal_distribution<double> normal;
    std::vector<std::vector<float>> rows(kRows, std::vector<float>(whole));
    std::vector<PlainRow> plain(kRows);
    for (std::size_t r = 0; r < kRows; ++r) {
      const std::vector<double> zeros(width);
      plain[r] = {zeros, zeros, zeros, zeros, zeros};
      for (std::size_t d = 0; d < width && !optimizer.starts_at_zero(); ++d) {
        rows[r][d] = static_cast<float>(0.05 * normal(random));
        plain[r].w[d] = double{rows[r][d]};
      }
    }
    std::int64_t now = 1;
    for (int step = 0; step < 60; ++step, now += static_cast<std::int64_t>(random() % 700)) {
      std::vector<EmbeddingTable::Used> used;
      std::vector<float> gradients;
      std::set<std::size_t> chosen;
      for (int i = 0; i < 10; ++i) chosen.insert(random() % kRows);
      float largest = 0;
      for (const std::size_t r : chosen) {
        used.push_back({0, 0, rows[r].data()});
        std::vector<double> g(width);
        for (double& slope : g) {
          gradients.push_back(static_cast<float>(normal(random)));
          slope = double{gradients.back()};
        }
        plain[r].step(options, g, now);
      }
      const float told = optimizer.step(used, D, gradients.data(), static_cast<std::uint32_t>(now));
      for (const std::size_t r : chosen) {
        for (std::size_t d = 0; d < width; ++d) {
          ASSERT_NEAR(rows[r][d], plain[r].w[d], 3e-4 * (1 + std::abs(plain[r].w[d])))
              << choice_name(options.optimizer) << " l2 " << options.l2 << " decay "
              << options.decay << " step " << step;
          largest = std::max(largest, std::abs(rows[r][d]));
        }
      }
      EXPECT_EQ(told, largest);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dimensions, RowOptimizerTest, ::testing::Values(1, 3, 8, 16, 19));

TEST(RowOptimizer, ARateFactorScalesTheStep) {
  for (const auto& choice : Choices<EmbeddingOptimizer>::all) {
    EmbeddingOptimizerOptions options;
    options.optimizer = choice.value;
    options.rate = 0.2;
    EmbeddingOptimizerOptions slow = options;
    slow.rate = 0.05;
    RowOptimizer scaled(options);
    scaled.set_rate_factor(0.25);
    std::vector<float> a(40), b(40), g(8, 0.5F), again = g;
    a[0] = b[0] = 1;
    const EmbeddingTable::Used one{0, 0, a.data()}, other{0, 0, b.data()};
    scaled.step({&one, 1}, 8, g.data(), 1);
    RowOptimizer(slow).step({&other, 1}, 8, again.data(), 1);
    EXPECT_EQ(a, b) << choice.name;
    EXPECT_NE(a[1], 0) << choice.name;
  }
}

TEST(RowOptimizer, AWeightThatIsNotFiniteIsTold) {
  for (const auto& choice : Choices<EmbeddingOptimizer>::all) {
    EmbeddingOptimizerOptions options;
    options.optimizer = choice.value;
    std::vector<float> rows(200), g(30);
    std::vector<EmbeddingTable::Used> used;
    for (std::size_t r = 0; r < 10; ++r) used.push_back({0, 0, rows.data() + 20 * r});
    const RowOptimizer optimizer(options);
    EXPECT_EQ(optimizer.step(used, 3, g.data(), 1), 0);
    for (const float bad : {INFINITY, -INFINITY, NAN}) {
      rows[20 * 7 + 2] = bad;
      EXPECT_TRUE(std::isnan(optimizer.step(used, 3, g.data(), 1))) << choice.name;
    }
  }
}

}  // namespace
}  // namespace millrace
