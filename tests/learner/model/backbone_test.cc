// What the papers say of the backbones, whatever their weights: which are the same model, what
// depends on what, and what stays untouched by another task's loss.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "learner/device/devices.h"
#include "learner/model/model.h"
#include "learner/model/stem.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

constexpr int B = 6, D = 7;

/// A model with random weights, everywhere.
struct Net {
  Net(const ModelOptions& options, int tasks, std::uint64_t seed = 3)
      : T(tasks),
        model(D, 0, tasks, options),
        work(model.workspace(*cpu, B)),
        weights(1, static_cast<int>(model.parameter_count()), seed),
        x(B, model.inputs(), 5) {
    for (const ParameterSlot& slot : fixed_slots(model.parameters())) {
      if (slot.name.ends_with(".variance")) set(slot, std::vector<double>(slot.cols, 0.7));
    }
  }

  Matrix<double> score() {
    Matrix<double> z(B, T);
    model.forward(weights.values.data(), x, *work, z);
    return z;
  }
  /// The gradient of Σ z_k.
  Matrix<double> gradients_of(int task) {
    Matrix<double> dz(B, T), gradients(1, weights.cols);
    for (int r = 0; r < B; ++r) dz(r, task) = 1;
    score();
    dx = Matrix<double>(B, model.inputs());
    model.backward(weights.values.data(), x, *work, dz, gradients.values.data(), false, dx);
    return gradients;
  }
  const ParameterSlot& slot(const std::string& name) const {
    const auto at = std::find_if(model.parameters().begin(), model.parameters().end(),
                                 [&](const ParameterSlot& s) { return s.name == name; });
    EXPECT_NE(at, model.parameters().end()) << name;
    return *at;
  }
  bool has(const std::string& name) const {
    return std::any_of(model.parameters().begin(), model.parameters().end(),
                       [&](const ParameterSlot& s) { return s.name == name; });
  }
  std::vector<double> values(const Matrix<double>& block, const ParameterSlot& slot) const {
    std::vector<double> all;
    for (int r = 0; r < slot.rows; ++r) {
      const auto first = block.values.begin() + slot.offset + r * slot.stride;
      all.insert(all.end(), first, first + slot.cols);
    }
    return all;
  }
  void set(const ParameterSlot& slot, const std::vector<double>& values) {
    for (int r = 0; r < slot.rows; ++r) {
      std::copy_n(values.begin() + long{r} * slot.cols, slot.cols,
                  weights.values.begin() + slot.offset + r * slot.stride);
    }
  }
  /// Takes another net's weights by name, `renamed` where it has them under another one.
  void take(const Net& other, const std::map<std::string, std::string>& renamed = {}) {
    for (const ParameterSlot& to : model.parameters()) {
      std::string name = to.name;
      for (const auto& [mine, theirs] : renamed) {
        if (name.starts_with(mine)) {
          name = theirs + name.substr(mine.size());
          break;
        }
      }
      set(to, other.values(other.weights, other.slot(name)));
    }
  }

  const int T;
  std::unique_ptr<Backend<double>> cpu = open_device<double>("cpu");
  Model<double> model;
  std::unique_ptr<Model<double>::Workspace> work;
  Matrix<double> weights, x, dx{0, 0};
};

ModelOptions options_of(BackboneKind kind) {
  ModelOptions options;
  options.backbone = kind;
  options.experts = 3;
  options.expert_layers = {5, 4};
  options.tower_layers = {3};
  return options;
}

TEST(Backbone, MmoeWithTiedGatesIsOneGate) {
  ModelOptions options = options_of(BackboneKind::kMmoe);
  Net many(options, 3);
  options.one_gate = true;
  Net one(options, 3);
  one.take(many);
  for (int t = 1; t < 3; ++t) {
    many.set(many.slot("gate." + std::to_string(t) + ".layer.0.weight"),
             many.values(many.weights, many.slot("gate.0.layer.0.weight")));
  }
  EXPECT_LT(distance(one.score().values, many.score().values), 1e-14);
}

