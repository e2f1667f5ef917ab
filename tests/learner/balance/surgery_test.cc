// Gradient surgery on inner products alone, against explicit vectors: PCGrad as the paper's loop
// does it, its closed form for two tasks, CAGrad's optimality, and tasks that take no part.
#include "learner/balance/surgery.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "learner/base/random.h"

namespace millrace {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

std::vector<Vector> draw(int tasks, int size, std::uint64_t seed) {
  std::vector<Vector> gradients;
  for (int k = 0; k < tasks; ++k) {
    Vector& g = gradients.emplace_back();
    for (int i = 0; i < size; ++i) {
      const auto bits = philox(seed, static_cast<std::uint64_t>(k), static_cast<std::uint64_t>(i));
      g.push_back(to_normal(bits[0], bits[1])[0]);
    }
  }
  return gradients;
}

Gram gram_of(const std::vector<Vector>& gradients) {
  Gram gram(static_cast<int>(gradients.size()));
  for (int i = 0; i < gram.tasks(); ++i) {
    for (int j = 0; j < gram.tasks(); ++j) {
      gram(i, j) =
          dot(gradients[static_cast<std::size_t>(i)], gradients[static_cast<std::size_t>(j)]);
    }
  }
  return gram;
}

Vector combine(const std::vector<Vector>& gradients, const Vector& c) {
  Vector sum(gradients[0].size());
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += c[k] * gradients[k][i];
  }
  return sum;
}

TEST(PcGrad, OrthogonalGradientsAreSummed) {
  const Gram gram = gram_of({{2, 0, 0}, {0, 3, 0}, {0, 0, 1}});
  EXPECT_EQ(pcgrad(gram, 1, 1), (Vector{1, 1, 1}));
}

TEST(PcGrad, TwoTasksInConflictHaveAClosedForm) {
  const std::vector<Vector> g{{1, 2, -1}, {-2, 1, 3}};
  const Gram gram = gram_of(g);
  const double c = gram(0, 1);
  ASSERT_LT(c, 0);
  const Vector got = pcgrad(gram, 1, 1);
  EXPECT_NEAR(got[0], 1 - c / gram(0, 0), 1e-12);
  EXPECT_NEAR(got[1], 1 - c / gram(1, 1), 1e-12);
}

// With three tasks the paper's loop on the vectors themselves, for some order of each task's
// others.
TEST(PcGrad, IsThePapersLoopOnVectors) {
  int several = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const std::vector<Vector> g = draw(3, 4, seed);
    const Vector got = combine(g, pcgrad(gram_of(g), 5, seed));
    bool found = false;
    Vector first;
    for (int orders = 0; orders < 8; ++orders) {
      Vector total(4);
      for (std::size_t i = 0; i < 3; ++i) {
        Vector h = g[i];
        std::size_t others[2] = {(i + 1) % 3, (i + 2) % 3};
        if ((orders >> i & 1) != 0) std::swap(others[0], others[1]);
        for (const std::size_t j : others) {
          const double product = dot(h, g[j]);
          if (product >= 0) continue;
          for (std::size_t d = 0; d < 4; ++d) h[d] -= product / dot(g[j], g[j]) * g[j][d];
        }
        for (std::size_t d = 0; d < 4; ++d) total[d] += h[d];
      }
      double apart = 0;
      for (std::size_t d = 0; d < 4; ++d) apart = std::max(apart, std::abs(total[d] - got[d]));
      found |= apart < 1e-9;
      if (orders == 0) first = total;
      if (orders == 7) several += std::abs(total[0] - first[0]) > 1e-6;
    }
    EXPECT_TRUE(found) << seed;
  }
  EXPECT_GT(several, 5) << "orders made no difference";
}

// Of gradients on one line, in conflict, nothing is left; in floats the rounding is, and Adam would
// make whole steps of it.
TEST(PcGrad, WhatRoundingLeavesIsNothing) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<Vector> g = draw(2, 3, seed);
    const double line[2][3] = {{0.3, -0.6, 0.9}, {-0.7, 1.4, -2.1}};
    for (std::size_t k = 0; k < 2; ++k) {
      for (std::size_t i = 0; i < 3; ++i) g[k][i] = line[k][i] * (1 + 6e-8 * g[k][i]);
    }
    EXPECT_EQ(pcgrad(gram_of(g), 1, seed), (Vector{0, 0})) << seed;
  }
}

TEST(PcGrad, TheOrderIsDrawnByTheStep) {
  const std::vector<Vector> g = draw(6, 3, 4);
  const Gram gram = gram_of(g);
  EXPECT_EQ(pcgrad(gram, 1, 8), pcgrad(gram, 1, 8));
  int different = 0;
  for (std::uint64_t step = 0; step < 20; ++step) {
    different += pcgrad(gram, 1, step) != pcgrad(gram, 1, 8);
  }
  EXPECT_GT(different, 10);
}

