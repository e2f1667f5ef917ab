// The whole step as one function: x → towers → chains and losses → Σ_k ω_k L_k / N_k, in double by
// the code that trains in float. The gradient of every parameter, and of x, against central
// differences, for every backbone with every kind of head.
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "learner/device/devices.h"
#include "learner/model/model.h"
#include "learner/train/feedback_heads.h"
#include "learner/train/task_losses.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

struct NamedModel {
  std::string name;
  ModelOptions options;
};

ModelOptions small_model() {
  ModelOptions options;
  options.experts = 3;
  options.expert_layers = {5, 4};
  options.tower_layers = {3};
  return options;
}

std::vector<NamedModel> models() {
  std::vector<NamedModel> models;
  const auto add = [&](std::string name, auto&& change) {
    change(models.emplace_back(NamedModel{std::move(name), small_model()}).options);
  };
  add("mmoe", [](ModelOptions&) {});
  add("mmoe_deep_gates", [](ModelOptions& options) { options.gate_layers = {4}; });
  add("one_gate", [](ModelOptions& options) { options.one_gate = options.gate_bias = true; });
  const auto add_backbone = [&](std::string name, BackboneKind kind, auto&& change) {
    add(std::move(name), [&](ModelOptions& options) {
      options.backbone = kind;
      change(options);
    });
  };
  add_backbone("shared_bottom", BackboneKind::kSharedBottom, [](ModelOptions&) {});
  add_backbone("cgc", BackboneKind::kCgc, [](ModelOptions&) {});
  add_backbone("ple", BackboneKind::kPle, [](ModelOptions&) {});
  add_backbone("ple_shared_gate", BackboneKind::kPle,
               [](ModelOptions& options) { options.shared_gate = SharedGate::kShared; });
  add_backbone("ple_no_gate", BackboneKind::kPle,
               [](ModelOptions& options) { options.shared_gate = SharedGate::kNone; });
  add_backbone("shared_specific", BackboneKind::kSharedSpecific, [](ModelOptions&) {});
  add_backbone("learned_mix", BackboneKind::kSharedSpecific,
               [](ModelOptions& options) { options.shared_mix = SharedMix::kLearned; });
  return models;
}

struct NamedTasks {
  std::string name;
  std::vector<Task> tasks;
};

Task task(std::string name, TaskKind kind = TaskKind::kBinary, int given = -1,
          bool entire_space = false) {
  Task task;
  task.name = std::move(name);
  task.kind = kind;
  task.given = given;
  task.entire_space = entire_space;
  return task;
}

Task huber(std::string name, double delta) {
  Task huber = task(std::move(name), TaskKind::kRegression);
  huber.loss = RegressionLoss::kHuber;
  huber.delta = delta;
  return huber;
}

std::vector<NamedTasks> heads() {
  return {
      {"binary", {task("a"), task("b")}},
      {"regression", {task("a", TaskKind::kRegression), task("b")}},
      {"chain",
       {task("click"), task("cart", TaskKind::kBinary, 0, true),
        task("buy", TaskKind::kBinary, 1, true)}},
      {"count", {task("a", TaskKind::kCount), task("b", TaskKind::kDuration)}},
      {"huber", {huber("a", 0.3), huber("b", 3)}},
      {"condition",
       {task("click"), task("like", TaskKind::kBinary, 0),
        task("dwell", TaskKind::kRegression, 0)}},
  };
}

using Case = std::tuple<NamedModel, NamedTasks>;

class StepGradients : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int B = 7, D = 6;

  StepGradients() {
    batch.rows = B;
    const Matrix<double> draws(B, T, 31);
    for (int i = 0; i < B; ++i) {
      batch.weights.push_back(i % 3 == 1 ? 2.5F : 1.0F);
      for (int k = 0; k < T; ++k) {
        const TaskKind kind = schema.tasks()[static_cast<std::size_t>(k)].kind;
        const bool binary = kind == TaskKind::kBinary;
        const double value = kind == TaskKind::kRegression ? draws(i, k) : std::abs(draws(i, k));
        const bool missing = (i + k) % 5 == 4;
        batch.labels.push_back(missing  ? NAN
                               : binary ? static_cast<float>(draws(i, k) > 0)
                                        : static_cast<float>(value));
        batch.condition.push_back(1);
      }
    }
    losses.begin(batch);
    for (int k = 0; k < T; ++k) {
      scale.push_back((0.5 + k) / losses.counts()[static_cast<std::size_t>(k)]);
    }
  }

  static Schema make_schema() {
    Feature dense;
    dense.name = "dense";
    dense.kind = FeatureKind::kDense;
    dense.width = D;
    return {{dense}, std::get<1>(GetParam()).tasks};
  }

  /// Σ_k ω_k L_k; leaves its slope in the logits in dz.
  double loss() {
    model.forward(weights.values.data(), x, *work, z);
    losses.run<double>(0, z, scale, feedback, dz);
    double sum = 0;
    for (int k = 0; k < T; ++k) {
      const auto at = static_cast<std::size_t>(k);
      sum += scale[at] * losses.sums()[at].sum;
    }
    return sum;
  }

  const Schema schema = make_schema();
  const int T = static_cast<int>(schema.tasks().size());
  std::unique_ptr<Backend<double>> cpu = open_device<double>("cpu");
  Model<double> model{schema, std::get<0>(GetParam()).options};
  std::unique_ptr<Model<double>::Workspace> work = model.workspace(*cpu, B);
  /// All weights random, biases and gates too.
  Matrix<double> weights{1, static_cast<int>(model.parameter_count()), 12};
  Matrix<double> x{B, D, 22}, z{B, T}, dz{B, T};
  Batch batch = empty_batch(schema, Stream::kMatured);
  TaskLosses losses{schema, B};
  FeedbackHeads feedback{schema, FeedbackOptions{}, D, B, 1, B, 1};
  std::vector<double> scale;
};