TEST(Backbone, PleOfOneLevelIsCgc) {
  ModelOptions options = options_of(BackboneKind::kCgc);
  Net cgc(options, 2);
  options.backbone = BackboneKind::kPle;
  options.levels = 1;
  Net ple(options, 2);
  ple.take(cgc);
  EXPECT_EQ(ple.weights.values, cgc.weights.values);
  EXPECT_EQ(ple.score().values, cgc.score().values);
}

// Tasks have no order: with their weights exchanged, their logits are.
TEST(Backbone, PleIsSymmetricInItsTasks) {
  ModelOptions options = options_of(BackboneKind::kPle);
  Net net(options, 3), turned(options, 3);
  std::map<std::string, std::string> renamed;
  for (int t = 0; t < 3; ++t) {
    const std::string mine = "." + std::to_string(t) + ".",
                      theirs = "." + std::to_string((t + 1) % 3) + ".";
    for (const std::string level : {"level.0.", "level.1."}) {
      renamed[level + "gate" + mine] = level + "gate" + theirs;
      renamed[level + "task_expert" + mine] = level + "task_expert" + theirs;
    }
    renamed["tower" + mine] = "tower" + theirs;
  }
  turned.take(net, renamed);
  // The shared gate's columns stand for experts in the order of the tasks.
  const ParameterSlot& gate = net.slot("level.0.shared_gate.0.layer.0.weight");
  std::vector<double> columns = net.values(net.weights, gate);
  for (int r = 0; r < gate.rows; ++r) {
    const auto row = columns.begin() + long{r} * gate.cols;
    std::rotate(row, row + options.task_experts, row + 3 * options.task_experts);
  }
  turned.set(turned.slot(gate.name), columns);
  const Matrix<double> z = net.score(), other = turned.score();
  for (int r = 0; r < B; ++r) {
    for (int t = 0; t < 3; ++t) EXPECT_NEAR(other(r, t), z(r, (t + 1) % 3), 1e-12);
  }
}

// Every task's experts of the first level reach every task through the shared gate over all; over
// the shared experts alone, none does; without a gate, the first task's do.
TEST(Backbone, ThePlesSharedStreamTakesInWhatItsGateSays) {
  for (const SharedGate gate : {SharedGate::kAll, SharedGate::kShared, SharedGate::kNone}) {
    ModelOptions options = options_of(BackboneKind::kPle);
    options.shared_gate = gate;
    options.expert_layers = {16, 8};
    options.tower_layers = {};
    Net net(options, 3);
    for (int t = 0; t < 3; ++t) {
      const Matrix<double> gradients = net.gradients_of(t);
      for (int k = 0; k < 3; ++k) {
        const std::string name = "level.0.task_expert." + std::to_string(k) + ".0.layer.1.weight";
        const std::vector<double> of_expert = net.values(gradients, net.slot(name));
        const bool reached =
            std::any_of(of_expert.begin(), of_expert.end(), [](double g) { return g != 0; });
        const bool expected =
            k == t || gate == SharedGate::kAll || (gate == SharedGate::kNone && k == 0);
        EXPECT_EQ(reached, expected) << print_value(gate) << ", expert " << k << ", task " << t;
      }
    }
  }
}

