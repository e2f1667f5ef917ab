// Weights that are prepared once give the bits of those that every tile prepares for itself, in
// every backbone and in layers of one input or one unit.
#include "learner/train/prepared_weights.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "learner/train/chunks.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

constexpr int kTasks = 2, kRows = 300;

struct Net {
  int inputs;
  std::vector<int> experts, gates;
};

/// Logits, slopes in x and gradients of one pass, with prepared weights or without.
struct OnePass {
  OnePass(const Net& net, BackboneKind backbone, Products products, bool prepares, int batch_rows) {
    ModelOptions options;
    options.backbone = backbone;
    options.expert_layers = net.experts;
    options.gate_layers = net.gates;
    const Model<float> model(net.inputs, 0, kTasks, options);
    const auto cpu = open_device<float>("cpu", products);
    std::vector<float> weights(static_cast<std::size_t>(model.parameter_count()));
    model.initialise(1, weights);
    const auto work = model.workspace(*cpu, kRows);
    const Matrix<float> x(kRows, net.inputs, 1), dz(kRows, kTasks, 2);
    Matrix<float> z(kRows, kTasks), dx(kRows, net.inputs);
    std::vector<float> gradients(weights.size());
    PreparedWeights prepared(model, kRows, products);
    prepared.prepare(*cpu, weights.data(), batch_rows, true);
    if (prepares) prepared.share(*cpu, *work);
    model.forward(weights.data(), x, *work, z);
    model.backward(weights.data(), x, *work, dz, gradients.data(), false, dx);
    // What comes after reads the weights as they are then.
    PreparedWeights::forget(*cpu, *work);
    for (float& weight : weights) weight = 0;
    Matrix<float> after(kRows, kTasks);
    model.forward(weights.data(), x, *work, after);
    forgot = after.values == std::vector<float>(after.values.size());
    all = z.values;
    all.insert(all.end(), dx.values.begin(), dx.values.end());
    all.insert(all.end(), gradients.begin(), gradients.end());
  }

  std::vector<float> all;
  bool forgot = false;
};

TEST(PreparedWeights, ChangeNoBit) {
  const Net nets[] = {{20, {24, 16}, {8}}, {1, {16}, {}}, {20, {1, 16}, {1}}, {7, {33, 5}, {}}};
  for (const auto& choice : Choices<BackboneKind>::all) {
    for (const Products products : {Products::kF32, Products::kBf16}) {
      for (const Net& net : nets) {
        SCOPED_TRACE(std::string(choice.name) + " of " + std::to_string(net.inputs) + " inputs, " +
                     (products == Products::kBf16 ? "bf16" : "f32"));
        const OnePass plain(net, choice.value, products, false, kRows);
        const OnePass prepared(net, choice.value, products, true, kRows);
        EXPECT_EQ(prepared.all, plain.all);
        EXPECT_TRUE(prepared.forgot);
      }
    }
  }
}

TEST(PreparedWeights, OfFewRowsAreNotPrepared) {
  const Net net{20, {24, 16}, {8}};
  const OnePass few(net, BackboneKind::kMmoe, Products::kBf16, true, Chunks::kPrepared - 1);
  const OnePass plain(net, BackboneKind::kMmoe, Products::kBf16, false, kRows);
  EXPECT_EQ(few.all, plain.all);
}

}  // namespace
}  // namespace millrace
