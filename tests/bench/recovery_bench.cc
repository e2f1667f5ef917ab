// How long a start takes with a state of many rows: the store is opened, the model restored, its
// first version made and taken over by those who score. Writes 1.6 GB for 10 million rows.
//
//   cmake --build --preset release --target recovery_bench
//   build/release/tests/bench/recovery_bench [--rows 10000000]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include "learner/base/hash.h"
#include "learner/publish/serving_model.h"
#include "learner/train/trainer.h"
#include "store/store.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

constexpr int kBatchRows = 1024;
constexpr int kKeysOfARow = 64;

Schema schema_of_items() {
  Feature items;
  items.name = "items";
  items.kind = FeatureKind::kBag;
  items.dimension = 16;
  return {{items}, {{.name = "ctr"}}};
}

LearnerOptions options_of_items(long rows) {
  LearnerOptions options;
  options.train.batch = kBatchRows;
  options.embeddings.max_rows = 2 * rows;
  return options;
}

// Every key of it is new.
Batch batch_of(const Schema& schema, std::uint64_t first_key) {
  Batch batch = empty_batch(schema, Stream::kMatured);
  batch.rows = kBatchRows;
  for (int row = 0; row < kBatchRows; ++row) {
    for (int i = 0; i < kKeysOfARow; ++i) batch.columns[0].keys.push_back(mix_bits(first_key++));
    batch.columns[0].ends.push_back(static_cast<std::uint32_t>(batch.columns[0].keys.size()));
    batch.labels.push_back(row % 10 == 0 ? 1.F : 0.F);
    batch.condition.push_back(1);
    batch.weights.push_back(1);
  }
  batch.due = batch.seen = EventTime{1'764'000'000'000};
  return batch;
}

void commit(Store& store, Trainer& trainer) {
  Commit commit;
  commit.sequence = store.sequence() + 1;
  const std::vector<Cleaning> cleanings = store.cleanings();
  commit.parts.push_back({trainer.participant_name(), trainer.save(commit.sequence, cleanings)});
  store.write(commit);
}

void write_state(const std::string& path, const Schema& schema, long rows) {
  const auto store = Store::open(path, Store::Access::kWrite);
  Trainer trainer("bench", schema, options_of_items(rows));
  constexpr long kKeysOfABatch = long{kBatchRows} * kKeysOfARow;
  for (long key = 0; key < rows; key += kKeysOfABatch) {
    trainer.train(batch_of(schema, 1 + static_cast<std::uint64_t>(key)));
    commit(*store, trainer);
  }
}

/// Prints what each step took, by the clock and of the processor.
class Laps {
 public:
  void end(const char* step) {
    const auto now = std::chrono::steady_clock::now();
    const std::clock_t processor = std::clock();
    const std::chrono::duration<double> took = now - std::exchange(last_, now);
    const double used =
        static_cast<double>(processor - std::exchange(processor_, processor)) / CLOCKS_PER_SEC;
    std::printf("%-8s %6.2f s, %6.2f s of the processor\n", step, took.count(), used);
    all_ += took.count();
  }
  double all() const { return all_; }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::clock_t processor_ = std::clock();
  double all_ = 0;
};

int run(long rows) {
  const TempFolder folder;
  const std::string path = folder / "store";
  const Schema schema = schema_of_items();
  write_state(path, schema, rows);

  Laps laps;
  const auto store = Store::open(path, Store::Access::kWrite);
  laps.end("open");
  Trainer trainer("bench", schema, options_of_items(rows));
  store->restore(trainer);
  laps.end("restore");
  if (!trainer.held().empty()) return 1;
  laps.end("check");
  const Publication publication = trainer.publish();
  laps.end("publish");
  ServingModel serving(schema);
  serving.apply(publication, {store->sequence(), 0});
  laps.end("apply");
  std::printf("%llu rows in %.2f s\n", static_cast<unsigned long long>(serving.rows()), laps.all());
  return 0;
}

}  // namespace
}  // namespace millrace

int main(int count, char** words) {
  long rows = 10'000'000;
  if (count == 3 && std::strcmp(words[1], "--rows") == 0) rows = std::atol(words[2]);
  if ((count != 1 && count != 3) || rows <= 0) {
    std::fprintf(stderr, "usage: recovery_bench [--rows N]\n");
    return 2;
  }
  return millrace::run(rows);
}