// A weight is a task's own (frozen with it, left out of surgery) where that task's output alone
// depends on it.
TEST(Backbone, AWeightBelongsToTheOneTaskThatItReaches) {
  std::vector<ModelOptions> models;
  for (const BackboneKind kind :
       {BackboneKind::kSharedBottom, BackboneKind::kMmoe, BackboneKind::kCgc, BackboneKind::kStem,
        BackboneKind::kSharedSpecific, BackboneKind::kSeparate}) {
    models.push_back(options_of(kind));
  }
  models.push_back(options_of(BackboneKind::kMmoe));
  models.back().one_gate = true;
  models.push_back(options_of(BackboneKind::kStem));
  models.back().stem_levels = 3;
  for (const SharedGate gate : {SharedGate::kAll, SharedGate::kShared, SharedGate::kNone}) {
    models.push_back(options_of(BackboneKind::kPle));
    models.back().levels = 3;
    models.back().shared_gate = gate;
  }
  for (ModelOptions& options : models) {
    options.expert_layers = {16, 8};
    options.tower_layers = {};
    options.learn_temperature = options.backbone != BackboneKind::kSharedBottom &&
                                options.backbone != BackboneKind::kSharedSpecific &&
                                options.backbone != BackboneKind::kSeparate;
    Net net(options, 3);
    std::vector<Matrix<double>> gradients;
    for (int t = 0; t < 3; ++t) gradients.push_back(net.gradients_of(t));
    for (const ParameterSlot& slot : net.model.parameters()) {
      std::vector<int> tasks;
      for (int t = 0; t < 3; ++t) {
        const std::vector<double> of = net.values(gradients[static_cast<std::size_t>(t)], slot);
        if (std::any_of(of.begin(), of.end(), [](double g) { return g != 0; })) tasks.push_back(t);
      }
      ASSERT_FALSE(tasks.empty()) << slot.name;
      EXPECT_EQ(slot.task, tasks.size() == 1 ? tasks[0] : -1)
          << print_value(options.backbone) << ' ' << print_value(options.shared_gate) << ' '
          << slot.name;
    }
  }
}

// Algorithms 2.4: Σ_j (Σ_k m_k + m_s)(d_j h + h) + Σ_j Σ_k d_j (m_k + m_s)
// + Σ_{j<N} d_j (Σ m_k + m_s) + towers, with experts of one layer.
TEST(Backbone, ThePlesParametersAreAsManyAsItsFormulaSays) {
  for (const int levels : {1, 2, 4}) {
    ModelOptions options = options_of(BackboneKind::kPle);
    options.levels = levels;
    options.expert_layers = {5};
    options.task_experts = 3;
    const long T = 4, m = 3, s = 2, h = 5, experts = T * m + s;
    long expected = T * ((h * 3 + 3) + (3 + 1));  // towers
    for (int j = 0; j < levels; ++j) {
      const long d = j == 0 ? D : h;
      expected += experts * (d * h + h) + T * d * (m + s) + (j + 1 < levels ? d * experts : 0);
    }
    EXPECT_EQ(count_values(Net(options, 4).model.parameters()), expected);
  }
}

TEST(Backbone, MmoeOfOneExpertIsASharedBottom) {
  ModelOptions options = options_of(BackboneKind::kMmoe);
  options.experts = 1;
  Net mmoe(options, 3);
  options.backbone = BackboneKind::kSharedBottom;
  Net bottom(options, 3);
  bottom.take(mmoe, {{"bottom.0.", "expert.0."}});
  EXPECT_LT(distance(bottom.score().values, mmoe.score().values), 1e-14);
}

// Only what x is made of is shared: each task is the model that it would be alone.
TEST(Backbone, SeparateNetworksAreModelsOfOneTask) {
  const ModelOptions options = options_of(BackboneKind::kSeparate);
  Net all(options, 3);
  const Matrix<double> together = all.score();
  EXPECT_EQ(all.model.last_shared_count(), 0);
  for (int t = 0; t < 3; ++t) {
    const std::string task = std::to_string(t) + ".";
    Net alone(options_of(BackboneKind::kSharedBottom), 1);
    alone.take(all, {{"bottom.0.", "task_bottom." + task}, {"tower.0.", "tower." + task}});
    const Matrix<double> own = alone.score();
    const Matrix<double> slopes = all.gradients_of(t), own_slopes = alone.gradients_of(0);
    for (int r = 0; r < B; ++r) EXPECT_NEAR(together(r, t), own(r, 0), 1e-14);
    EXPECT_LT(distance(all.dx.values, alone.dx.values), 1e-14);
    for (const ParameterSlot& slot : all.model.parameters()) {
      const std::vector<double> of = all.values(slopes, slot);
      if (slot.task != t) {
        EXPECT_THAT(of, ::testing::Each(0.0)) << slot.name;
        continue;
      }
      const bool bottom = slot.name.starts_with("task_bottom.");
      const std::string rest = slot.name.substr(slot.name.find(task) + task.size());
      const ParameterSlot& same = alone.slot((bottom ? "bottom.0." : "tower.0.") + rest);
      EXPECT_LT(distance(of, alone.values(own_slopes, same)), 1e-14) << slot.name;
    }
  }
}

