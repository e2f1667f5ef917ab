// How long whole steps of the trainer take, one thread (tests/peers/torch_mtl.py has the shapes):
//   balance  S1, 100 inputs → 4 experts [64,64] → 2 towers [32,16], 1,024 rows, balanced by each
//            method that is built; what a method adds is against `fixed` in the same run
//   sparse   S4: 26 categoricals of dimension 16, keys by Zipf 1.05 over 400,000 each → the same
//            net, 4,096 rows, Adagrad rows. Batches come again after 96 steps, but one key in a
//            hundred was never seen before and never comes again; rows not touched for 128 steps
//            expire: tables grow and shrink within the timed steps.
// Everything a step does is in the time: look-up, metrics, guardrails, balancer.
//
//   cmake --build --preset release --target step_bench
//   build/release/tests/bench/step_bench [--only balance|sparse] [--seconds S] [--json]
//
// A time is the 20th percentile of blocks of at least 100 ms; methods take turns, block by block.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "learner/base/freed_memory.h"
#include "learner/base/hash.h"
#include "learner/base/random.h"
#include "learner/train/trainer.h"

namespace millrace {
namespace {

struct Arguments {
  std::string only;
  double seconds = 4;
  bool json = false;
};

struct Figure {
  std::string name, what;
  int batch;
  double ms;
};

std::vector<Task> two_tasks() {
  std::vector<Task> tasks(2);
  tasks[0].name = "a";
  tasks[1].name = "b";
  return tasks;
}

float normal(std::uint64_t stream, std::uint64_t at) {
  const auto bits = philox(1, stream, at);
  return static_cast<float>(to_normal(bits[0], bits[1])[0]);
}

/// Labels, one in ten of them 1, and weights of `rows` rows.
void add_labels(Batch& batch, int rows, std::uint64_t stream) {
  batch.rows = rows;
  for (int i = 0; i < 2 * rows; ++i) {
    batch.labels.push_back(normal(stream, static_cast<std::uint64_t>(i)) > 1.28F ? 1.F : 0.F);
  }
  batch.condition.assign(static_cast<std::size_t>(2 * rows), 1);
  batch.weights.assign(static_cast<std::size_t>(rows), 1);
}

double percentile(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 5];
}

/// Times blocks of steps; what `prepare` does before each is not in the time.
class Timed {
 public:
  Timed(std::function<void()> prepare, std::function<void()> step)
      : prepare_(std::move(prepare)), step_(std::move(step)) {}

  void block() {
    double seconds = 0;
    int steps = 0;
    for (; seconds < 0.1; ++steps) {
      prepare_();
      const auto begin = std::chrono::steady_clock::now();
      step_();
      seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    times_.push_back(seconds / steps);
  }
  double seconds() const { return percentile(times_); }

 private:
  std::function<void()> prepare_, step_;
  std::vector<double> times_;
};

struct Method {
  std::string name;
  BalanceOptions options;
};

std::vector<Method> methods() {
  std::vector<Method> all;
  for (const auto& choice : Choices<BalanceMethod>::all) {
    if (!choice.built) continue;
    Method& method = all.emplace_back();
    method.name = choice.name;
    method.options.method = choice.value;
  }
  for (const auto& choice : Choices<Surgery>::all) {
    if (!choice.built || choice.value == Surgery::kNone) continue;
    Method& method = all.emplace_back();
    method.name = choice.name;
    method.options.method = BalanceMethod::kFixed;
    method.options.surgery = choice.value;
  }
  return all;
}

void run_balance(const Arguments& arguments, std::vector<Figure>& figures) {
  constexpr int kRows = 1024, kInputs = 100;
  std::vector<Feature> features(1);
  features[0].name = "x";
  features[0].kind = FeatureKind::kDense;
  features[0].width = kInputs;
  const Schema schema(features, two_tasks());
  Batch batch = empty_batch(schema, Stream::kMatured);
  for (std::uint64_t i = 0; i < std::uint64_t{kRows} * kInputs; ++i) {
    batch.dense.push_back(normal(0, i));
  }
  add_labels(batch, kRows, 1);
  batch.due = batch.first_due = batch.seen = EventTime{1'764'000'000'000};
  std::vector<std::unique_ptr<Trainer>> trainers;
  std::vector<Timed> timed;
  for (const Method& method : methods()) {
    LearnerOptions options;
    options.train.batch = kRows;
    options.balance = method.options;
    trainers.push_back(std::make_unique<Trainer>(method.name, schema, options));
    Trainer& trainer = *trainers.back();
    timed.emplace_back([] {}, [&trainer, &batch] { trainer.train(batch); });
  }
  const int blocks = std::max(5, static_cast<int>(arguments.seconds / 0.1));
  for (int block = 0; block < blocks; ++block) {
    for (Timed& one : timed) one.block();
  }
  for (std::size_t m = 0; m < timed.size(); ++m) {
    figures.push_back({"balance", trainers[m]->name(), kRows, timed[m].seconds() * 1e3});
  }
}

/// Ranks 1…400,000 by Zipf's law with exponent 1.05.
class Zipf {
 public:
  Zipf() : sums_(400'000) {
    double sum = 0;
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      sums_[i] = sum += std::pow(static_cast<double>(i + 1), -1.05);
    }
  }
  std::uint64_t rank(double unit) const {
    const auto at = std::upper_bound(sums_.begin(), sums_.end(), unit * sums_.back());
    return static_cast<std::uint64_t>(at - sums_.begin()) + 1;
  }

