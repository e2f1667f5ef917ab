// What gates can have beside their softmax: a temperature, given or learned, weights that are
// dropped in training, and an entropy that the loss wants.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "learner/device/devices.h"
#include "learner/math/activation.h"
#include "learner/model/model.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

constexpr int B = 6, D = 7, T = 2;

ModelOptions options_of(BackboneKind kind) {
  ModelOptions options;
  options.backbone = kind;
  options.experts = 3;
  options.expert_layers = {5, 4};
  options.tower_layers = {3};
  return options;
}

constexpr BackboneKind kGated[] = {BackboneKind::kMmoe, BackboneKind::kCgc, BackboneKind::kPle,
                                   BackboneKind::kStem};

/// A model with random weights, everywhere.
struct Net {
  explicit Net(const ModelOptions& options, int rows = B)
      : model(D, 0, T, options),
        work(model.workspace(*cpu, rows)),
        weights(1, static_cast<int>(model.parameter_count()), 3),
        x(rows, D, 5),
        z(rows, T) {}

  void forward(const Pass& pass = {}) { model.forward(weights.values.data(), x, *work, z, pass); }
  std::vector<double> gradients(const Matrix<double>& dz) {
    std::vector<double> all(weights.values.size());
    model.backward(weights.values.data(), x, *work, dz, all.data(), false, {});
    return all;
  }
  const ParameterSlot& slot(const std::string& name) const {
    const auto at = std::find_if(model.parameters().begin(), model.parameters().end(),
                                 [&](const ParameterSlot& s) { return s.name == name; });
    EXPECT_NE(at, model.parameters().end()) << name;
    return *at;
  }
  double& weight(const ParameterSlot& slot, int row, int column) {
    return weights.values[static_cast<std::size_t>(slot.offset + row * slot.stride + column)];
  }
  /// Takes another net's weights by name, where it has them.
  void take(Net& other) {
    for (const ParameterSlot& from : other.model.parameters()) {
      if (from.name.ends_with("temperature")) continue;
      copy(other, from, slot(from.name));
    }
  }
  void copy(Net& other, const ParameterSlot& from, const ParameterSlot& to) {
    for (int r = 0; r < to.rows; ++r) {
      for (int c = 0; c < to.cols; ++c) weight(to, r, c) = other.weight(from, r, c);
    }
  }
  /// Σ over gates and rows of weight of H(g).
  double entropy(int gates = T, const std::vector<float>& rows = {}) const {
    double sum = 0;
    for (int t = 0; t < gates; ++t) {
      const View<const double> g = model.gate(*work, t);
      for (int r = 0; r < g.rows; ++r) {
        if (!rows.empty() && rows[static_cast<std::size_t>(r)] == 0) continue;
        for (int c = 0; c < g.cols; ++c) sum -= g(r, c) > 0 ? g(r, c) * std::log(g(r, c)) : 0;
      }
    }
    return sum;
  }

  std::unique_ptr<Backend<double>> cpu = open_device<double>("cpu");
  Model<double> model;
  std::unique_ptr<Model<double>::Workspace> work;
  Matrix<double> weights, x, z;
};

TEST(GateOptions, ATemperatureDividesTheLogits) {
  for (const BackboneKind kind : kGated) {
    ModelOptions options = options_of(kind);
    Net plain(options);
    options.gate_temperature = 2.5;
    Net tempered(options);
    options.learn_temperature = true;
    Net learned(options);
    std::vector<double> start(learned.weights.values.size());
    learned.model.initialise(1, start);
    learned.weights.values = start;
    int temperatures = 0;
    for (const ParameterSlot& slot : learned.model.parameters()) {
      if (!slot.name.ends_with(".temperature")) continue;
      ++temperatures;
      EXPECT_NEAR(0.1 + math::softplus(learned.weight(slot, 0, 0)), 2.5, 1e-12);
    }
    EXPECT_EQ(temperatures, kind == BackboneKind::kPle ? 2 * T + 1 : T);
    tempered.take(plain);
    learned.take(plain);
    for (const ParameterSlot& slot : plain.model.parameters()) {
      if (slot.name.find("gate.") == std::string::npos) continue;
      for (int r = 0; r < slot.rows; ++r) {
        for (int c = 0; c < slot.cols; ++c) plain.weight(slot, r, c) /= 2.5;
      }
    }
    for (Net* net : {&plain, &tempered, &learned}) net->forward();
    EXPECT_LT(distance(tempered.z.values, plain.z.values), 1e-13);
    EXPECT_LT(distance(learned.z.values, plain.z.values), 1e-13);
  }
}