TEST(Backbone, SimilarityMovesATaskFromItsOwnBottomToTheSharedOne) {
  ModelOptions options = options_of(BackboneKind::kSharedSpecific);
  options.shared_mix = SharedMix::kMeasured;
  Net net(options, 2);
  const auto reaches = [&](const std::string& bottom) {
    const std::vector<double> slopes =
        net.values(net.gradients_of(0), net.slot(bottom + ".layer.1.weight"));
    return std::any_of(slopes.begin(), slopes.end(), [](double g) { return g != 0; });
  };
  net.model.set_similarity(0, 1, net.weights.values.data());
  EXPECT_TRUE(reaches("bottom.0"));
  EXPECT_FALSE(reaches("task_bottom.0"));
  net.model.set_similarity(0, 0, net.weights.values.data());
  EXPECT_FALSE(reaches("bottom.0"));
  EXPECT_TRUE(reaches("task_bottom.0"));
  EXPECT_FALSE(reaches("task_bottom.1"));
}

// The loss of one task leaves the others' experts and embeddings as they are, to the bit; its gate
// learns of all experts; it depends on all of them.
TEST(Backbone, StemTeachesATasksOwnPartAlone) {
  for (const int levels : {1, 2}) {
    for (const StemGateInput input : {StemGateInput::kSum, StemGateInput::kOwn}) {
      ModelOptions options = options_of(BackboneKind::kStem);
      options.stem_levels = levels;
      options.stem_gate_input = input;
      std::vector<Feature> features(2);
      features[0].name = "item";
      features[0].dimension = 3;
      features[1].name = "age";
      features[1].kind = FeatureKind::kNumeric;
      std::vector<Task> tasks(2);
      tasks[0].name = "a";
      tasks[1].name = "b";
      const Schema schema = input_schema({features, tasks}, options);
      ASSERT_EQ(schema.inputs(), 3 * 3 + 1);
      const Model<double> model(schema, options);
      const auto cpu = open_device<double>("cpu");
      const auto work = model.workspace(*cpu, B);
      Matrix<double> weights(1, static_cast<int>(model.parameter_count()), 9), x(B, 10, 8), z(B, 2),
          dz(B, 2), gradients(1, weights.cols), dx(B, 10);
      for (int r = 0; r < B; ++r) dz(r, 0) = 1;
      model.forward(weights.values.data(), x, *work, z);
      model.backward(weights.values.data(), x, *work, dz, gradients.values.data(), false, dx);
      for (const ParameterSlot& slot : model.parameters()) {
        if (slot.task != 1) continue;
        for (int r = 0; r < slot.rows; ++r) {
          for (int c = 0; c < slot.cols; ++c) {
            EXPECT_EQ(gradients.values[static_cast<std::size_t>(slot.offset + r * slot.stride + c)],
                      0)
                << slot.name;
          }
        }
      }
      double own = 0, shared = 0;
      for (int r = 0; r < B; ++r) {
        for (int d = 0; d < 3; ++d) {
          own += std::fabs(dx(r, d));
          EXPECT_EQ(dx(r, 3 + d), 0);
          shared += std::fabs(dx(r, 6 + d));
        }
      }
      EXPECT_GT(own, 0);
      EXPECT_GT(shared, 0);
      Matrix<double> moved = x, other(B, 2);
      for (int r = 0; r < B; ++r) moved(r, 3) += 1;
      model.forward(weights.values.data(), moved, *work, other);
      double change = 0;
      for (int r = 0; r < B; ++r) change += std::fabs(other(r, 0) - z(r, 0));
      EXPECT_GT(change, 0);  // All-forward.
    }
  }
}