 private:
  std::vector<double> sums_;
};

/// Batches whose keys come again and again, but for those that `next` makes new each time.
class SparseBatches {
 public:
  static constexpr int kRows = 4096, kFields = 26, kBatches = 96, kNewInAHundred = 1;
  static constexpr int kSpan = 250;  ///< Milliseconds of event time of a batch.

  explicit SparseBatches(const Schema& schema) {
    const Zipf zipf;
    std::uint64_t draw = 0;
    for (int b = 0; b < kBatches; ++b) {
      Batch& batch = batches_.emplace_back(empty_batch(schema, Stream::kMatured));
      add_labels(batch, kRows, 100 + static_cast<std::uint64_t>(b));
      for (KeyColumn& column : batch.columns) {
        for (int r = 0; r < kRows; ++r) {
          column.keys.push_back(mix_bits(zipf.rank(to_unit(philox(2, 0, draw++)[0]))));
        }
      }
    }
  }

  const Batch& next() {
    Batch& batch = batches_[static_cast<std::size_t>(steps_ % kBatches)];
    for (KeyColumn& column : batch.columns) {
      for (int r = 0; r < kRows; r += 100 / kNewInAHundred) {
        column.keys[static_cast<std::size_t>(r)] = mix_bits(1'000'000'000 + new_keys_++);
      }
    }
    batch.first_due = EventTime{1'764'000'000'000 + steps_ * kSpan};
    batch.due = batch.seen = EventTime{1'764'000'000'000 + (steps_ + 1) * kSpan};
    ++steps_;
    return batch;
  }

 private:
  std::vector<Batch> batches_;
  std::int64_t steps_ = 0;
  std::uint64_t new_keys_ = 0;
};

void run_sparse(const Arguments& arguments, std::vector<Figure>& figures) {
  std::vector<Feature> features(SparseBatches::kFields);
  for (std::size_t f = 0; f < features.size(); ++f) {
    features[f].name = "c" + std::to_string(f);
    features[f].dimension = 16;
  }
  const Schema schema(features, two_tasks());
  LearnerOptions options;
  options.train.batch = SparseBatches::kRows;
  options.train.embedding.rate = 0.02;
  options.balance.method = BalanceMethod::kFixed;
  options.embeddings.expire_after = Duration{128 * SparseBatches::kSpan};
  Trainer trainer("sparse", schema, options);
  SparseBatches batches(schema);
  for (int i = 0; i < 2 * SparseBatches::kBatches; ++i) trainer.train(batches.next());
  const Batch* batch = nullptr;
  Timed timed([&] { batch = &batches.next(); }, [&] { trainer.train(*batch); });
  const int blocks = std::max(10, static_cast<int>(2 * arguments.seconds / 0.1));
  for (int block = 0; block < blocks; ++block) timed.block();
  figures.push_back({"sparse", "train", SparseBatches::kRows, timed.seconds() * 1e3});
}

void print(const Arguments& arguments, const std::vector<Figure>& figures) {
  if (arguments.json) std::printf("{\"threads\": 1, \"rows\": [");
  const char* comma = "";
  for (const Figure& f : figures) {
    const double rate = f.batch / f.ms * 1e3;
    if (arguments.json) {
      std::printf(
          "%s{\"name\": \"%s\", \"what\": \"%s\", \"batch\": %d, \"threads\": 1, "
          "\"ms\": %.5f, \"per_s\": %.1f}",
          comma, f.name.c_str(), f.what.c_str(), f.batch, f.ms, rate);
      comma = ", ";
    } else {
      std::printf("%-8s %-12s B=%5d %9.3f ms %12.0f rows/s\n", f.name.c_str(), f.what.c_str(),
                  f.batch, f.ms, rate);
    }
  }
  if (arguments.json) std::printf("]}\n");
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const bool has_value = i + 1 < count;
    if (std::strcmp(words[i], "--json") == 0) {
      arguments.json = true;
    } else if (std::strcmp(words[i], "--only") == 0 && has_value) {
      arguments.only = words[++i];
    } else if (std::strcmp(words[i], "--seconds") == 0 && has_value) {
      arguments.seconds = std::strtod(words[++i], nullptr);
    } else {
      std::fprintf(stderr, "usage: %s [--only balance|sparse] [--seconds S] [--json]\n", words[0]);
      std::exit(2);
    }
  }
  return arguments;
}

}  // namespace
}  // namespace millrace

int main(int count, char** words) {
  millrace::keep_freed_memory();  // as the program does
  const millrace::Arguments arguments = millrace::parse(count, words);
  std::vector<millrace::Figure> figures;
  if (arguments.only != "sparse") millrace::run_balance(arguments, figures);
  if (arguments.only != "balance") millrace::run_sparse(arguments, figures);
  millrace::print(arguments, figures);
  return 0;
}
