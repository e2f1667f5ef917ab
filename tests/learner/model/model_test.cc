// What a model must do whatever its shape: exact gradients of all weights and inputs, in double
// against central differences; gates that sum to 1; a context computed once that changes nothing.
#include "learner/model/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "learner/device/devices.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

struct Shape {
  const char* name;
  int experts;
  std::vector<int> expert_layers, gate_layers, tower_layers;
  int tasks;
  void (*change)(ModelOptions&) = nullptr;
};

ModelOptions options_of(const Shape& shape) {
  ModelOptions options;
  options.experts = shape.experts;
  options.expert_layers = shape.expert_layers;
  options.gate_layers = shape.gate_layers;
  options.tower_layers = shape.tower_layers;
  if (shape.change != nullptr) shape.change(options);
  return options;
}

void one_gate(ModelOptions& options) { options.one_gate = true; }
void gate_bias(ModelOptions& options) { options.gate_bias = true; }
void tempered(ModelOptions& options) { options.gate_temperature = 0.6; }
void learned_temperature(ModelOptions& options) { options.learn_temperature = true; }
void cgc(ModelOptions& options) { options.backbone = BackboneKind::kCgc; }
void ple(ModelOptions& options) {
  options.backbone = BackboneKind::kPle;
  options.shared_experts = 3;
}
void ple_three(ModelOptions& options) {
  options.backbone = BackboneKind::kPle;
  options.levels = 3;
  options.task_experts = 1;
}
void ple_shared(ModelOptions& options) {
  ple(options);
  options.levels = 3;
  options.shared_gate = SharedGate::kShared;
}
void ple_none(ModelOptions& options) {
  ple(options);
  options.levels = 3;
  options.shared_gate = SharedGate::kNone;
}

void ple_temperature(ModelOptions& options) {
  ple(options);
  options.learn_temperature = true;
}
void cgc_tempered(ModelOptions& options) {
  cgc(options);
  options.gate_temperature = 0.6;
}

void expert_norm(ModelOptions& options) { options.expert_norm = true; }
void cgc_norm(ModelOptions& options) {
  cgc(options);
  options.expert_norm = true;
}
void ple_norm(ModelOptions& options) {
  ple(options);
  options.expert_norm = true;
}

void shared_bottom(ModelOptions& options) { options.backbone = BackboneKind::kSharedBottom; }
void concat(ModelOptions& options) { options.backbone = BackboneKind::kSharedSpecific; }
void separate(ModelOptions& options) { options.backbone = BackboneKind::kSeparate; }
void measured(ModelOptions& options) {
  concat(options);
  options.shared_mix = SharedMix::kMeasured;
}
void learned(ModelOptions& options) {
  concat(options);
  options.shared_mix = SharedMix::kLearned;
}

class ModelTest : public ::testing::TestWithParam<Shape> {
 protected:
  static constexpr int B = 5, D = 6, C = 2;
  const int T = GetParam().tasks;
  std::unique_ptr<Backend<double>> cpu = open_device<double>("cpu");
  Model<double> model{D, C, T, options_of(GetParam())};
  std::unique_ptr<Model<double>::Workspace> work = model.workspace(*cpu, B + 2);
  /// All weights random, biases and gates too, so that no gradient is zero by accident. (With this
  /// seed no unit is within a difference's step of its kink.)
  Matrix<double> weights{1, static_cast<int>(model.parameter_count()), 12};
  Matrix<double> x{B, D, 22}, z{B, T}, dz{B, T, 23};

  ModelTest() {
    for (const ParameterSlot& slot : model.parameters()) {
      if (!slot.name.ends_with(".variance")) continue;
      for (int c = 0; c < slot.cols; ++c) {
        double& variance = weights.values[static_cast<std::size_t>(slot.offset + c)];
        variance = std::abs(variance) + 0.2;
      }
    }
  }