// Central differences know nothing of detached slopes: a model whose other tasks' experts are
// constants has the gradients that are wanted, and its values near by.
TEST(Backbone, StemsGradientsAreThoseWithTheOthersExpertsHeld) {
  for (const bool norm : {false, true}) {
    ModelOptions options = options_of(BackboneKind::kStem);
    options.stem_gate_input = norm ? StemGateInput::kOwn : StemGateInput::kSum;
    options.expert_norm = norm;
    Net net(options, 2);
    const Matrix<double> gradients = net.gradients_of(0);
    // Of task 0's tower, its gate, its experts and the shared ones.
    for (const char* name :
         {"tower.0.layer.0.weight", "gate.0.layer.0.weight", "task_expert.0.1.layer.0.weight",
          "task_expert.0.0.layer.1.weight", "expert.1.layer.0.weight", "expert.0.layer.1.bias"}) {
      const ParameterSlot& slot = net.slot(name);
      const std::vector<double> exact = net.values(gradients, slot);
      std::vector<double> differences;
      for (int r = 0; r < slot.rows; ++r) {
        for (int c = 0; c < slot.cols; ++c) {
          double& w =
              net.weights.values[static_cast<std::size_t>(slot.offset + r * slot.stride + c)];
          const double before = w;
          double sides[2];
          for (const int side : {0, 1}) {
            w = before + (side == 0 ? -1e-6 : 1e-6);
            const Matrix<double> z = net.score();
            sides[side] = 0;
            for (int i = 0; i < B; ++i) sides[side] += z(i, 0);
          }
          w = before;
          differences.push_back((sides[1] - sides[0]) / 2e-6);
        }
      }
      EXPECT_LT(distance(exact, differences), 1e-7) << name;
    }
  }
}

TEST(Backbone, StemScoresAContextOnce) {
  for (const StemGateInput input : {StemGateInput::kSum, StemGateInput::kOwn}) {
    ModelOptions options = options_of(BackboneKind::kStem);
    options.stem_gate_input = input;
    std::vector<Feature> features(4);
    for (std::size_t f = 0; f < 4; ++f) {
      features[f].name = std::string(1, static_cast<char>('a' + f));
      features[f].dimension = 2;
      features[f].context = f % 2 == 0;
    }
    features[2].kind = FeatureKind::kNumeric;
    std::vector<Task> tasks(3);
    for (std::size_t t = 0; t < 3; ++t) tasks[t].name = std::string(1, static_cast<char>('p' + t));
    const Schema schema = input_schema({features, tasks}, options);
    const Model<double> model(schema, options);
    const int C = schema.context_width(), all = schema.inputs();
    ASSERT_EQ(C, 8 + 1);
    const auto cpu = open_device<double>("cpu");
    const auto work = model.workspace(*cpu, B);
    Matrix<double> weights(1, static_cast<int>(model.parameter_count()), 7), x(B, all, 8), z(B, 3),
        scored(B, 3), shared(1, model.context_units());
    for (int r = 1; r < B; ++r) std::copy_n(&x(0, 0), C, &x(r, 0));
    model.forward(weights.values.data(), x, *work, z);
    model.forward_context(weights.values.data(), x.view().rows_from(0, 1).cols_from(0, C), shared);
    model.forward_candidates(weights.values.data(), shared, x.view().cols_from(C, all - C), *work,
                             scored);
    EXPECT_LT(distance(scored.values, z.values), 1e-13);
  }
}