TEST(GateOptions, DroppedWeightsAreGoneAndTheOthersAreScaled) {
  constexpr int kRows = 4000;
  ModelOptions options = options_of(BackboneKind::kMmoe);
  options.experts = 2;
  options.gate_dropout = 0.3;
  Net net(options, kRows);
  net.forward();
  std::vector<double> scored[T];
  for (int t = 0; t < T; ++t) {
    const View<const double> g = net.model.gate(*net.work, t);
    for (int r = 0; r < kRows; ++r) {
      EXPECT_NEAR(g(r, 0) + g(r, 1), 1, 1e-12);
      EXPECT_GT(g(r, 0) * g(r, 1), 0);
      scored[t].insert(scored[t].end(), {g(r, 0), g(r, 1)});
    }
  }
  const Pass pass{.training = true, .seed = 4, .step = 7};
  net.forward(pass);
  int dropped[T][2] = {}, both = 0;
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < T; ++t) {
      const View<const double> g = net.model.gate(*net.work, t);
      for (int c = 0; c < 2; ++c) {
        dropped[t][c] += g(r, c) == 0 ? 1 : 0;
        const double other = g(r, 1 - c);
        EXPECT_NEAR(g(r, c), other == 0 ? 1 : g(r, c) == 0 ? 0 : scored[t][2 * r + c], 1e-12);
      }
    }
    both += net.model.gate(*net.work, 0)(r, 0) == 0 && net.model.gate(*net.work, 1)(r, 0) == 0;
  }
  // One alone is dropped with 0.3 · 0.7; the gates have random numbers of their own.
  for (const auto& gate : dropped) {
    for (const int count : gate) EXPECT_NEAR(count, 0.21 * kRows, 130);
  }
  EXPECT_NEAR(both, 0.21 * 0.21 * kRows, 70);
  const Matrix<double> whole = net.z;
  // By the row's place in the batch and by the step.
  Pass tail = pass;
  tail.first_row = 100;
  Matrix<double> z(50, T);
  net.model.forward(net.weights.values.data(), net.x.view().rows_from(100, 50), *net.work, z, tail);
  for (int r = 0; r < 50; ++r) {
    for (int t = 0; t < T; ++t) EXPECT_NEAR(z(r, t), whole(100 + r, t), 1e-12);
  }
  tail.step = 8;
  const Matrix<double> before = z;
  net.model.forward(net.weights.values.data(), net.x.view().rows_from(100, 50), *net.work, z, tail);
  EXPECT_NE(z.values, before.values);
}

TEST(GateOptions, GradientsAreOfTheWeightsThatWereLeft) {
  for (const bool learns : {false, true}) {
    for (const BackboneKind kind : {BackboneKind::kMmoe, BackboneKind::kCgc, BackboneKind::kPle}) {
      ModelOptions options = options_of(kind);
      options.gate_dropout = 0.4;
      options.learn_temperature = learns;
      Net net(options);
      const Pass pass{.training = true, .seed = 4, .step = 9};
      const Matrix<double> dz(B, T, 6);
      const auto loss = [&] {
        net.forward(pass);
        return std::inner_product(net.z.values.begin(), net.z.values.end(), dz.values.begin(), 0.0);
      };
      loss();
      const std::vector<double> exact = net.gradients(dz);
      EXPECT_LT(distance(exact, slopes(net.weights.values, loss)), 1e-7);
    }
  }
}