  /// Whose gates are given, here at random.
  bool has_measured() const {
    const std::vector<ParameterSlot> fixed = fixed_slots(model.parameters());
    return !fixed.empty() && fixed[0].name.starts_with("similarity");
  }
  /// The gradients of what is trained; 0 elsewhere.
  std::vector<double> of_trained(std::vector<double> slopes) const {
    for (const ParameterSlot& slot : fixed_slots(model.parameters())) {
      for (int r = 0; r < slot.rows; ++r) {
        std::fill_n(slopes.begin() + slot.offset + r * slot.stride, slot.cols, 0.0);
      }
    }
    return slopes;
  }

  /// What is nobody's in a block of gradients is 0, as in the block of weights.
  void clear_gaps(Matrix<double>& gradients) const {
    std::vector<double> kept(gradients.values.size());
    for (const ParameterSlot& slot : model.parameters()) {
      for (int r = 0; r < slot.rows; ++r) {
        const auto row = slot.offset + r * slot.stride;
        std::copy_n(gradients.values.begin() + row, slot.cols, kept.begin() + row);
      }
    }
    gradients.values = kept;
  }

  double loss() {
    model.forward(weights.values.data(), x, *work, z);
    return std::inner_product(z.values.begin(), z.values.end(), dz.values.begin(), 0.0);
  }
};

TEST_P(ModelTest, GradientsMatchFiniteDifferences) {
  Matrix<double> gradients(1, weights.cols, 14), dx(B, D, 15);  // to be overwritten
  clear_gaps(gradients);
  loss();
  model.backward(weights.values.data(), x, *work, dz, gradients.values.data(), false, dx);

  EXPECT_LT(distance(gradients.values, of_trained(slopes(weights.values, [&] { return loss(); }))),
            1e-7);
  EXPECT_LT(distance(dx.values, slopes(x.values, [&] { return loss(); })), 1e-7);
}

TEST_P(ModelTest, BackwardAddsWhereAsked) {
  Matrix<double> once(1, weights.cols), twice(1, weights.cols);
  for (const bool add : {false, true}) {
    loss();
    model.backward(weights.values.data(), x, *work, dz, twice.values.data(), add, {});
    if (!add) once = twice;
  }
  for (std::size_t i = 0; i < once.values.size(); ++i) {
    EXPECT_NEAR(twice.values[i], 2 * once.values[i], 1e-12);
  }
}