TEST(Backbone, DropoutIsOfTrainingAloneAndOfTheRowsPlace) {
  ModelOptions options = options_of(BackboneKind::kSharedBottom);
  options.dropout = 0.5;
  options.expert_layers = {40, 30};
  options.tower_layers = {};
  Net net(options, 2);
  const Matrix<double> plain = net.score();
  const auto train = [&](std::uint64_t step, int first, int rows) {
    Matrix<double> z(rows, 2);
    net.model.forward(net.weights.values.data(), net.x.view().rows_from(first, rows), *net.work, z,
                      {.training = true, .seed = 4, .step = step, .first_row = first});
    return z;
  };
  const Matrix<double> whole = train(1, 0, B);
  EXPECT_NE(whole.values, plain.values);
  EXPECT_NE(train(2, 0, B).values, whole.values);
  const Matrix<double> tail = train(1, 2, 3);
  for (int r = 0; r < 3; ++r) {
    for (int t = 0; t < 2; ++t) EXPECT_NEAR(tail(r, t), whole(r + 2, t), 1e-13);
  }
  // The mean over many steps is what scoring gives, where the layer above is linear.
  options.expert_layers = {40};
  Net shallow(options, 1);
  const Matrix<double> expected = shallow.score();
  double sum = 0;
  for (std::uint64_t step = 0; step < 4000; ++step) {
    Matrix<double> z(1, 1);
    shallow.model.forward(shallow.weights.values.data(), shallow.x.view().rows_from(0, 1),
                          *shallow.work, z, {.training = true, .seed = 4, .step = step});
    sum += z(0, 0) / 4000;
  }
  EXPECT_NEAR(sum, expected(0, 0), 1.5);
  // And the gradients are of the same units.
  const Pass pass{.training = true, .seed = 4, .step = 9};
  Matrix<double> z(B, 2), dz(B, 2, 6), gradients(1, net.weights.cols);
  const auto loss = [&] {
    net.model.forward(net.weights.values.data(), net.x, *net.work, z, pass);
    double all = 0;
    for (std::size_t i = 0; i < z.values.size(); ++i) all += z.values[i] * dz.values[i];
    return all;
  };
  loss();
  net.model.backward(net.weights.values.data(), net.x, *net.work, dz, gradients.values.data(),
                     false, {});
  EXPECT_LT(distance(gradients.values, slopes(net.weights.values, loss)), 1e-6);
}

TEST(Backbone, ExpertsStartDifferently) {
  for (const BackboneKind kind :
       {BackboneKind::kMmoe, BackboneKind::kCgc, BackboneKind::kPle, BackboneKind::kStem}) {
    Net net(options_of(kind), 2);
    net.model.initialise(9, net.weights.values);
    std::vector<std::vector<double>> firsts;
    for (const ParameterSlot& slot : net.model.parameters()) {
      if (slot.name.find("expert.") == std::string::npos || slot.gain == 0) continue;
      firsts.push_back(net.values(net.weights, slot));
    }
    ASSERT_GT(firsts.size(), 2U);
    std::sort(firsts.begin(), firsts.end());
    EXPECT_EQ(std::adjacent_find(firsts.begin(), firsts.end()), firsts.end());
  }
}

/// How far the scores of a new model are from those of a linear function of its input, at most.
double bend_of(ModelOptions options) {
  options.expert_layers = {6, 4};
  options.tower_layers = {4, 2};
  Net net(options, 3);
  net.model.initialise(9, net.weights.values);
  for (int i = 0; i < net.x.cols; ++i) {
    net.x(2, i) = net.x(0, i) + net.x(1, i);
    net.x(3, i) = -3 * net.x(0, i);
    net.x(4, i) = 0;
  }
  const Matrix<double> z = net.score();
  double bend = 0, size = 0;
  for (int t = 0; t < net.T; ++t) {
    size = std::max(size, std::abs(z(0, t)));
    bend = std::max({bend, std::abs(z(0, t) + z(1, t) - z(2, t)), std::abs(3 * z(0, t) + z(3, t)),
                     std::abs(z(4, t))});
  }
  EXPECT_GT(size, 0.01);
  return bend / size;
}