/// The gradients of a training pass are the slopes of `loss`, which makes one; rows that are scored
/// have no loss.
template <class Loss>
void expect_its_slopes(Net& net, const Matrix<double>& dz, const Loss& loss) {
  loss();
  const std::vector<double> exact = net.gradients(dz);
  EXPECT_LT(distance(exact, slopes(net.weights.values, loss)), 1e-7);
  net.forward();
  const std::vector<double> scored = net.gradients(Matrix<double>(B, T));
  EXPECT_EQ(scored, std::vector<double>(scored.size()));
}

class GateEntropy : public ::testing::Test {
 protected:
  static constexpr double kWeight = 0.7;
  const std::vector<float> row_weights{1, 0, 2, 1, 0, 1};
  const Pass pass{
      .training = true, .seed = 4, .step = 9, .row_weights = row_weights, .batch_rows = 4};
};

TEST_F(GateEntropy, IsPartOfTheLossOfTheRowsThatWeighSomething) {
  for (const int variant : {0, 1, 2, 3, 4, 5}) {
    ModelOptions options = options_of(variant < 4 ? BackboneKind::kMmoe : BackboneKind::kCgc);
    options.gate_entropy = kWeight;
    options.one_gate = variant == 1;
    options.gate_layers = variant == 2 ? std::vector<int>{3} : std::vector<int>{};
    options.learn_temperature = variant == 3 || variant == 5;
    options.gate_dropout = variant == 3 ? 0.4 : 0;
    Net net(options);
    const Matrix<double> dz(B, T, 6);
    const auto loss = [&] {
      net.forward(pass);
      const int gates = options.one_gate ? 1 : T;
      return std::inner_product(net.z.values.begin(), net.z.values.end(), dz.values.begin(),
                                -kWeight / 4 * net.entropy(gates, row_weights));
    };
    SCOPED_TRACE(variant);
    expect_its_slopes(net, dz, loss);
  }
}

// The lower gates of a PLE stand in no mixture that can be looked at: nets that have the same ones
// at their top tell what they are.
TEST_F(GateEntropy, CountsTheGatesOfEveryLevel) {
  ModelOptions options = options_of(BackboneKind::kPle);
  options.gate_entropy = kWeight;
  Net ple(options);
  Net cgc(options_of(BackboneKind::kCgc));
  ModelOptions one = options_of(BackboneKind::kMmoe);
  one.experts = T * options.task_experts + options.shared_experts;
  one.one_gate = true;
  Net shared(one);
  const auto loss = [&] {
    ple.forward(pass);
    for (const std::string name : {"gate.0.layer.0.weight", "gate.1.layer.0.weight"}) {
      cgc.copy(ple, ple.slot("level.0." + name), cgc.slot(name));
    }
    shared.copy(ple, ple.slot("level.0.shared_gate.0.layer.0.weight"),
                shared.slot("gate.0.layer.0.weight"));
    cgc.forward();
    shared.forward();
    return -kWeight / 4 *
           (ple.entropy(T, row_weights) + cgc.entropy(T, row_weights) +
            shared.entropy(1, row_weights));
  };
  loss();
  const std::vector<double> exact = ple.gradients(Matrix<double>(B, T));
  EXPECT_LT(distance(exact, slopes(ple.weights.values, loss)), 1e-7);
}

// The squared coefficient of variation of `count` sums.
double variation(const double* sums, int count) {
  const double mean = std::accumulate(sums, sums + count, 0.0) / count;
  double squares = 0;
  for (int c = 0; c < count; ++c) squares += (sums[c] - mean) * (sums[c] - mean);
  return squares / count / (mean * mean);
}

class LoadBalance : public ::testing::Test {
 protected:
  static constexpr double kWeight = 0.7;
  const std::vector<float> row_weights{1, 0, 2, 1, 0, 1};
  const Pass pass{
      .training = true, .seed = 4, .step = 9, .row_weights = row_weights, .batch_rows = 4};