// Losses that reach one tower, all, or a chain: what each leaves alone adds up to what all leave
// together, in every weight and in x, and the last shared layer knows each loss's part.
TEST_P(ModelTest, LossesApartAddUpToTheirSum) {
  std::vector<std::vector<int>> towers;
  for (int t = 0; t < T; ++t) towers.push_back({t});
  if (T > 1) towers.push_back({0, T - 1});
  std::vector<Matrix<double>> slopes, alone, shared;
  std::vector<Model<double>::LossSlope> losses;
  Matrix<double> sum(B, T), dx_alone(B, D), dx_sum(B, D);
  const auto n = static_cast<int>(model.last_shared_count());
  for (std::size_t s = 0; s < towers.size(); ++s) {
    slopes.emplace_back(B, T);
    const Matrix<double> random(B, T, 40 + s);
    for (const int t : towers[s]) {
      for (int r = 0; r < B; ++r) sum(r, t) += slopes[s](r, t) = random(r, t);
    }
    alone.emplace_back(1, weights.cols);
    shared.emplace_back(1, n, 50 + s);  // to be overwritten
  }
  std::vector<double*> targets;
  for (std::size_t s = 0; s < towers.size(); ++s) {
    losses.push_back({slopes[s], towers[s]});
    targets.push_back(shared[s].values.data());
  }
  Matrix<double> all(1, weights.cols, 14), by_loss(1, weights.cols, 15), added(1, weights.cols);
  Matrix<double> dx(B, D, 16), dx_by_loss(B, D, 17);
  clear_gaps(all);
  clear_gaps(by_loss);
  loss();
  model.backward(weights.values.data(), x, *work, sum, all.values.data(), false, dx);
  for (std::size_t s = 0; s < losses.size(); ++s) {
    model.backward_loss(weights.values.data(), x, *work, losses[s], alone[s].values.data(), false,
                        dx_alone);
    for (std::size_t i = 0; i < added.values.size(); ++i) added.values[i] += alone[s].values[i];
    for (std::size_t i = 0; i < dx.values.size(); ++i) dx_sum.values[i] += dx_alone.values[i];
  }
  EXPECT_LT(distance(added.values, all.values), 1e-13);
  EXPECT_LT(distance(dx_sum.values, dx.values), 1e-13);
  model.backward_by_loss(weights.values.data(), x, *work, losses, by_loss.values.data(), false,
                         dx_by_loss, targets);
  EXPECT_LT(distance(by_loss.values, all.values), 1e-13);
  EXPECT_LT(distance(dx_by_loss.values, dx.values), 1e-13);
  for (const bool again : {false, true}) {
    for (std::size_t s = 0; s < losses.size(); ++s) {
      std::vector<double> expected;
      for (const ParameterSlot& slot : model.last_shared()) {
        for (int r = 0; r < slot.rows; ++r) {
          for (int c = 0; c < slot.cols; ++c) {
            expected.push_back(
                alone[s].values[static_cast<std::size_t>(slot.offset + r * slot.stride + c)] *
                (again ? 2 : 1));
          }
        }
      }
      EXPECT_LT(distance(shared[s].values, expected), 1e-13);
    }
    if (!again) {
      model.backward_by_loss(weights.values.data(), x, *work, losses, by_loss.values.data(), true,
                             dx_by_loss, targets);
    }
  }
  for (double& value : all.values) value *= 2;
  EXPECT_LT(distance(by_loss.values, all.values), 1e-13);
}

// The slopes of one logit in x, without any weight's.
TEST_P(ModelTest, SlopesInXNeedNoWeights) {
  Matrix<double> gradients(1, weights.cols), dx(B, D), alone(B, D);
  loss();
  model.backward(weights.values.data(), x, *work, dz, gradients.values.data(), false, dx);
  model.backward(weights.values.data(), x, *work, dz, nullptr, false, alone);
  EXPECT_EQ(alone.values, dx.values);
}

// A weight of a task alone is one that the other tasks' logits do not depend on.
TEST_P(ModelTest, OwnWeightsReachTheirTaskAlone) {
  Matrix<double> gradients(1, weights.cols);
  for (int t = 0; t < T; ++t) {
    Matrix<double> one(B, T);
    for (int r = 0; r < B; ++r) one(r, t) = dz(r, t);
    loss();
    model.backward(weights.values.data(), x, *work, one, gradients.values.data(), false, {});
    for (const ParameterSlot& slot : model.parameters()) {
      bool reached = false;
      for (int r = 0; r < slot.rows; ++r) {
        for (int c = 0; c < slot.cols; ++c) {
          reached |=
              gradients.values[static_cast<std::size_t>(slot.offset + r * slot.stride + c)] != 0;
        }
      }
      if (slot.task >= 0 && slot.task != t) {
        EXPECT_FALSE(reached) << slot.name;
      } else if (slot.offset == model.output_bias(t)) {
        EXPECT_TRUE(reached) << slot.name << " by task " << t;
      }
    }
  }
}

