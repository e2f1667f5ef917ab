// How many candidates a second are scored on one thread, one request after another:
//   contract  the contract's model (tests/data/contract/millrace.yaml): `request` from the body's
//             JSON to the answer's, as a scoring thread does it; `score` the scorer alone
//   small     100 inputs → 4 experts [64,64] → 2 towers [32,16]; 38 of the inputs in the context
//             under `small context`
//   large     1000 → 4 × [256,256] → [128,64]
// all through the published table and the pin, as served.
//
//   cmake --build --preset release --target score_bench
//   build/release/tests/bench/score_bench [--seconds S] [--rows N] [--json]
//
// Beside it: onnx_infer.py and torch_mtl.py in tests/peers. A time is the 20th percentile of blocks
// of some 20 ms, since neighbours take the core for seconds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ingest/encode/features.h"
#include "learner/base/random.h"
#include "learner/model/model.h"
#include "learner/publish/scorer.h"
#include "serve/api/score.h"

namespace millrace {
namespace {

struct Arguments {
  double seconds = 2;
  std::vector<int> rows{100, 256};
  bool json = false;
};

struct Figure {
  std::string name, what;
  int rows;
  double ms;
};

double measure(double seconds, const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  auto time = [&](int calls) {
    const auto begin = Clock::now();
    for (int i = 0; i < calls; ++i) work();
    return std::chrono::duration<double>(Clock::now() - begin).count() / calls;
  };
  time(3);
  const int calls = std::max(1, static_cast<int>(0.02 / time(3)));
  std::vector<double> times;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end || times.size() < 20) times.push_back(time(calls));
  std::sort(times.begin(), times.end());
  return times[times.size() / 5];
}

Feature feature(const char* name, FeatureKind kind, int size, bool context) {
  Feature f;
  f.name = name;
  f.kind = kind;
  (kind == FeatureKind::kDense ? f.width : f.dimension) = size;
  f.context = context;
  return f;
}

Schema contract_schema() {
  using K = FeatureKind;
  std::vector<Feature> features{
      feature("user_id", K::kCategorical, 16, true),  feature("country", K::kCategorical, 4, true),
      feature("item_id", K::kCategorical, 16, false), feature("genres", K::kBag, 8, false),
      feature("price", K::kNumeric, 0, false),        feature("taste", K::kDense, 8, false)};
  features[4].transform = Transform::kLog1p;
  std::vector<Task> tasks(4);
  const char* names[] = {"ctr", "cvr", "dwell", "like"};
  for (std::size_t t = 0; t < 4; ++t) tasks[t].name = names[t];
  tasks[1].given = tasks[2].given = tasks[3].given = 0;
  tasks[2].kind = TaskKind::kRegression;
  tasks[2].transform = Transform::kLog1p;
  return {features, tasks};
}

Schema dense_schema(int inputs, int context) {
  std::vector<Feature> features;
  if (context > 0) features.push_back(feature("context", FeatureKind::kDense, context, true));
  features.push_back(feature("candidate", FeatureKind::kDense, inputs - context, false));
  std::vector<Task> tasks(2);
  tasks[0].name = "a";
  tasks[1].name = "b";
  return {features, tasks};
}

constexpr std::uint32_t kItems = 100'000;

// The first weights, and rows for all items, a thousand users and twenty genres.
Publication publication_of(const Schema& schema, const ModelOptions& options) {
  Publication publication;
  publication.complete = true;
  publication.seen = EventTime{0};
  for (const Table& table : schema.tables()) {
    TableUpdate& update = publication.tables.emplace_back();
    const bool items = table.name == "item_id";
    const std::uint32_t count = items ? kItems : 1000;
    for (std::uint32_t i = 0; i < count; ++i) {
      update.keys.push_back(feature_key(std::to_string(i), table.seed));
    }
    update.rows.assign(std::size_t{count} * static_cast<std::size_t>(table.dimension), 0.05F);
  }
  const Model<float> model(schema, options);
  auto dense = std::make_shared<DenseWeights>();
  dense->parameters.resize(static_cast<std::size_t>(model.parameter_count()));
  model.initialise(1, dense->parameters);
  dense->numeric.assign(schema.numeric_features().size(), {1, 1});
  dense->labels.assign(schema.tasks().size(), {-5, 5});
  publication.dense = dense;
  return publication;
}

// Another request each time: items spread over the whole table.
std::vector<std::string> bodies_of(int rows) {
  std::vector<std::string> bodies;
  for (std::uint64_t n = 0; n < 64; ++n) {
    std::string body = R"({"context":{"user_id":")" + std::to_string(n) + R"(","country":"DE"},)" +
                       "\"candidates\":[";
    for (int r = 0; r < rows; ++r) {
      const auto draw = philox(1, n, static_cast<std::uint64_t>(r));
      const std::string item = std::to_string(draw[0] % kItems);
      body += std::string(r == 0 ? "" : ",") + R"({"id":")" + item + R"(","item_id":")" + item +
              R"(","genres":[")" + std::to_string(draw[1] % 20) + "\",\"" +
              std::to_string(draw[2] % 20) + R"("],"price":)" + std::to_string(draw[3] % 100) +
              R"(.5,"taste":[0.1,-0.2,0,0.4,0,0,0.3,1]})";
    }
    bodies.push_back(body + "]}");
  }
  return bodies;
}

