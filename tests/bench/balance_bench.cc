// What balancing, gradient surgery and the relations between tasks cost: the whole training step on
// S1 (100 inputs, 4 experts [64, 64], 2 towers [32, 16], batches of 1,024, one thread) beside the
// same step with fixed weights and nothing measured. All take turns, so that neighbours of the
// machine are alike for them.
//
//   cmake --build --preset release --target balance_bench
//   build/release/tests/bench/balance_bench [--json]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "learner/base/random.h"
#include "learner/device/threads.h"
#include "learner/train/trainer.h"

namespace millrace {
namespace {

constexpr int kRows = 1024, kInputs = 100, kSteps = 16, kRounds = 40;

Schema s1() {
  Feature inputs;
  inputs.name = "x";
  inputs.kind = FeatureKind::kDense;
  inputs.width = kInputs;
  std::vector<Task> tasks(2);
  tasks[0].name = "a";
  tasks[1].name = "b";
  return {{inputs}, tasks};
}

Batch batch_of(const Schema& schema, int index) {
  Batch batch = empty_batch(schema, Stream::kMatured);
  batch.rows = kRows;
  for (int row = 0; row < kRows; ++row) {
    const auto place = static_cast<std::uint64_t>(index * kRows + row);
    float signal[2] = {};
    for (std::uint64_t i = 0; i < kInputs; ++i) {
      const auto bits = philox(1, i, place);
      batch.dense.push_back(static_cast<float>(to_normal(bits[0], bits[1])[0]));
      signal[i % 2] += batch.dense.back();
    }
    for (const float value : signal) batch.labels.push_back(value > 5 ? 1.F : 0.F);
    batch.condition.insert(batch.condition.end(), {1, 1});
    batch.weights.push_back(1);
  }
  batch.due = batch.seen = EventTime{1'764'000'000'000 + index * 250};
  return batch;
}

struct Variant {
  std::string name;
  BalanceMethod method = BalanceMethod::kFixed;
  Surgery surgery = Surgery::kNone;
  int every = 0;
  std::unique_ptr<Trainer> trainer = nullptr;
  std::vector<double> seconds = {};
};

int run(bool json) {
  const Schema schema = s1();
  std::vector<Batch> batches;
  for (int i = 0; i < kSteps; ++i) batches.push_back(batch_of(schema, i));
  std::vector<Variant> variants;
  variants.push_back({"fixed"});
  variants.push_back({"uncertainty", BalanceMethod::kUncertainty});
  variants.push_back({"gradnorm", BalanceMethod::kGradnorm});
  variants.push_back({"dwa", BalanceMethod::kDwa});
  variants.push_back({"pcgrad", BalanceMethod::kFixed, Surgery::kPcgrad});
  variants.push_back({"cagrad", BalanceMethod::kFixed, Surgery::kCagrad});
  variants.push_back({"relations", BalanceMethod::kFixed, Surgery::kNone, RelationOptions{}.every});
  for (Variant& variant : variants) {
    LearnerOptions options;
    options.train.batch = kRows;
    options.balance.method = variant.method;
    options.balance.surgery = variant.surgery;
    options.relations.every = variant.every;
    // The same batches over and over: they are learned by heart, which would freeze the tasks.
    options.guardrails.spike.enabled = options.guardrails.calibration.enabled = false;
    options.guardrails.silent.enabled = false;
    variant.trainer = std::make_unique<Trainer>("s1", schema, options);
  }
  const FlushDenormals flush;
  for (int round = 0; round < kRounds; ++round) {
    for (Variant& variant : variants) {
      const auto start = std::chrono::steady_clock::now();
      for (const Batch& batch : batches) variant.trainer->train(batch);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (round > 0) variant.seconds.push_back(took.count() / kSteps);
    }
  }
  double fixed = 0;
  std::string rows;
  for (Variant& variant : variants) {
    std::sort(variant.seconds.begin(), variant.seconds.end());
    const double step = variant.seconds[variant.seconds.size() / 5];  // the 20th percentile
    if (fixed == 0) fixed = step;
    const double extra = 100 * (step / fixed - 1);
    if (!json) std::printf("S1 %-12s %.3f ms %+.1f %%\n", variant.name.c_str(), 1e3 * step, extra);
    char row[160];
    std::snprintf(row, sizeof row, "%s{\"name\": \"%s\", \"ms\": %.5f, \"extra_percent\": %.2f}",
                  rows.empty() ? "" : ", ", variant.name.c_str(), 1e3 * step, extra);
    rows += row;
  }
  if (json) std::printf("{\"rows\": [%s]}\n", rows.c_str());
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int count, char** words) {
  return millrace::run(count > 1 && std::strcmp(words[1], "--json") == 0);
}
