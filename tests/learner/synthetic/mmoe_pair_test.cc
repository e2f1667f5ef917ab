// MMoE's synthetic pair: the closed form of the labels' correlation against the paper's figure and
// against rows that were drawn, and that rows are what the page says.
#include "learner/synthetic/mmoe_pair.h"

#include <gtest/gtest.h>

#include <cmath>

namespace millrace {
namespace {

struct Moments {
  double n = 0, mean[2] = {0, 0}, square[2] = {0, 0}, both = 0;

  void add(const std::array<double, 2>& y) {
    n += 1;
    for (std::size_t k = 0; k < 2; ++k) {
      mean[k] += y[k];
      square[k] += y[k] * y[k];
    }
    both += y[0] * y[1];
  }
  double variance(int k) const { return square[k] / n - mean[k] / n * mean[k] / n; }
  double correlation() const {
    return (both / n - mean[0] / n * mean[1] / n) / std::sqrt(variance(0) * variance(1));
  }
};

// m = 14, c = 1, α evenly from 1 to 8, β = i: within 0.01 of figure 2 of the paper.
TEST(MmoePair, ClosedFormGivesTheKnownCorrelations) {
  const std::pair<double, double> known[] = {{.5, .078}, {.6, .104},  {.7, .139}, {.8, .192},
                                             {.9, .298}, {.95, .435}, {.98, .651}};
  for (const auto& [p, correlation] : known) {
    EXPECT_NEAR(MmoePair({.correlation = p}).label_correlation(), correlation, 5e-4) << p;
  }
  // Without noise the same weights give the same labels.
  EXPECT_NEAR(MmoePair({.correlation = 1, .noise = 0}).label_correlation(), 1, 1e-12);
}

// Labels depend on x by two inner products alone, so two inputs draw them as well as a hundred do.
TEST(MmoePair, ClosedFormIsWhatRowsShow) {
  constexpr int kRows = 200'000;
  for (const double p : {0.0, 0.5, 0.9, -0.7}) {
    for (const double scale : {1.0, 0.4}) {
      const MmoePair pair({.seed = 3, .dimension = 2, .correlation = p, .scale = scale});
      Moments moments;
      std::vector<float> x(2);
      for (std::uint64_t row = 0; row < kRows; ++row) {
        pair.features(row, x);
        moments.add(pair.labels(row, x));
      }
      const double r = pair.label_correlation(), error = 1 / std::sqrt(kRows);
      EXPECT_NEAR(moments.correlation(), r, 4 * error) << p << ' ' << scale;
      for (const int k : {0, 1}) {
        // A label's kurtosis is 14 at c = 1: √(κ − 1) of the variance's standard error.
        EXPECT_NEAR(moments.variance(k) / pair.label_variance(), 1, 4 * std::sqrt(13.5) * error);
      }
    }
  }
}

TEST(MmoePair, RowsAreAFunctionOfTheirNumberAndInputsNotOfTheCorrelation) {
  const MmoePair one({.dimension = 7, .correlation = 0.5}), two({.dimension = 7, .correlation = 1}),
      other({.seed = 2, .dimension = 7});
  std::vector<float> a(7), b(7), c(7);
  one.features(12, a);
  two.features(12, b);
  other.features(12, c);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  EXPECT_EQ(one.labels(12, a), one.labels(12, a));
  EXPECT_EQ(one.labels(12, a)[0], two.labels(12, a)[0]);  // w₁ does not know p
  EXPECT_NE(one.labels(12, a)[1], two.labels(12, a)[1]);
  one.features(13, b);
  EXPECT_NE(a, b);
  double sum = 0, squares = 0;
  std::vector<float> x(7);
  for (std::uint64_t row = 0; row < 20'000; ++row) {
    one.features(row, x);
    for (const float value : x) sum += double{value}, squares += double{value} * double{value};
  }
  EXPECT_NEAR(sum / 140'000, 0, 0.012);
  EXPECT_NEAR(squares / 140'000, 1, 0.016);
}

}  // namespace
}  // namespace millrace