void run_contract(const Arguments& arguments, std::vector<Figure>& figures) {
  const Schema schema = contract_schema();
  ServeParts parts;
  parts.model = "shop";
  parts.schema = &schema;
  ServingModel serving(schema);
  serving.apply(publication_of(schema, parts.model_options), {1, 0});
  parts.serving = &serving;
  const auto formula =
      ScoreFormula::parse("ctr * cvr^0.5 * (1 + like)", {"ctr", "cvr", "dwell", "like"});
  parts.formula = &*formula;
  parts.clock = [] { return EventTime{1}; };
  ServeOptions options;
  ServeProbe probe;
  ScoreHandler handler(options, parts, probe);
  ScoreRequestReader reader(schema, options.max_candidates);
  Scorer scorer(schema, parts.model_options);
  for (const int rows : arguments.rows) {
    const std::vector<std::string> bodies = bodies_of(rows);
    std::size_t next = 0;
    Request request;
    const double whole = measure(arguments.seconds, [&] {
      request.body = bodies[next++ % bodies.size()];
      if (handler.answer(false, request).status != 200) std::abort();
    });
    figures.push_back({"contract", "request", rows, whole * 1e3});

    std::vector<ScoreRequest> read(bodies.size());
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      std::string body = bodies[i];
      if (!reader.read(body, false, read[i])) std::abort();
    }
    Scores scores;
    const double alone = measure(arguments.seconds, [&] {
      const ScoreRequest& one = read[next++ % read.size()];
      scorer.score(serving, one.context, one.candidates, scores);
    });
    figures.push_back({"contract", "score", rows, alone * 1e3});
  }
}

void run_dense(const Arguments& arguments, const std::string& name, int inputs, int context,
               const ModelOptions& options, std::vector<Figure>& figures) {
  const Schema schema = dense_schema(inputs, context);
  ServingModel serving(schema);
  serving.apply(publication_of(schema, options), {1, 0});
  Scorer scorer(schema, options);
  for (const int rows : arguments.rows) {
    Batch batch = empty_batch(schema, Stream::kAtOnce);
    batch.rows = rows;
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(rows * inputs); ++i) {
      const auto bits = philox(2, 0, i);
      batch.dense.push_back(static_cast<float>(to_normal(bits[0], bits[1])[0]));
    }
    Batch first = batch;
    first.rows = 1;
    Scores scores;
    const double time =
        measure(arguments.seconds, [&] { scorer.score(serving, first, batch, scores); });
    figures.push_back({name, "score", rows, time * 1e3});
  }
}

void print(const Arguments& arguments, const std::vector<Figure>& figures) {
  if (arguments.json) std::printf("{\"threads\": 1, \"rows\": [");
  const char* comma = "";
  for (const Figure& f : figures) {
    const double rate = f.rows / f.ms * 1e3;
    if (arguments.json) {
      std::printf(
          "%s{\"name\": \"%s\", \"what\": \"%s\", \"batch\": %d, \"ms\": %.5f, "
          "\"per_s\": %.1f}",
          comma, f.name.c_str(), f.what.c_str(), f.rows, f.ms, rate);
      comma = ", ";
    } else {
      std::printf("%-14s %-8s %5d candidates %9.3f ms %12.0f candidates/s\n", f.name.c_str(),
                  f.what.c_str(), f.rows, f.ms, rate);
    }
  }
  if (arguments.json) std::printf("]}\n");
}

void run(const Arguments& arguments) {
  std::vector<Figure> figures;
  run_contract(arguments, figures);
  run_dense(arguments, "small", 100, 0, {}, figures);
  run_dense(arguments, "small context", 100, 38, {}, figures);
  ModelOptions large;
  large.expert_layers = {256, 256};
  large.tower_layers = {128, 64};
  run_dense(arguments, "large", 1000, 0, large, figures);
  print(arguments, figures);
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const bool has_value = i + 1 < count;
    if (std::strcmp(words[i], "--json") == 0) {
      arguments.json = true;
    } else if (std::strcmp(words[i], "--seconds") == 0 && has_value) {
      arguments.seconds = std::strtod(words[++i], nullptr);
    } else if (std::strcmp(words[i], "--rows") == 0 && has_value) {
      arguments.rows = {std::max(1, std::atoi(words[++i]))};
    } else {
      std::fprintf(stderr, "usage: %s [--seconds S] [--rows N] [--json]\n", words[0]);
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
