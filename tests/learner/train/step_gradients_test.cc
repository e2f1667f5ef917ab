// The whole step as one function: x → towers → chains and losses → L_k → Σ_k ω_k L_k, in double by
// the code that trains in float. The gradient of every parameter, and of x, of every loss and of
// what a balancer or surgery makes of them, against central differences, for every backbone with
// every kind of head.
#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "learner/balance/balancer.h"
#include "learner/balance/surgery.h"
#include "learner/device/devices.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
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
  add("mmoe_norm", [](ModelOptions& options) { options.expert_norm = true; });
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
  add_backbone("ple_norm", BackboneKind::kPle,
               [](ModelOptions& options) { options.expert_norm = true; });
  add_backbone("ple_shared_gate", BackboneKind::kPle,
               [](ModelOptions& options) { options.shared_gate = SharedGate::kShared; });
  add_backbone("ple_no_gate", BackboneKind::kPle,
               [](ModelOptions& options) { options.shared_gate = SharedGate::kNone; });
  add_backbone("shared_specific", BackboneKind::kSharedSpecific, [](ModelOptions&) {});
  add_backbone("separate", BackboneKind::kSeparate, [](ModelOptions&) {});
  add_backbone("learned_mix", BackboneKind::kSharedSpecific,
               [](ModelOptions& options) { options.shared_mix = SharedMix::kLearned; });
  add_backbone("stem", BackboneKind::kStem, [](ModelOptions&) {});
  add_backbone("stem_norm", BackboneKind::kStem,
               [](ModelOptions& options) { options.expert_norm = true; });
  add_backbone("stem_own_gate_input", BackboneKind::kStem, [](ModelOptions& options) {
    options.stem_gate_input = StemGateInput::kOwn;
    options.gate_layers = {4};
  });
  add("temperatures", [](ModelOptions& options) { options.learn_temperature = true; });
  add_backbone("measured_mix", BackboneKind::kSharedSpecific,
               [](ModelOptions& options) { options.shared_mix = SharedMix::kMeasured; });
  add_backbone("flat", BackboneKind::kCgc, [](ModelOptions& options) {
    options.expert_layers = {4};
    options.tower_layers = {};
  });
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

std::vector<std::pair<std::string, BalanceOptions>> balancers() {
  std::vector<std::pair<std::string, BalanceOptions>> balancers;
  const auto add = [&](std::string name, BalanceMethod method, auto&& change) {
    BalanceOptions& options = balancers.emplace_back(std::move(name), BalanceOptions{}).second;
    options.method = method;
    options.window = 2;
    change(options);
  };
  const auto as_usual = [](BalanceOptions&) {};
  add("fixed", BalanceMethod::kFixed, [](BalanceOptions& options) { options.weights["a"] = 3; });
  add("decay", BalanceMethod::kFixed, [](BalanceOptions& options) {
    options.decay = {{"a", 0.7}, {"click", 1.2}};
  });
  add("uncertainty", BalanceMethod::kUncertainty, as_usual);
  add("raw", BalanceMethod::kUncertainty,
      [](BalanceOptions& options) { options.uncertainty.raw = true; });
  add("half", BalanceMethod::kUncertainty,
      [](BalanceOptions& options) { options.uncertainty.half_for_all = true; });
  add("gradnorm", BalanceMethod::kGradnorm, as_usual);
  add("dwa", BalanceMethod::kDwa, as_usual);
  add("dtp", BalanceMethod::kDtp, as_usual);
  add("performance", BalanceMethod::kPerformance, as_usual);
  add("random", BalanceMethod::kRandom, as_usual);
  return balancers;
}

using Case = std::tuple<NamedModel, NamedTasks>;
using Values = std::vector<double>;

