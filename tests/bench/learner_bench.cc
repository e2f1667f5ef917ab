// How fast the dense model trains and scores, on the shapes of tests/peers/torch_mtl.py:
//   small  S1: 100 inputs → 4 experts [64,64], 2 linear gates → 2 towers [32,16]
//   large  S2: 1000 → 4 × [256,256] → [128,64]
//   ple2   S3: two levels of 2 own and 2 shared experts [64,64], 100 inputs, 2 tasks
// A step is forward, cross-entropy and its slopes, backward, and Adam, on one thread; of 4,096 rows
// on two threads as well, which must give the same bits. `train bf16`: products of bf16, where the
// processor has them; its share is of the limit of f32, too.
//
//   cmake --build --preset release --target learner_bench
//   build/release/tests/bench/learner_bench [--only small|large|ple2] [--batch N [--bf16]]
//       [--seconds S] [--json]
//
// Beside it: torch_mtl.py --only small (and large, ple); the JSON of both has the same form. A time
// is the 20th percentile of blocks of at least 100 ms: neighbours take the core for seconds, and a
// median measures them. `products` is the matrix limit: the library's best rate of single products
// in the same run, before and after; `share` is the step's multiply-adds against it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "learner/device/devices.h"
#include "learner/device/gemm.h"
#include "learner/device/threads.h"
#include "learner/math/activation.h"
#include "learner/math/loss.h"
#include "learner/model/model.h"
#include "learner/train/chunks.h"
#include "learner/train/dense_optimizer.h"
#include "learner/train/gradient_sum.h"
#include "learner/train/prepared_weights.h"
#include "tests/support/numeric.h"

namespace millrace {
namespace {

struct Arguments {
  std::string only;
  int batch = 0;  ///< For a profile: only steps of so many rows, no limit; 0: everything.
  double seconds = 4;
  bool json = false;
  bool bf16 = false;  ///< With `batch`.
};

struct Figure {
  std::string name, what;
  int batch;
  double ms;
  double gigaflops;
  int threads = 1;
};

/// Seconds of one call of `work`: the 20th percentile over blocks of calls.
double measure(double seconds, const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  const auto time = [&](int calls) {
    const auto begin = Clock::now();
    for (int i = 0; i < calls; ++i) work();
    return std::chrono::duration<double>(Clock::now() - begin).count() / calls;
  };
  time(3);
  const int calls = std::max(1, static_cast<int>(0.1 / time(3)));
  std::vector<double> times;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end || times.size() < 10) times.push_back(time(calls));
  std::sort(times.begin(), times.end());
  return times[times.size() / 5];
}

struct Shape {
  const char* name;
  int inputs;
  ModelOptions model;
};

std::vector<Shape> shapes() {
  Shape small{"small", 100, {}}, large{"large", 1000, {}}, ple{"ple2", 100, {}};
  large.model.expert_layers = {256, 256};
  large.model.tower_layers = {128, 64};
  ple.model.backbone = BackboneKind::kPle;
  return {small, large, ple};
}

constexpr int kTasks = 2;

/// A trainer's dense part over one batch that stays the same.
class Trainee {
 public:
  Trainee(const Shape& shape, int rows, int threads, Products products = Products::kF32)
      : cpu_(open_device<float>("cpu", products)),
        model_(shape.inputs, 0, kTasks, shape.model),
        threads_(threads),
        chunks_(rows),
        tile_(Chunks::tile(model_.parameter_count())),
        weights_(allocate_host<float>(model_.parameter_count())),
        prepared_(model_, rows, products),
        updater_({.rate = 0.001}, model_.parameter_count()),
        x_(rows, shape.inputs, 1),
        y_(rows, kTasks, 2),
        z_(rows, kTasks),
        dz_(rows, kTasks) {
    model_.initialise(1, {weights_.get(), static_cast<std::size_t>(model_.parameter_count())});
    for (float& y : y_.values) y = y > 1.28f ? 1 : 0;
    const int tile = std::min(rows, tile_);
    for (int t = 0; t < threads; ++t) work_.push_back(model_.workspace(*cpu_, tile));
    for (int c = 0; c < chunks_.count; ++c) {
      gradients_.push_back(allocate_host<float>(model_.parameter_count()));
      sums_.push_back(gradients_.back().get());
    }
  }