TEST(CaGrad, TheWorstTasksProgressIsTheMinimum) {
  for (const int tasks : {1, 2, 3, 8, 40}) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const std::vector<Vector> g = draw(tasks, 60, seed);
      const Gram gram = gram_of(g);
      constexpr double kRadius = 0.5;
      const Vector w = cagrad_simplex(gram, kRadius);
      EXPECT_NEAR(std::accumulate(w.begin(), w.end(), 0.0), 1, 1e-9);
      const Vector mean = combine(g, Vector(g.size(), 1.0 / tasks)), gw = combine(g, w);
      const double root = kRadius * std::sqrt(dot(mean, mean));
      const double least = dot(gw, mean) + root * std::sqrt(dot(gw, gw));  // F(w)
      Vector d = mean;
      for (std::size_t i = 0; i < d.size(); ++i) d[i] += root / std::sqrt(dot(gw, gw)) * gw[i];
      double worst = INFINITY;
      for (const Vector& of : g) worst = std::min(worst, dot(of, d));
      EXPECT_NEAR(worst, least, 1e-6 * std::abs(least) + 1e-9) << tasks << ' ' << seed;
      // And the coefficients are of that direction over 1 + r².
      const Vector got = combine(g, cagrad(gram, kRadius));
      for (std::size_t i = 0; i < d.size(); ++i) EXPECT_NEAR(got[i], d[i] / 1.25, 1e-9);
    }
  }
}

// Nothing on a fine grid is below the minimum that was found.
TEST(CaGrad, TwoTasksAreSolvedExactly) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<Vector> g = draw(2, 3, seed);
    const Gram gram = gram_of(g);
    const Vector mean = combine(g, {0.5, 0.5});
    const auto value = [&](double t) {
      const Vector gw = combine(g, {t, 1 - t});
      return dot(gw, mean) + 0.5 * std::sqrt(dot(mean, mean)) * std::sqrt(dot(gw, gw));
    };
    const double found = value(cagrad_simplex(gram, 0.5)[0]);
    for (int i = 0; i <= 1000; ++i) ASSERT_LE(found, value(i / 1000.0) + 1e-9) << seed;
  }
}

TEST(CaGrad, RadiusZeroIsTheMean) {
  const std::vector<Vector> g = draw(4, 9, 3);
  for (const double c : cagrad(gram_of(g), 0)) EXPECT_NEAR(c, 0.25, 1e-12);
}

// Equal and opposite gradients: the mean is zero, and nothing divides by it.
TEST(Surgery, GradientsThatCancelOutStayFinite) {
  const Gram gram = gram_of({{1, 2}, {-1, -2}, {1e-8, 0}});
  for (const Vector& c : {pcgrad(gram, 1, 1), cagrad(gram, 0.5)}) {
    for (const double value : c) EXPECT_TRUE(std::isfinite(static_cast<float>(value)));
  }
  const Gram opposite = gram_of({{3, 0}, {-3, 0}});
  for (const double value : cagrad(opposite, 0.5)) EXPECT_TRUE(std::isfinite(value));
}

// Three tasks on one line, in conflict, as in a batch of one row: a mixture of them is 0. In floats
// something is left of it, whose direction is that of the rounding.
TEST(CaGrad, WhatRoundingLeavesHasNoDirection) {
  const std::vector<Vector> line{{0.3, -0.6, 0.9}, {-0.1, 0.2, -0.3}, {-0.7, 1.4, -2.1}, {4, 3, 1}};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<Vector> g = draw(4, 3, seed);
    for (std::size_t k = 0; k < 4; ++k) {
      for (std::size_t i = 0; i < 3; ++i) g[k][i] = line[k][i] * (1 + 6e-8 * g[k][i]);
    }
    for (const double c : cagrad(gram_of(g), 0.5)) EXPECT_NEAR(c, 0.25 / 1.25, 1e-9) << seed;
  }
}

TEST(Surgery, ATaskWithoutGradientTakesNoPart) {
  const std::vector<Vector> g = draw(3, 4, 9);
  const std::vector<Vector> with{g[0], Vector(4), g[1], g[2]};
  const Gram gram = gram_of(with);
  for (const Vector& c : {pcgrad(gram, 1, 3), cagrad(gram, 0.5)}) EXPECT_EQ(c[1], 0);
  const Vector alone = cagrad(gram_of(g), 0.5), among = cagrad(gram, 0.5);
  EXPECT_NEAR(among[0], alone[0], 1e-9);
  EXPECT_NEAR(among[2], alone[1], 1e-9);
  EXPECT_NEAR(among[3], alone[2], 1e-9);
}

TEST(Surgery, ManyTasksOfAllSizesStayFinite) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    std::vector<Vector> g = draw(128, 50, seed);
    for (std::size_t k = 0; k < g.size(); ++k) {
      const double size = k % 5 < 2 ? 0 : std::pow(10, static_cast<double>(k % 13) - 6);
      for (double& value : g[k]) value *= size;
    }
    const Gram gram = gram_of(g);
    for (const Vector& c : {pcgrad(gram, 1, seed), cagrad(gram, 0.5)}) {
      for (std::size_t k = 0; k < c.size(); ++k) {
        ASSERT_TRUE(std::isfinite(static_cast<float>(c[k])));
        if (k % 5 < 2) {
          ASSERT_EQ(c[k], 0);
        }
      }
    }
  }
}

}  // namespace
}  // namespace millrace