class StepGradients : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int B = 7, kNotTrained = -2;

  StepGradients() {
    draw_weights(12, 1);
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
    scale_by(Values(static_cast<std::size_t>(T), 1));
  }

  static const ModelOptions& options() { return std::get<0>(GetParam()).options; }
  static bool is_stem() { return options().backbone == BackboneKind::kStem; }

  /// Four numbers, and an embedding of two values (of STEM: of two in each part).
  static Schema make_schema() {
    Feature item, dense;
    item.name = "item";
    item.dimension = 2;
    dense.name = "dense";
    dense.kind = FeatureKind::kDense;
    dense.width = 4;
    return input_schema({{item, dense}, std::get<1>(GetParam()).tasks}, options());
  }

  /// All weights random, biases and gates too.
  void draw_weights(std::uint64_t seed, double deviation) {
    weights = Matrix<double>(1, weights.cols, seed);
    for (double& weight : weights.values) weight *= deviation;
    for (const ParameterSlot& slot : fixed_slots(model.parameters())) {
      if (!slot.name.ends_with(".variance")) continue;
      for (int c = 0; c < slot.cols; ++c) {
        double& variance = weights.values[static_cast<std::size_t>(slot.offset + c)];
        variance = std::abs(variance) + 0.2;
      }
    }
  }

  void scale_by(const Values& omega) {
    scale.resize(omega.size());
    for (std::size_t k = 0; k < omega.size(); ++k) scale[k] = omega[k] / losses.counts()[k];
  }

  /// L_k of the logits in z; leaves the slopes of Σ_k ω_k L_k in dz.
  Values losses_of(View<const double> logits) {
    losses.run<double>(0, logits, scale, feedback, dz);
    Values all;
    for (const TaskLoss& loss : losses.sums()) all.push_back(loss.sum / loss.count);
    return all;
  }
  Values forward() {
    model.forward(weights.values.data(), x, *work, z);
    return losses_of(z);
  }

  /// Central differences of every L_k in `values`, by loss. moves[i] is the one task whose logit
  /// values[i] may move, −1: all; kNotTrained: it has no slope. Slopes that do not pass to other
  /// tasks' experts (STEM) are those of a step in which the others' logits stay.
  std::vector<Values> slopes_by_loss(Values& values, const std::vector<int>& moves, double step) {
    forward();
    const Matrix<double> still = z;
    std::vector<Values> found(static_cast<std::size_t>(T), Values(values.size()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double before = values[i];
      Values sides[2];
      for (const int side : {0, 1}) {
        values[i] = before + (side == 0 ? -step : step);
        model.forward(weights.values.data(), x, *work, z);
        for (int k = 0; k < T; ++k) {
          for (int r = 0; moves[i] >= 0 && k != moves[i] && r < B; ++r) z(r, k) = still(r, k);
        }
        sides[side] = losses_of(z);
      }
      values[i] = before;
      if (moves[i] == kNotTrained) continue;
      for (std::size_t k = 0; k < found.size(); ++k) {
        found[k][i] = (sides[1][k] - sides[0][k]) / (2 * step);
      }
    }
    return found;
  }

  std::vector<int> weight_moves() const {
    std::vector<int> moves(weights.values.size(), -1);
    for (const ParameterSlot& slot : model.parameters()) {
      for (int r = 0; r < slot.rows; ++r) {
        const int of = !slot.trained ? kNotTrained : is_stem() ? slot.task : -1;
        std::fill_n(moves.begin() + slot.offset + r * slot.stride, slot.cols, of);
      }
    }
    return moves;
  }
  /// The embedding's columns of x, its tasks' parts first.
  int embedded() const { return D - 4; }
  std::vector<int> input_moves() const {
    std::vector<int> moves;
    for (int r = 0; r < B; ++r) {
      for (int d = 0; d < D; ++d) {
        moves.push_back(is_stem() && d < 2 * T ? d / 2 : -1);
      }
    }
    return moves;
  }

  Values gradients_of(int loss, Values& dx_of) {
    forward();
    Matrix<double> gradients(1, weights.cols), dx(B, D, 15);
    Matrix<double> own(B, T);
    const double before = scale[static_cast<std::size_t>(loss)];
    std::fill(scale.begin(), scale.end(), 0.0);
    scale[static_cast<std::size_t>(loss)] = 1 / losses.counts()[static_cast<std::size_t>(loss)];
    losses.run<double>(0, z, scale, feedback, own);
    scale[static_cast<std::size_t>(loss)] = before;
    model.backward_loss(weights.values.data(), x, *work, {own, losses.towers(loss)},
                        gradients.values.data(), true, dx);
    dx_of = dx.values;
    return gradients.values;
  }

  const Schema schema = make_schema();
  const int T = static_cast<int>(schema.tasks().size());
  std::unique_ptr<Backend<double>> cpu = open_device<double>("cpu");
  Model<double> model{schema, options()};
  const int D = model.inputs();
  std::unique_ptr<Model<double>::Workspace> work = model.workspace(*cpu, B);
  Matrix<double> weights{1, static_cast<int>(model.parameter_count())};
  Matrix<double> x{B, D, 22}, z{B, T}, dz{B, T};
  Batch batch = empty_batch(schema, Stream::kMatured);
  TaskLosses losses{schema, B};
  FeedbackHeads feedback{schema, FeedbackOptions{}, D, B, 1, B, 1};
  Values scale;
};