TEST_P(ModelTest, TalliesTellOfTheGates) {
  loss();
  std::vector<GateTally> tallies(static_cast<std::size_t>(T));
  model.tally_gates(*work, tallies);
  model.tally_gates(*work, tallies);
  for (int t = 0; t < T; ++t) {
    const GateTally& tally = tallies[static_cast<std::size_t>(t)];
    if (model.gate_experts(t).empty() || has_measured()) {
      EXPECT_EQ(tally.rows, has_measured() ? 2U * B : 0);
      continue;
    }
    const View<const double> g = model.gate(*work, t);
    ASSERT_EQ(tally.rows, 2U * B);
    ASSERT_EQ(tally.experts, model.gate_experts(t));
    ASSERT_EQ(tally.experts.size(), static_cast<std::size_t>(g.cols));
    double entropy = 0;
    for (int c = 0; c < g.cols; ++c) {
      double mean = 0, squares = 0;
      for (int r = 0; r < B; ++r) {
        mean += g(r, c) / B;
        squares += g(r, c) * g(r, c) / B;
        entropy -= g(r, c) * std::log(g(r, c)) / std::log(std::max(2, g.cols)) / B;
      }
      const auto at = static_cast<std::size_t>(c);
      EXPECT_NEAR(tally.mean(at), mean, 1e-14);
      EXPECT_NEAR(tally.deviation(at), std::sqrt(std::max(0.0, squares - mean * mean)), 1e-7);
      EXPECT_LE(tally.dead_share(at), tally.zero_share(at));
    }
    EXPECT_NEAR(tally.mean_entropy(), g.cols > 1 ? entropy : 0, 1e-14);
  }
}