  /// Tells the net's workspace the means of the last pass, and returns the sums that they are of.
  std::vector<double> tell_means(Net& net) {
    std::vector<double> sums(static_cast<std::size_t>(net.model.gate_weights())), means;
    net.model.add_gate_weights(*net.work, sums);
    for (const double sum : sums) means.push_back(sum / 4);
    net.model.set_gate_means(*net.work, means);
    return sums;
  }
};

TEST_F(LoadBalance, IsPartOfTheLossOfTheRowsThatWeighSomething) {
  for (const int variant : {0, 1, 2, 3, 4, 5}) {
    ModelOptions options = options_of(variant < 4 ? BackboneKind::kMmoe : BackboneKind::kPle);
    options.load_balance = kWeight;
    options.one_gate = variant == 1;
    options.gate_layers = variant == 2 ? std::vector<int>{3} : std::vector<int>{};
    options.learn_temperature = variant == 3 || variant == 5;
    options.gate_dropout = variant == 3 ? 0.4 : 0;
    Net net(options);
    // Of an MMoE, the gates; of a PLE, those of level 0, its shared gate, and those of level 1.
    const std::vector<int> gates = variant == 1  ? std::vector<int>{3}
                                   : variant < 4 ? std::vector<int>{3, 3}
                                                 : std::vector<int>{4, 4, 6, 4, 4};
    ASSERT_EQ(net.model.gate_weights(), std::accumulate(gates.begin(), gates.end(), 0));
    const Matrix<double> dz(B, T, 6);
    const auto loss = [&] {
      net.forward(pass);
      const std::vector<double> sums = tell_means(net);
      double penalty = 0;
      const double* at = sums.data();
      for (const int count : gates) {
        penalty += variation(at, count);
        EXPECT_NEAR(std::accumulate(at, at + count, 0.0), 4, 1e-12);
        at += count;
      }
      return std::inner_product(net.z.values.begin(), net.z.values.end(), dz.values.begin(),
                                kWeight * penalty);
    };
    SCOPED_TRACE(variant);
    expect_its_slopes(net, dz, loss);
  }
}

// The sums are the whole batch's: tiles that are told of them leave what one pass does.
TEST_F(LoadBalance, TilesKnowTheWholeBatch) {
  ModelOptions options = options_of(BackboneKind::kCgc);
  options.load_balance = kWeight;
  Net net(options);
  const Matrix<double> dz(B, T, 6);
  net.forward(pass);
  tell_means(net);
  const std::vector<double> whole = net.gradients(dz);
  std::vector<double> tiles(whole.size());
  for (const auto& [first, count] : {std::pair(0, 4), std::pair(4, B - 4)}) {
    Pass tile = pass;
    tile.first_row = first;
    tile.row_weights =
        std::span(row_weights)
            .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    const View<const double> x = net.x.view().rows_from(first, count);
    net.model.forward(net.weights.values.data(), x, *net.work, net.z.view().rows_from(0, count),
                      tile);
    net.model.backward(net.weights.values.data(), x, *net.work, dz.view().rows_from(first, count),
                       tiles.data(), first > 0, {});
  }
  EXPECT_LT(distance(tiles, whole), 1e-12);
}

// Gradient steps on the penalty alone bring a gate that has collapsed back.
TEST_F(LoadBalance, EvensAGateOut) {
  ModelOptions options = options_of(BackboneKind::kMmoe);
  options.load_balance = 1;
  Net net(options);
  const auto spread = [&] {
    net.forward(pass);
    const std::vector<double> sums = tell_means(net);
    return variation(sums.data(), 3) + variation(sums.data() + 3, 3);
  };
  const double before = spread();
  for (int step = 0; step < 100; ++step) {
    spread();
    const std::vector<double> gradients = net.gradients(Matrix<double>(B, T));
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      net.weights.values[i] -= 0.3 * gradients[i];
    }
  }
  EXPECT_GT(before, 0.1);
  EXPECT_LT(spread(), 0.01 * before);
}

}  // namespace
}  // namespace millrace