// ‖a − b‖ / ‖b‖
double relative(const Values& a, const Values& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
}

// From central differences of steps 2h and h to those without their error in h².
void extrapolate(const std::vector<Values>& wide, std::vector<Values>& narrow) {
  for (std::size_t k = 0; k < narrow.size(); ++k) {
    for (std::size_t i = 0; i < narrow[k].size(); ++i) {
      narrow[k][i] = (4 * narrow[k][i] - wide[k][i]) / 3;
    }
  }
}

Values values_of(const ParameterSlot& slot, const Values& block) {
  Values values;
  for (int r = 0; r < slot.rows; ++r) {
    const auto row = block.begin() + slot.offset + r * slot.stride;
    values.insert(values.end(), row, row + slot.cols);
  }
  return values;
}

// The first `width` columns of rows of `D`.
Values columns_of(const Values& rows, int D, int width) {
  Values columns;
  for (std::size_t row = 0; row < rows.size(); row += static_cast<std::size_t>(D)) {
    const auto from = rows.begin() + static_cast<std::ptrdiff_t>(row);
    columns.insert(columns.end(), from, from + width);
  }
  return columns;
}

Values mixed(const std::vector<Values>& parts, std::span<const double> shares) {
  Values sum(parts[0].size());
  for (std::size_t k = 0; k < parts.size(); ++k) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += shares[k] * parts[k][i];
  }
  return sum;
}

// The weights that a balancer comes to in a few steps of losses, norms and figures like these.
Values weights_after(const BalanceOptions& options, const std::vector<Task>& tasks,
                     const Values& losses) {
  const auto balancer = make_balancer(options, tasks, 5);
  Values norms, figures;
  for (std::size_t k = 0; k < tasks.size(); ++k) {
    norms.push_back(0.3 + static_cast<double>(k));
    figures.push_back(0.6 + 0.1 * static_cast<double>(k));
  }
  for (int step = 0; step < 9; ++step) {
    std::vector<TaskLoss> sums;
    for (std::size_t k = 0; k < tasks.size(); ++k) {
      sums.push_back({losses[k] / (1 + static_cast<double>(k * step)) * 5, 5});
    }
    balancer->step({sums, norms, figures});
  }
  return {balancer->weights().begin(), balancer->weights().end()};
}