TEST_P(ModelTest, TalliesTellOfLowerGates) {
  loss();
  const std::vector<LowerGate> gates = model.lower_gates();
  const ModelOptions options = options_of(GetParam());
  const bool ple = options.backbone == BackboneKind::kPle;
  const int each = options.shared_gate == SharedGate::kNone ? T : T + 1;
  ASSERT_EQ(static_cast<int>(gates.size()), ple ? (options.levels - 1) * each : 0);
  std::vector<GateTally> tallies(gates.size());
  model.tally_lower_gates(*work, tallies);
  const int own = options.task_experts, shared = options.shared_experts;
  for (std::size_t i = 0; i < gates.size(); ++i) {
    const GateTally& tally = tallies[i];
    EXPECT_EQ(gates[i].level, static_cast<int>(i) / each);
    const int task = static_cast<int>(i) % each;
    EXPECT_EQ(gates[i].task, task < T ? task : -1);
    EXPECT_EQ(static_cast<int>(gates[i].experts.size()),
              task < T                                     ? own + shared
              : options.shared_gate == SharedGate::kShared ? shared
                                                           : T * own + shared);
    const std::string level = "level." + std::to_string(gates[i].level) + ".";
    const bool first_is_own = task < T || options.shared_gate == SharedGate::kAll;
    EXPECT_EQ(
        gates[i].experts[0],
        level + (first_is_own ? "task_expert." + std::to_string(task % T) + ".0" : "expert.0"));
    EXPECT_EQ(gates[i].experts.back(), level + "expert." + std::to_string(shared - 1));
    EXPECT_EQ(tally.rows, std::uint64_t{B});
    double sum = 0;
    for (std::size_t c = 0; c < gates[i].experts.size(); ++c) sum += tally.mean(c);
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

TEST_P(ModelTest, GateRowsSumToOne) {
  loss();
  for (int t = 0; t < T; ++t) {
    const View<const double> gate = model.gate(*work, t);
    if (model.gate_experts(t).empty() || has_measured()) continue;
    ASSERT_TRUE(gate.has_shape(B, static_cast<int>(model.gate_experts(t).size())));
    for (int r = 0; r < B; ++r) {
      EXPECT_NEAR(std::accumulate(gate.row(r), gate.row(r) + gate.cols, 0.0), 1, 1e-14);
      for (int e = 0; e < gate.cols; ++e) EXPECT_GT(gate(r, e), 0);
    }
  }
}

TEST_P(ModelTest, CandidatesOfOneContextScoreAsWholeRows) {
  for (int r = 1; r < B; ++r) std::copy_n(&x(0, 0), C, &x(r, 0));
  loss();
  Matrix<double> shared(1, model.context_units()), scored(B, T);
  model.forward_context(weights.values.data(), x.view().rows_from(0, 1).cols_from(0, C), shared);
  model.forward_candidates(weights.values.data(), shared, x.view().cols_from(C, D - C), *work,
                           scored);
  EXPECT_LT(distance(scored.values, z.values), 1e-13);
}

// A row's score does not depend on the rows beside it.
TEST_P(ModelTest, RowsAreIndependent) {
  loss();
  Matrix<double> alone(1, T);
  for (int r = 0; r < B; ++r) {
    model.forward(weights.values.data(), x.view().rows_from(r, 1), *work, alone);
    for (int t = 0; t < T; ++t) EXPECT_NEAR(alone(0, t), z(r, t), 1e-13);
  }
}

// What is nobody's is less than a cache line before a slot, or behind a row of one.
TEST_P(ModelTest, SlotsCoverTheBlockOnce) {
  std::vector<int> owners(static_cast<std::size_t>(model.parameter_count()));
  std::vector<std::string> names;
  for (const ParameterSlot& slot : model.parameters()) {
    names.push_back(slot.name);
    for (int r = 0; r < slot.rows; ++r) {
      for (int c = 0; c < slot.cols; ++c) {
        ++owners.at(static_cast<std::size_t>(slot.offset + r * slot.stride + c));
      }
    }
  }
  for (const int owner : owners) EXPECT_LE(owner, 1);
  const long gaps = std::count(owners.begin(), owners.end(), 0);
  EXPECT_EQ(static_cast<long>(owners.size()) - gaps, count_values(model.parameters()));
  long places = 0;
  for (const ParameterSlot& slot : model.parameters()) places += slot.rows;
  EXPECT_LT(gaps, 16 * places);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST_P(ModelTest, OutputBiasShiftsItsTaskAlone) {
  loss();
  const Matrix<double> before = z;
  weights.values[static_cast<std::size_t>(model.output_bias(T - 1))] += 2.5;
  loss();
  for (int r = 0; r < B; ++r) {
    for (int t = 0; t < T; ++t) {
      EXPECT_NEAR(z(r, t), before(r, t) + (t == T - 1 ? 2.5 : 0), 1e-13);
    }
  }
}

TEST_P(ModelTest, InitialValuesHaveTheirVarianceAndDiffer) {
  std::vector<double> values(static_cast<std::size_t>(model.parameter_count()), NAN);
  model.initialise(3, values);
  for (const double value : values) EXPECT_TRUE(std::isfinite(value));
  if (GetParam().change != nullptr &&
      !model.parameters()[0].name.ends_with("expert.0.layer.0.weight")) {
    return;
  }
  const auto first = [&](const std::string& name) {
    for (const ParameterSlot& slot : model.parameters()) {
      if (slot.name == name || slot.name.ends_with("." + name))
        return values[static_cast<std::size_t>(slot.offset)];
    }
    return std::nan("");
  };
  if (GetParam().experts > 1) {
    EXPECT_NE(first("expert.0.layer.0.weight"), first("expert.1.layer.0.weight"));
  }
  EXPECT_EQ(first("expert.0.layer.0.bias"), 0);
  const auto top = std::to_string(GetParam().gate_layers.size());
  EXPECT_EQ(first("gate.0.layer." + top + ".weight"), 0);
  std::vector<double> again(values.size()), other(values.size());
  model.initialise(3, again);
  model.initialise(4, other);
  EXPECT_EQ(values, again);
  EXPECT_NE(values, other);
}

TEST_P(ModelTest, FloatIsNearDouble) {
  const auto cpu_float = open_device<float>("cpu");
  const Model<float> single(D, C, T, options_of(GetParam()));
  const auto single_work = single.workspace(*cpu_float, B);
  const auto narrow = [](const Matrix<double>& from) {
    Matrix<float> to(from.rows, from.cols);
    for (std::size_t i = 0; i < to.values.size(); ++i) {
      to.values[i] = static_cast<float>(from.values[i]);
    }
    return to;
  };
  const Matrix<float> w = narrow(weights), x_f = narrow(x), dz_f = narrow(dz);
  Matrix<float> z_f(B, T), gradients_f(1, w.cols), dx_f(B, D);
  single.forward(w.values.data(), x_f, *single_work, z_f);
  single.backward(w.values.data(), x_f, *single_work, dz_f, gradients_f.values.data(), false, dx_f);

  Matrix<double> gradients(1, w.cols), dx(B, D);
  loss();
  model.backward(weights.values.data(), x, *work, dz, gradients.values.data(), false, dx);
  EXPECT_LT(distance(z_f.values, z.values), 1e-5);
  EXPECT_LT(distance(gradients_f.values, gradients.values), 1e-4);
  EXPECT_LT(distance(dx_f.values, dx.values), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, ModelTest,
    ::testing::Values(
        Shape{"plain", 3, {4, 5}, {}, {3}, 2}, Shape{"one_expert", 1, {4, 3}, {}, {3, 2}, 2},
        Shape{"shallow_experts", 2, {5}, {}, {4}, 3},
        Shape{"deep_experts", 3, {4, 6, 5, 3}, {}, {3, 2}, 2},
        Shape{"mlp_gates", 3, {4, 5}, {3}, {3}, 2}, Shape{"deep_gates", 2, {5}, {4, 3, 2}, {3}, 3},
        Shape{"no_tower_layers", 3, {4, 5}, {}, {}, 2},
        Shape{"deep_towers", 2, {4}, {}, {5, 4, 3}, 1}, Shape{"nothing_deep", 1, {3}, {}, {}, 1},
        Shape{"one_gate", 3, {4, 5}, {}, {3}, 3, one_gate},
        Shape{"gate_bias", 3, {4}, {}, {3}, 2, gate_bias},
        Shape{"mlp_gate_bias", 3, {4}, {3}, {3}, 2, gate_bias},
        Shape{"tempered", 3, {4, 5}, {}, {3}, 2, tempered},
        Shape{"learned_temperature", 3, {4, 5}, {}, {3}, 2, learned_temperature},
        Shape{"mlp_temperature", 3, {4}, {3}, {3}, 2, learned_temperature},
        Shape{"ple_temperature", 1, {4, 5}, {}, {3}, 2, ple_temperature},
        Shape{"cgc_tempered", 1, {4}, {3}, {3}, 2, cgc_tempered},
        Shape{"norm", 3, {4, 5}, {}, {3}, 2, expert_norm},
        Shape{"norm_shallow", 3, {5}, {}, {3}, 3, expert_norm},
        Shape{"norm_mlp_gates", 3, {4, 5}, {3}, {3}, 2, expert_norm},
        Shape{"norm_shallow_mlp_gates", 3, {5}, {3}, {3}, 2, expert_norm},
        Shape{"cgc_norm_mlp_gates", 1, {5}, {3}, {3}, 2, cgc_norm},
        Shape{"ple_norm", 1, {4, 5}, {}, {3}, 2, ple_norm},
        Shape{"cgc", 1, {4, 5}, {}, {3}, 2, cgc}, Shape{"cgc_shallow", 1, {4}, {}, {3}, 3, cgc},
        Shape{"cgc_mlp_gates", 1, {4}, {3}, {}, 2, cgc},
        Shape{"cgc_one_task", 1, {4, 3}, {}, {3}, 1, cgc}, Shape{"ple", 1, {4, 5}, {}, {3}, 2, ple},
        Shape{"ple_shallow", 1, {5}, {}, {3}, 3, ple},
        Shape{"ple_mlp_gates", 1, {4, 5}, {3}, {3}, 2, ple},
        Shape{"ple_deep_gates", 1, {4}, {3, 2}, {3}, 2, ple},
        Shape{"ple_one_task", 1, {4, 3}, {}, {3}, 1, ple},
        Shape{"ple_three", 1, {4, 5}, {}, {3}, 3, ple_three},
        Shape{"ple_shared", 1, {4, 5}, {}, {3}, 2, ple_shared},
        Shape{"bottom", 1, {4, 5}, {}, {3}, 3, shared_bottom},
        Shape{"bottom_shallow", 1, {5}, {}, {3}, 2, shared_bottom},
        Shape{"bottom_deep", 1, {4, 6, 5}, {}, {}, 2, shared_bottom},
        Shape{"concat", 1, {4, 5}, {}, {3}, 2, concat},
        Shape{"concat_shallow", 1, {5}, {}, {3}, 3, concat},
        Shape{"separate", 1, {4, 5}, {}, {3}, 2, separate},
        Shape{"separate_shallow", 1, {5}, {}, {3}, 3, separate},
        Shape{"measured", 1, {4, 5}, {}, {3}, 3, measured},
        Shape{"learned", 1, {4, 5}, {}, {3}, 2, learned},
        Shape{"learned_shallow", 1, {4}, {}, {3}, 3, learned},
        Shape{"ple_none", 1, {4, 5}, {}, {3}, 2, ple_none}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Model, InitialVariancesAreHeNormal) {
  ModelOptions options;
  options.experts = 2;
  options.expert_layers = {200, 150};
  options.tower_layers = {100};
  const Model<double> model(300, 0, 1, options);
  std::vector<double> values(static_cast<std::size_t>(model.parameter_count()));
  model.initialise(1, values);
  for (const ParameterSlot& slot : model.parameters()) {
    if (slot.rows == 1) continue;
    double sum = 0, squares = 0;
    for (int r = 0; r < slot.rows; ++r) {
      for (int c = 0; c < slot.cols; ++c) {
        const double value = values[static_cast<std::size_t>(slot.offset + r * slot.stride + c)];
        sum += value;
        squares += value * value;
      }
    }
    const double n = slot.rows * slot.cols;
    const bool gate = slot.name.starts_with("gate");
    const bool last = slot.name == "tower.0.layer.1.weight";
    const double expected = gate ? 0 : (last ? 1.0 : 2.0) / slot.rows;
    // Units, and what reads them, are in pairs: a value is drawn for two or four of them.
    const double drawn =
        n / (slot.gain == 2 && !slot.alone ? 2 : 1) / (slot.input_parts > 0 ? 2 : 1);
    EXPECT_NEAR(squares / n, expected, 4 * expected * std::sqrt(2 / drawn)) << slot.name;
    EXPECT_NEAR(sum / n, 0, 4 * std::sqrt(expected / n)) << slot.name;
  }
}

// With zero gates every task sees the plain mean of the experts.
TEST(Model, ZeroGatesMixEvenly) {
  const Model<double> model(6, 0, 2, options_of({"", 4, {5}, {}, {3}, 2}));
  const auto cpu = open_device<double>("cpu");
  const auto work = model.workspace(*cpu, 3);
  std::vector<double> weights(static_cast<std::size_t>(model.parameter_count()));
  model.initialise(5, weights);
  const Matrix<double> x(3, 6, 1);
  Matrix<double> z(3, 2);
  model.forward(weights.data(), x, *work, z);
  for (int t = 0; t < 2; ++t) {
    for (int r = 0; r < 3; ++r) {
      for (int e = 0; e < 4; ++e) EXPECT_DOUBLE_EQ(model.gate(*work, t)(r, e), 0.25);
    }
  }
}

TEST(ModelDeathTest, WrongShapesAreCaught) {
  const Model<double> model(6, 2, 2, options_of({"", 2, {3}, {}, {}, 2}));
  const auto cpu = open_device<double>("cpu");
  const auto work = model.workspace(*cpu, 3);
  const std::vector<double> weights(static_cast<std::size_t>(model.parameter_count()));
  const Matrix<double> too_many(4, 6), too_narrow(3, 5);
  Matrix<double> z3(3, 2), z4(4, 2);
  EXPECT_DEATH(model.forward(weights.data(), too_many, *work, z4), "max_rows");
  EXPECT_DEATH(model.forward(weights.data(), too_narrow, *work, z3), "x.cols");
}

}  // namespace
}  // namespace millrace