TEST(Backbone, EveryOneStartsLinear) {
  for (const auto& choice : Choices<BackboneKind>::all) {
    EXPECT_LT(bend_of(options_of(choice.value)), 1e-12) << choice.name;
  }
  ModelOptions options = options_of(BackboneKind::kSharedSpecific);
  options.shared_mix = SharedMix::kLearned;
  EXPECT_LT(bend_of(options), 1e-12);
  options = options_of(BackboneKind::kStem);
  options.stem_levels = 2;
  EXPECT_LT(bend_of(options), 1e-12);
  options = options_of(BackboneKind::kPle);
  options.expert_norm = true;
  options.gate_layers = {5};
  options.levels = 3;
  EXPECT_LT(bend_of(options), 1e-12);
  options.shared_gate = SharedGate::kShared;
  EXPECT_LT(bend_of(options), 1e-12);
}

// An odd unit has no partner; the others still do.
TEST(Backbone, TheUnitsOfALayerStartInPairs) {
  ModelOptions options = options_of(BackboneKind::kSharedSpecific);
  options.expert_layers = {4, 5};
  options.tower_layers = {3};
  Net net(options, 2);
  net.model.initialise(9, net.weights.values);
  const std::vector<double> second =
      net.values(net.weights, net.slot("task_bottom.1.layer.1.weight"));
  for (int r = 0; r < 4; ++r) {
    const auto unit = [&](int c) { return second[static_cast<std::size_t>(r * 5 + c)]; };
    EXPECT_EQ(unit(2), -unit(0));
    EXPECT_EQ(unit(3), -unit(1));
    EXPECT_NE(std::abs(unit(4)), std::abs(unit(0)));
  }
  // A tower reads two bottoms side by side.
  const std::vector<double> tower = net.values(net.weights, net.slot("tower.0.layer.0.weight"));
  for (int c = 0; c < 3; ++c) {
    const auto input = [&](int r) { return tower[static_cast<std::size_t>(r * 3 + c)]; };
    for (const int part : {0, 5}) {
      EXPECT_EQ(input(part + 2), -input(part));
      EXPECT_EQ(input(part + 3), -input(part + 1));
    }
    EXPECT_NE(std::abs(input(0)), std::abs(input(5)));
  }
}

// The only layer between the model's input and the towers, or another level, starts without pairs.
TEST(Backbone, AnOnlyLayerStartsWithoutPartners) {
  for (const auto& choice : Choices<BackboneKind>::all) {
    ModelOptions options = options_of(choice.value);
    options.expert_layers = {4};
    options.tower_layers = {4, 2};
    const int levels = choice.value == BackboneKind::kPle ? 2 : 1;
    options.levels = levels;
    Net net(options, 2);
    net.model.initialise(9, net.weights.values);
    // How many of the columns, or rows, of a matrix are the other half's negatives.
    const auto pairs = [&](const ParameterSlot& slot, bool rows) {
      const std::vector<double> w = net.values(net.weights, slot);
      const int n = rows ? slot.rows : slot.cols, others = rows ? slot.cols : slot.rows;
      int found = 0;
      for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < others; ++j) {
          const auto at = [&](int u) {
            return w[static_cast<std::size_t>(rows ? u * slot.cols + j : j * slot.cols + u)];
          };
          found += at(i) == -at(i + 2);
        }
      }
      return n < 4 ? -1 : found;
    };
    for (const ParameterSlot& slot : net.model.parameters()) {
      if (slot.gain == 0 || slot.name.find("layer.0.weight") == std::string::npos) continue;
      if (slot.name.find("gate") != std::string::npos) continue;
      SCOPED_TRACE(std::string(choice.name) + " " + slot.name);
      const bool tower = slot.name.starts_with("tower"), upper = slot.name.starts_with("level.1");
      const bool units_in_pairs = tower || upper, reads_pairs = tower && levels == 2;
      EXPECT_EQ(pairs(slot, false), units_in_pairs ? 2 * slot.rows : 0);
      if (units_in_pairs) {
        EXPECT_EQ(pairs(slot, true), reads_pairs ? 2 * slot.cols : 0);
      }
    }
  }
}

}  // namespace
}  // namespace millrace