// Against central differences of two steps, extrapolated to a step of 0 (Richardson), for weights
// for which the two agree: no unit is near its kink. The differences alone choose the weights.
TEST_P(StepGradients, MatchCentralDifferences) {
  constexpr double kStep = 1e-4;
  const std::vector<int> moves = weight_moves();
  std::vector<Values> expected;
  bool smooth = false;
  for (std::uint64_t seed = 12; seed < 60 && !smooth; ++seed) {
    draw_weights(seed, 0.6);  // a count's loss is exponential
    const std::vector<Values> wide = slopes_by_loss(weights.values, moves, 2 * kStep);
    expected = slopes_by_loss(weights.values, moves, kStep);
    smooth = true;
    for (std::size_t k = 0; k < expected.size(); ++k)
      smooth &= relative(wide[k], expected[k]) < 1e-6;
    extrapolate(wide, expected);
  }
  ASSERT_TRUE(smooth);
  const std::vector<Values> wide_dx = slopes_by_loss(x.values, input_moves(), 2 * kStep);
  std::vector<Values> expected_dx = slopes_by_loss(x.values, input_moves(), kStep);
  extrapolate(wide_dx, expected_dx);
  // Of what no embedding is the slopes that a STEM holds back stay unknown, and nobody reads them.
  const int width = is_stem() ? embedded() : D;
  for (Values& of : expected_dx) of = columns_of(of, D, width);

  std::vector<Values> by_loss(static_cast<std::size_t>(T)), dx_by_loss = by_loss;
  for (int k = 0; k < T; ++k) {
    const auto at = static_cast<std::size_t>(k);
    by_loss[at] = gradients_of(k, dx_by_loss[at]);
    dx_by_loss[at] = columns_of(dx_by_loss[at], D, width);
    EXPECT_LT(relative(by_loss[at], expected[at]), 1e-6) << "loss " << k;
    EXPECT_LT(relative(dx_by_loss[at], expected_dx[at]), 1e-6) << "loss " << k;
  }
  scale_by(Values(static_cast<std::size_t>(T), 1));
  const Values now = forward();
  for (const auto& [name, options] : balancers()) {
    const Values omega = weights_after(options, schema.tasks(), now);
    scale_by(omega);
    forward();
    Matrix<double> gradients(1, weights.cols, 14), dx(B, D, 15);  // to be overwritten
    model.backward(weights.values.data(), x, *work, dz, gradients.values.data(), false, dx);
    const Values want = mixed(expected, omega);
    for (const ParameterSlot& slot : model.parameters()) {
      if (!slot.trained) continue;
      EXPECT_LT(relative(values_of(slot, gradients.values), values_of(slot, want)), 1e-6)
          << name << ' ' << slot.name;
    }
    EXPECT_LT(relative(columns_of(dx.values, D, width), mixed(expected_dx, omega)), 1e-6) << name;
  }
  // Surgery acts on the losses' gradients of what is shared.
  const auto gram_of = [&](const std::vector<Values>& of, const std::vector<Values>& dx_of) {
    Gram gram(T);
    for (int i = 0; i < T; ++i) {
      for (int j = 0; j < T; ++j) {
        const auto a = static_cast<std::size_t>(i), b = static_cast<std::size_t>(j);
        double sum = std::inner_product(dx_of[a].begin(), dx_of[a].end(), dx_of[b].begin(), 0.0);
        for (const ParameterSlot& slot : model.parameters()) {
          if (slot.task >= 0 || !slot.trained) continue;
          const Values first = values_of(slot, of[a]), second = values_of(slot, of[b]);
          sum += std::inner_product(first.begin(), first.end(), second.begin(), 0.0);
        }
        gram(i, j) = sum;
      }
    }
    return gram;
  };
  const Gram got = gram_of(by_loss, dx_by_loss), want = gram_of(expected, expected_dx);
  for (std::uint64_t step = 0; step < 4; ++step) {
    EXPECT_LT(
        relative(mixed(by_loss, pcgrad(got, 1, step)), mixed(expected, pcgrad(want, 1, step))),
        1e-6);
  }
  EXPECT_LT(relative(mixed(by_loss, cagrad(got, 0.5)), mixed(expected, cagrad(want, 0.5))), 1e-6);
}

// The same step in float, as it is trained.
TEST_P(StepGradients, FloatIsNear) {
  Matrix<double> gradients(1, weights.cols), dx(B, D);
  forward();
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

  const Values got(gradient.values.begin(), gradient.values.end());
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
