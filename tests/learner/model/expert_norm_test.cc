// Experts that are normalised by running statistics: what a batch leaves for them, and what they
// become of it. (Gradients are in model_test.cc and step_gradients_test.cc.)
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "learner/device/devices.h"
#include "learner/math/running_mean.h"
#include "learner/model/model.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

constexpr int B = 7, D = 4, T = 2;
constexpr int kHidden = 5, kUnits = 3;

class ExpertNorm : public ::testing::TestWithParam<BackboneKind> {
 protected:
  ExpertNorm() { model.initialise(3, weights); }

  static ModelOptions options() {
    ModelOptions options;
    options.backbone = GetParam();
    options.experts = 2;
    options.task_experts = options.shared_experts = 1;
    options.levels = 2;
    options.expert_layers = {kHidden, kUnits};
    options.tower_layers = {};
    options.expert_norm = true;
    return options;
  }
  const ParameterSlot& slot(const std::string& name) const {
    const auto at = std::find_if(model.parameters().begin(), model.parameters().end(),
                                 [&](const ParameterSlot& s) { return s.name == name; });
    EXPECT_NE(at, model.parameters().end()) << name;
    return *at;
  }
  double at(const std::vector<double>& block, const std::string& name, int c, int r = 0) const {
    const ParameterSlot& s = slot(name);
    return block[static_cast<std::size_t>(s.offset + r * s.stride + c)];
  }
  /// What the last layer of an expert that reads x makes of row r, before the norm.
  double last(const std::string& expert, const Matrix<double>& x, int r, int unit) const {
    double sum = at(weights, expert + ".layer.1.bias", unit);
    for (int h = 0; h < kHidden; ++h) {
      double hidden = at(weights, expert + ".layer.0.bias", h);
      for (int d = 0; d < D; ++d) {
        hidden += x(r, d) * at(weights, expert + ".layer.0.weight", h, d);
      }
      sum += std::max(0.0, hidden) * at(weights, expert + ".layer.1.weight", unit, h);
    }
    return sum;
  }
  std::string lowest() const {
    const bool ple = GetParam() == BackboneKind::kPle;
    return std::string(ple ? "level.0." : "") + "expert.0";
  }
  /// The batch's passes, two tiles, and what they leave in the gradients.
  std::vector<double> pass_over(const Matrix<double>& x, const std::vector<float>& row_weights,
                                bool training = true) {
    std::vector<double> gradients(weights.size(), 7);  // to be overwritten
    Matrix<double> z(B, T);
    const Matrix<double> dz(B, T, 9);
    for (const auto& [first, count] : {std::pair(0, 4), std::pair(4, B - 4)}) {
      const Pass pass{.training = training,
                      .row_weights = std::span(row_weights)
                                         .subspan(static_cast<std::size_t>(first),
                                                  static_cast<std::size_t>(count))};
      const View<const double> rows = x.view().rows_from(first, count);
      model.forward(weights.data(), rows, *work, z.view().rows_from(0, count), pass);
      model.backward(weights.data(), rows, *work, dz.view().rows_from(first, count),
                     gradients.data(), first > 0, {});
    }
    return gradients;
  }

  std::unique_ptr<Backend<double>> cpu = open_device<double>("cpu");
  Model<double> model{D, 0, T, options()};
  std::unique_ptr<Model<double>::Workspace> work = model.workspace(*cpu, B);
  std::vector<double> weights =
      std::vector<double>(static_cast<std::size_t>(model.parameter_count()));
  const std::vector<float> row_weights{1, 0, 2, 1, 1, 0, 1};
};

TEST_P(ExpertNorm, FollowsTheRowsThatWeighSomething) {
  if (GetParam() == BackboneKind::kStem) return;  // whose experts read other columns
  double mean[kUnits] = {}, variance[kUnits] = {1, 1, 1}, count = 64;
  const std::string expert = lowest();
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Matrix<double> x(B, D, seed);
    for (double& value : x.values) value += static_cast<double>(seed);
    const double share = math::running_share(count, 5, 2560);
    count += 5;
    for (int u = 0; u < kUnits; ++u) {
      double sum = 0, squares = 0;
      for (const int r : {0, 2, 3, 4, 6}) sum += last(expert, x, r, u) / 5;
      for (const int r : {0, 2, 3, 4, 6}) squares += std::pow(last(expert, x, r, u) - sum, 2) / 5;
      variance[u] =
          (1 - share) * (variance[u] + share * std::pow(sum - mean[u], 2)) + share * squares;
      mean[u] += share * (sum - mean[u]);
    }
    std::vector<double> gradients = pass_over(x, row_weights);
    model.follow(gradients.data(), 5, std::vector<std::uint8_t>(T, 1), weights.data());
    for (int u = 0; u < kUnits; ++u) {
      EXPECT_NEAR(at(weights, expert + ".layer.1.mean", u), mean[u], 1e-12);
      EXPECT_NEAR(at(weights, expert + ".layer.1.variance", u), variance[u], 1e-12);
    }
    EXPECT_NEAR(at(weights, expert + ".layer.1.known", 0), count / 2560, 1e-15);
    // Nothing is left that an optimiser could take for a gradient.
    for (const ParameterSlot& slot : fixed_slots(model.parameters())) {
      for (int c = 0; c < slot.cols; ++c) EXPECT_EQ(at(gradients, slot.name, c), 0) << slot.name;
    }
  }
}

// One row has no deviation: what a store begins with must not take it for one.
TEST_P(ExpertNorm, BeginsWithABatchOfOneRow) {
  const std::vector<float> one{0, 0, 0, 1, 0, 0, 0};
  std::vector<double> gradients = pass_over(Matrix<double>(B, D, 6), one);
  model.follow(gradients.data(), 1, std::vector<std::uint8_t>(T, 1), weights.data());
  for (const ParameterSlot& slot : fixed_slots(model.parameters())) {
    if (!slot.name.ends_with(".variance")) continue;
    for (int c = 0; c < slot.cols; ++c) EXPECT_GT(at(weights, slot.name, c), 0.9) << slot.name;
  }
}

TEST_P(ExpertNorm, IsLeftAloneByRowsThatAreScored) {
  const std::vector<double> gradients = pass_over(Matrix<double>(B, D, 4), row_weights, false);
  int found = 0;
  for (const ParameterSlot& slot : fixed_slots(model.parameters())) {
    for (int c = 0; c < slot.cols; ++c) EXPECT_EQ(at(gradients, slot.name, c), 0) << slot.name;
    ++found;
  }
  EXPECT_GT(found, 0);
}

// A frozen task's own experts keep theirs; all others move.
TEST_P(ExpertNorm, StaysWithATaskThatDoesNotLearn) {
  std::vector<double> gradients = pass_over(Matrix<double>(B, D, 5), row_weights);
  const std::vector<double> before = weights;
  model.follow(gradients.data(), 5, std::vector<std::uint8_t>{0, 1}, weights.data());
  for (const ParameterSlot& slot : fixed_slots(model.parameters())) {
    const bool same = at(weights, slot.name, 0) == at(before, slot.name, 0);
    EXPECT_EQ(same, slot.task == 0) << slot.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Backbones, ExpertNorm,
                         ::testing::Values(BackboneKind::kMmoe, BackboneKind::kCgc,
                                           BackboneKind::kPle, BackboneKind::kStem),
                         [](const auto& info) { return std::string(choice_name(info.param)); });

}  // namespace
}  // namespace millrace