// ‖a − b‖ / ‖b‖
double relative(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
}

// From central differences of steps 2h and h to those without their error in h².
void extrapolate(const std::vector<double>& wide, std::vector<double>& narrow) {
  for (std::size_t i = 0; i < narrow.size(); ++i) narrow[i] = (4 * narrow[i] - wide[i]) / 3;
}

std::vector<double> values_of(const ParameterSlot& slot, const std::vector<double>& block) {
  std::vector<double> values;
  for (int r = 0; r < slot.rows; ++r) {
    const auto row = block.begin() + slot.offset + r * slot.stride;
    values.insert(values.end(), row, row + slot.cols);
  }
  return values;
}

// Against central differences of two steps, extrapolated to a step of 0 (Richardson), for weights
// for which the two agree: no unit is near its kink. The differences alone choose the weights.
TEST_P(StepGradients, MatchCentralDifferences) {
  constexpr double kStep = 1e-4;
  const auto slopes_of = [&](std::vector<double>& values, double step) {
    return slopes(
        values, [&] { return loss(); }, step);
  };
  std::vector<double> expected;
  bool smooth = false;
  for (std::uint64_t seed = 12; seed < 60 && !smooth; ++seed) {
    weights = Matrix<double>(1, weights.cols, seed);
    for (double& weight : weights.values) weight *= 0.6;  // a count's loss is exponential
    const std::vector<double> wide = slopes_of(weights.values, 2 * kStep);
    expected = slopes_of(weights.values, kStep);
    smooth = relative(wide, expected) < 1e-6;
    extrapolate(wide, expected);
  }
  ASSERT_TRUE(smooth);
  const std::vector<double> wide_dx = slopes_of(x.values, 2 * kStep);
  std::vector<double> expected_dx = slopes_of(x.values, kStep);
  extrapolate(wide_dx, expected_dx);
  Matrix<double> gradients(1, weights.cols, 14), dx(B, D, 15);  // to be overwritten
  loss();
  model.backward(weights.values.data(), x, *work, dz, gradients.values.data(), false, dx);
  for (const ParameterSlot& slot : model.parameters()) {
    EXPECT_LT(relative(values_of(slot, gradients.values), values_of(slot, expected)), 1e-6)
        << slot.name;
  }
  EXPECT_LT(relative(dx.values, expected_dx), 1e-6);
}

// The same step in float, as it is trained.
TEST_P(StepGradients, FloatIsNear) {
  Matrix<double> gradients(1, weights.cols), dx(B, D);
  loss();
  model.backward(weights.values.data(), x, *work, dz, gradients.values.data(), false, dx);

  const auto float_cpu = open_device<float>("cpu");
  const Model<float> float_model(schema, std::get<0>(GetParam()).options);
  const auto float_work = float_model.workspace(*float_cpu, B);
  Matrix<float> w(1, weights.cols), in(B, D), out(B, T), slope(B, T), gradient(1, weights.cols),
      din(B, D);
  std::copy(weights.values.begin(), weights.values.end(), w.values.begin());
  std::copy(x.values.begin(), x.values.end(), in.values.begin());
  float_model.forward(w.values.data(), in, *float_work, out);
  losses.run<float>(0, out, scale, feedback, slope);
  float_model.backward(w.values.data(), in, *float_work, slope, gradient.values.data(), false, din);

  const std::vector<double> got(gradient.values.begin(), gradient.values.end());
  for (const ParameterSlot& slot : model.parameters()) {
    EXPECT_LT(relative(values_of(slot, got), values_of(slot, gradients.values)), 1e-3) << slot.name;
  }
  EXPECT_LT(relative({din.values.begin(), din.values.end()}, dx.values), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Steps, StepGradients,
                         ::testing::Combine(::testing::ValuesIn(models()),
                                            ::testing::ValuesIn(heads())),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + "_" + std::get<1>(info.param).name;
                         });

}  // namespace
}  // namespace millrace
