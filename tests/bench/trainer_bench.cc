// How fast the whole step trains the contract's model: embeddings, metrics and balancing included.
// Batches of 1,024 rows with Zipf users and items on one thread.
//
//   cmake --build --preset release --target trainer_bench
//   build/release/tests/bench/trainer_bench [--json]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "learner/base/hash.h"
#include "learner/base/random.h"
#include "learner/device/threads.h"
#include "learner/train/trainer.h"
#include "tests/support/shop.h"

namespace millrace {
namespace {

constexpr int kRows = 1024;
constexpr int kBatches = 64;

// The `index`th batch: one row in ten has a click, and with it the labels that follow.
Batch batch_of(const Schema& schema, int index) {
  Batch batch = empty_batch(schema, Stream::kMatured);
  batch.rows = kRows;
  const float missing = std::numeric_limits<float>::quiet_NaN();
  auto unit = [&](int row, std::uint64_t stream) {
    return to_unit(philox(1, stream, static_cast<std::uint64_t>(index * kRows + row))[0]);
  };
  auto popular = [&](int row, std::uint64_t stream, double count) {
    return mix_bits(1 + static_cast<std::uint64_t>(std::exp(unit(row, stream) * std::log(count))));
  };
  for (int row = 0; row < kRows; ++row) {
    batch.columns[0].keys.push_back(popular(row, 1, 200'000));
    batch.columns[1].keys.push_back(popular(row, 2, 6));
    batch.columns[2].keys.push_back(popular(row, 3, 50'000));
    for (const std::uint64_t genre : {4, 5})
      batch.columns[3].keys.push_back(popular(row, genre, 8));
    batch.columns[3].ends.push_back(static_cast<std::uint32_t>(batch.columns[3].keys.size()));
    batch.numeric.push_back(static_cast<float>(3 * unit(row, 6)));
    for (std::uint64_t i = 0; i < 8; ++i) {
      batch.dense.push_back(static_cast<float>(unit(row, 10 + i) - 0.5));
    }
    const bool click = unit(row, 7) < 0.1, more = unit(row, 8) < 0.2;
    const auto yes = static_cast<std::uint8_t>(click ? 1 : 0);
    const float then = more ? 1.F : 0.F;
    const float labels[] = {click ? 1.F : 0.F, click ? then : 0.F, click ? 2.F : missing,
                            click ? then : missing};
    batch.labels.insert(batch.labels.end(), std::begin(labels), std::end(labels));
    batch.condition.insert(batch.condition.end(), {1, yes, yes, yes});
    batch.weights.push_back(1);
  }
  batch.due = batch.seen = EventTime{1'764'000'000'000 + index * 250};
  return batch;
}

int run(bool json) {
  const Schema schema = shop_schema();
  LearnerOptions options;
  options.train.batch = kRows;
  Trainer trainer("shop", schema, options);
  std::vector<Batch> batches;
  for (int i = 0; i < kBatches; ++i) batches.push_back(batch_of(schema, i));
  for (const Batch& batch : batches) trainer.train(batch);  // rows are there, caches are warm

  const FlushDenormals flush;
  std::vector<double> rates;
  for (int block = 0; block < 20; ++block) {
    const auto start = std::chrono::steady_clock::now();
    for (const Batch& batch : batches) trainer.train(batch);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    rates.push_back(kRows * kBatches / took.count());
  }
  std::sort(rates.begin(), rates.end());
  const double rate = rates[rates.size() * 4 / 5];  // the 20th percentile of the times
  if (json) {
    std::printf(
        "{\"rows\": [{\"name\": \"contract\", \"what\": \"train\", \"batch\": %d, "
        "\"ms\": %.5f, \"per_s\": %.1f}]}\n",
        kRows, 1e3 * kRows / rate, rate);
  } else {
    std::printf("contract train B=%d %.3f ms %.0f rows/s\n", kRows, 1e3 * kRows / rate, rate);
  }
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int count, char** words) {
  return millrace::run(count > 1 && std::strcmp(words[1], "--json") == 0);
}
