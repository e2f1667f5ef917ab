// How fast embeddings learn: shape S4, 26 categorical features of dimension 16 (Zipf 1.05 over
// 400,000 keys each) into the small MMoE, 4,096 rows a batch, Adagrad rows. The tables begin empty,
// so keys never seen before, growth, and rows that expire are in the timed steps. Beside it:
// torch_mtl.py --only sparse, whose tables are full from the start.
//
//   cmake --build --preset release --target sparse_bench
//   build/release/tests/bench/sparse_bench [--steps N] [--threads N] [--memory] [--own-time]
//   [--json]
//
// Figures are 20th percentiles over the steps; the parts are those of the inputs alone. `share` is
// that of the step's multiply-adds at the rate of the best matrix product of the same run.
// --own-time: by the time of the process itself; of one thread alone.
// --memory: what ten million rows of dimension 16 take, as the process grows by them.
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "learner/device/gemm.h"
#include "learner/device/threads.h"
#include "learner/layers/input_layer.h"
#include "learner/model/model.h"
#include "learner/train/trainer.h"
#include "tests/bench/sparse_stream.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

/// Whether the process's own time is taken, for machines that others keep busy.
bool own_time = false;

double now_milliseconds() {
  timespec time{};
  clock_gettime(own_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

double milliseconds(const std::function<void()>& work) {
  const double begin = now_milliseconds();
  work();
  return now_milliseconds() - begin;
}

double percentile(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 5];
}

/// The best of the shapes of the step's limit, GF/s.
double product_rate() {
  const int sizes[][3] = {
      {768, 768, 768}, {1024, 264, 104}, {1024, 256, 128}, {1024, 256, 256}, {1024, 1024, 1000}};
  double best = 0;
  for (const auto& [M, N, K] : sizes) {
    const Matrix<float> a(M, K, 1), b(K, N, 2);
    Matrix<float> c(M, N);
    std::vector<double> times;
    double spent = 0;
    while (spent < 300) {
      times.push_back(milliseconds([&] { gemm::nn(a, b, false, c); }));
      spent += times.back();
    }
    best = std::max(best, 2e-6 * M * N * K / percentile(times));
  }
  return best;
}

LearnerOptions options(int threads) {
  LearnerOptions options;
  options.train.batch = kSparseBatch;
  options.train.threads = threads;
  // Rows go in the last third of the steps.
  options.embeddings.expire_after = Duration{200'000};
  return options;
}

struct Parts {
  std::vector<double> look_up, gather, scatter, update;
};

void run_inputs(int steps, int thread_count, Parts& parts) {
  const Schema schema = sparse_schema();
  const LearnerOptions o = options(thread_count);
  Threads threads(thread_count);
  InputLayer inputs(schema, o.embeddings, o.train.embedding, 1, &threads);
  SparseStream stream;
  Matrix<float> x(kSparseBatch, schema.inputs());
  Matrix<float> dx(kSparseBatch, schema.inputs(), 3);
  for (float& slope : dx.values) slope *= 1e-6F;
  const FlushDenormals flush;
  for (int step = 0; step < steps; ++step) {
    const Batch& batch = stream.next();
    parts.look_up.push_back(milliseconds([&] {
      inputs.advance(batch.due);
      inputs.look_up(batch);
    }));
    parts.gather.push_back(milliseconds([&] {
      for (int r = 0; r < kSparseBatch; r += 256) inputs.gather(r, x.view().rows_from(r, 256));
    }));
    parts.scatter.push_back(milliseconds([&] { inputs.scatter(dx, kSparseBatch); }));
    parts.update.push_back(milliseconds([&] { inputs.keep(); }));
  }
}

/// Multiply-adds of the step: forward, the weights' gradients, and those of every input.
double gigaflops(const Schema& schema, const ModelOptions& model) {
  const Model<float> net(schema, model);
  return 2e-9 * 3 * static_cast<double>(net.parameter_count()) * kSparseBatch;
}

void run_steps(int steps, int threads, bool json) {
  const Schema schema = sparse_schema();
  const LearnerOptions o = options(threads);
  double rate = product_rate();
  Parts parts;
  run_inputs(steps, threads, parts);
  Trainer trainer("sparse", schema, o);
  SparseStream stream;
  std::vector<double> times;
  for (int step = 0; step < steps; ++step) {
    const Batch& batch = stream.next();
    times.push_back(milliseconds([&] { trainer.train(batch); }));
  }
  rate = std::max(rate, product_rate());
  const double ms = percentile(times), mean = [&] {
    double sum = 0;
    for (const double time : times) sum += time;
    return sum / static_cast<double>(times.size());
  }();
  const double share = gigaflops(schema, o.model) / (ms / 1e3) / rate / threads;
  std::uint64_t rows = 0, admitted = 0, expired = 0;
  for (const TableReport& table : trainer.report().tables) {
    rows += table.rows;
    admitted += table.admitted;
    expired += table.expired;
  }
  std::vector<double> single;
  for (int step = 0; step < 400; ++step) {
    const Batch& batch = stream.next(1);
    single.push_back(milliseconds([&] { trainer.train(batch); }));
  }
  const double look_up = percentile(parts.look_up), gather = percentile(parts.gather);
  const double scatter = percentile(parts.scatter), update = percentile(parts.update);
  if (json) {
    std::printf(
        "{\"products_gflops\": %.1f, \"threads\": %d, \"rows\": [{\"name\": \"sparse\", "
        "\"what\": \"train\", \"batch\": %d, \"ms\": %.5f, \"mean_ms\": %.5f, \"per_s\": %.1f, "
        "\"share\": %.3f, \"look_up_ms\": %.3f, \"gather_ms\": %.3f, \"scatter_ms\": %.3f, "
        "\"update_ms\": %.3f}, {\"name\": \"sparse\", \"what\": \"train\", \"batch\": 1, "
        "\"ms\": %.5f, \"per_s\": %.1f}]}\n",
        rate, threads, kSparseBatch, ms, mean, kSparseBatch / ms * 1e3, share, look_up, gather,
        scatter, update, percentile(single), 1e3 / percentile(single));
    return;
  }
  std::printf("products by %s: %.1f GF/s\n", gemm::library(), rate);
  std::printf("sparse train B=%d %9.3f ms (mean %.3f) %9.0f rows/s  share %3.0f %%\n", kSparseBatch,
              ms, mean, kSparseBatch / ms * 1e3, 100 * share);
  std::printf("  look-up %.3f ms, gather %.3f, scatter %.3f, update %.3f\n", look_up, gather,
              scatter, update);
  std::printf("  %llu rows at the end; %llu admitted and %llu expired in %d steps\n",
              static_cast<unsigned long long>(rows), static_cast<unsigned long long>(admitted),
              static_cast<unsigned long long>(expired), steps);
  std::printf("sparse train B=1 %9.4f ms\n", percentile(single));
}

/// What the process holds in memory, in bytes.
double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  long pages = 0;
  file >> pages >> pages;
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// As a trainer does that publishes and commits as it goes.
void run_memory() {
  constexpr std::uint64_t kRows = 10'000'000, kStep = 4096;
  const LearnerOptions o = options(1);
  const double before = resident_bytes();
  EmbeddingTable table({"t", 16, row_state(o.train.embedding, 16), 1, false}, {});
  std::vector<std::uint64_t> keys(kStep), changed, erased;
  std::vector<std::uint32_t> slots(kStep);
  std::vector<float> weights;
  std::uint64_t sequence = 0;
  for (std::uint64_t next = 1; next <= kRows; next += kStep) {
    const std::uint64_t count = std::min(kStep, kRows + 1 - next);
    keys.resize(count);
    slots.resize(count);
    for (std::uint64_t i = 0; i < count; ++i) keys[i] = mix_bits(next + i);
    table.begin(EventTime{1'764'000'000'000});
    table.look_up(keys, slots);
    table.keep();
    if (next / kStep % 16 != 0) continue;
    changed.clear();
    weights.clear();
    table.publish(false, changed, weights, erased);
    StateChanges changes;
    table.save(++sequence, {}, changes);
  }
  std::printf("%llu rows of dimension 16 with Adagrad: %.3f GB counted, %.3f GB resident\n",
              static_cast<unsigned long long>(table.rows()),
              static_cast<double>(table.bytes()) / 1e9, (resident_bytes() - before) / 1e9);
}

}  // namespace
}  // namespace millrace

int main(int count, char** words) {
  int steps = 300, threads = 1;
  bool json = false, memory = false;
  for (int i = 1; i < count; ++i) {
    const bool has_value = i + 1 < count;
    if (std::strcmp(words[i], "--json") == 0) json = true;
    if (std::strcmp(words[i], "--memory") == 0) memory = true;
    if (std::strcmp(words[i], "--own-time") == 0) millrace::own_time = true;
    if (std::strcmp(words[i], "--steps") == 0 && has_value) steps = std::atoi(words[++i]);
    if (std::strcmp(words[i], "--threads") == 0 && has_value) threads = std::atoi(words[++i]);
  }
  if (memory) {
    millrace::run_memory();
  } else {
    millrace::run_steps(steps, threads, json);
  }
}