  void step() {
    prepared_.prepare(*cpu_, weights_.get(), chunks_.rows, false);
    for (auto& work : work_) prepared_.share(*cpu_, *work);
    const auto run = [&](int c, int t, float* gradient) {
      for (int r = chunks_.begin(c); r < chunks_.end(c); r += tile_) {
        tile(gradient, r > chunks_.begin(c), r, std::min(tile_, chunks_.end(c) - r),
             *work_[static_cast<std::size_t>(t)]);
      }
    };
    if (sum_of_chunks(chunks_.used(), sums_, updater_, threads_, run)) {
      updater_.step(weights_.get(), sums_[0], 1, threads_);
    }
  }

  /// Probabilities of all rows, without a step.
  void score() {
    const FlushDenormals flush;
    for (int r = 0; r < chunks_.rows; r += tile_) {
      const int rows = std::min(tile_, chunks_.rows - r);
      model_.forward(weights_.get(), View<const float>(x_).rows_from(r, rows), *work_[0],
                     z_.view().rows_from(r, rows));
    }
    for (std::size_t i = 0; i < z_.values.size(); ++i) {
      dz_.values[i] = math::sigmoid(z_.values[i]);
    }
  }

  /// Multiply-adds of one row in 1e9 operations: every weight takes one forward, and of a step one
  /// for its gradient and one for its input's slope, but for first layers, whose inputs need none.
  double row_gigaflops(bool train) const {
    double all = 0, first = 0;
    for (const ParameterSlot& slot : model_.parameters()) {
      if (slot.name.ends_with(".bias")) continue;
      const double count = double{1} * slot.rows * slot.cols;
      all += count;
      first += slot.rows == model_.inputs() ? count : 0;
    }
    return 2e-9 * (train ? 3 * all - first : all);
  }

  std::span<const float> weights() const {
    return {weights_.get(), static_cast<std::size_t>(model_.parameter_count())};
  }

 private:
  void tile(float* gradient, bool add, int first, int rows, Model<float>::Workspace& work) {
    const View<const float> x = View<const float>(x_).rows_from(first, rows);
    model_.forward(weights_.get(), x, work, z_.view().rows_from(first, rows));
    const float scale = 1 / static_cast<float>(chunks_.rows);
    for (int r = first; r < first + rows; ++r) {
      for (int t = 0; t < kTasks; ++t) dz_(r, t) = scale * math::bce(z_(r, t), y_(r, t)).slope;
    }
    model_.backward(weights_.get(), x, work, View<const float>(dz_).rows_from(first, rows),
                    gradient, add, {});
  }

  std::unique_ptr<Backend<float>> cpu_;
  Model<float> model_;
  Threads threads_;
  Chunks chunks_;
  int tile_;
  Buffer<float> weights_;
  PreparedWeights prepared_;
  DenseUpdater<float> updater_;
  Matrix<float> x_, y_, z_, dz_;
  std::vector<std::unique_ptr<Model<float>::Workspace>> work_;
  std::vector<Buffer<float>> gradients_;
  std::vector<float*> sums_;
};

/// The best of a few shapes, GF/s.
double product_rate(double seconds) {
  const int sizes[][3] = {
      {768, 768, 768}, {1024, 264, 104}, {1024, 128, 256}, {1024, 256, 256}, {1024, 1024, 1000}};
  const FlushDenormals flush;
  double best = 0;
  for (const auto& [M, N, K] : sizes) {
    const Matrix<float> a(M, K, 1), b(K, N, 2);
    Matrix<float> c(M, N);
    const double time = measure(seconds / 8, [&] { gemm::nn(a, b, false, c); });
    best = std::max(best, 2e-9 * M * N * K / time);
  }
  return best;
}

void print(const Arguments& arguments, double rate, const std::vector<Figure>& figures) {
  if (arguments.json) {
    std::printf("{\"products\": \"%s\", \"products_gflops\": %.1f, \"rows\": [", gemm::library(),
                rate);
    const char* comma = "";
    for (const Figure& f : figures) {
      std::printf(
          "%s{\"name\": \"%s\", \"what\": \"%s\", \"batch\": %d, \"threads\": %d, \"ms\": %.5f, "
          "\"per_s\": %.1f, \"share\": %.3f}",
          comma, f.name.c_str(), f.what.c_str(), f.batch, f.threads, f.ms, f.batch / f.ms * 1e3,
          f.gigaflops / (f.ms / 1e3) / rate / f.threads);
      comma = ", ";
    }
    std::printf("]}\n");
    return;
  }
  std::printf("products by %s: %.1f GF/s\n", gemm::library(), rate);
  for (const Figure& f : figures) {
    std::printf("%-6s %-10s B=%5d, %d threads %9.4f ms %12.0f rows/s  share %5.1f %%\n",
                f.name.c_str(), f.what.c_str(), f.batch, f.threads, f.ms, f.batch / f.ms * 1e3,
                100 * f.gigaflops / (f.ms / 1e3) / rate / f.threads);
  }
}

/// Ends the program where two threads give other weights than one.
void check_bits(const Shape& shape, int rows) {
  Trainee one(shape, rows, 1), two(shape, rows, 2);
  for (int step = 0; step < 5; ++step) {
    one.step();
    two.step();
  }
  if (!std::equal(one.weights().begin(), one.weights().end(), two.weights().begin())) {
    std::fprintf(stderr, "%s: two threads give other bits than one\n", shape.name);
    std::exit(1);
  }
}

void run_shape(const Arguments& arguments, const Shape& shape, std::vector<Figure>& figures) {
  const auto train = [&](int rows, int threads, Products products = Products::kF32) {
    Trainee trainee(shape, rows, threads, products);
    const double time = measure(arguments.seconds, [&] { trainee.step(); });
    const char* what = products == Products::kBf16 ? "train bf16" : "train";
    figures.push_back(
        {shape.name, what, rows, time * 1e3, rows * trainee.row_gigaflops(true), threads});
  };
  if (arguments.batch > 0) {
    return train(arguments.batch, 1, arguments.bf16 ? Products::kBf16 : Products::kF32);
  }
  if (has_fast_bf16()) train(1024, 1, Products::kBf16);
  train(1, 1);
  train(1024, 1);
  train(4096, 1);
  train(4096, 2);
  check_bits(shape, 4096);
  for (const int rows : {1, 100, 256}) {
    Trainee trainee(shape, rows, 1);
    const double time = measure(arguments.seconds / 2, [&] { trainee.score(); });
    figures.push_back(
        {shape.name, "infer", rows, time * 1e3, rows * trainee.row_gigaflops(false), 1});
  }
}

bool is_built(BackboneKind kind) {
  const auto& all = Choices<BackboneKind>::all;
  return std::any_of(all.begin(), all.end(),
                     [&](const auto& choice) { return choice.value == kind && choice.built; });
}

void run(const Arguments& arguments) {
  const bool profiled = arguments.batch > 0;
  double rate = profiled ? 1 : product_rate(arguments.seconds);
  std::vector<Figure> figures;
  for (const Shape& shape : shapes()) {
    if (!arguments.only.empty() && arguments.only != shape.name) continue;
    if (is_built(shape.model.backbone)) run_shape(arguments, shape, figures);
  }
  if (!profiled) rate = std::max(rate, product_rate(arguments.seconds));
  print(arguments, rate, figures);
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const bool has_value = i + 1 < count;
    if (std::strcmp(words[i], "--json") == 0) {
      arguments.json = true;
    } else if (std::strcmp(words[i], "--bf16") == 0) {
      arguments.bf16 = true;
    } else if (std::strcmp(words[i], "--only") == 0 && has_value) {
      arguments.only = words[++i];
    } else if (std::strcmp(words[i], "--batch") == 0 && has_value) {
      arguments.batch = std::max(1, std::atoi(words[++i]));
    } else if (std::strcmp(words[i], "--seconds") == 0 && has_value) {
      arguments.seconds = std::strtod(words[++i], nullptr);
    } else {
      std::fprintf(stderr,
                   "usage: %s [--only small|large|ple2] [--batch N [--bf16]] [--seconds S] "
                   "[--json]\n",
                   words[0]);
      std::exit(2);
    }
  }
  return arguments;
}

}  // namespace
}  // namespace millrace

int main(int count, char** words) {
  millrace::run(millrace::parse(count, words));
  return 0;
}
