#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "ingest/encode/features.h"
#include "learner/base/random.h"
#include "learner/model/model.h"
#include "learner/publish/score_formula.h"
#include "learner/publish/serving_model.h"
#include "serve/server.h"
#include "tests/support/http_client.h"

// A server as the contract's configuration makes it, with weights that a test chooses.
namespace millrace {

inline std::vector<Feature> contract_features() {
  using K = FeatureKind;
  auto feature = [](const char* name, FeatureKind kind) {
    Feature f;
    f.name = name;
    f.kind = kind;
    return f;
  };
  std::vector<Feature> features{
      feature("user_id", K::kCategorical), feature("country", K::kCategorical),
      feature("item_id", K::kCategorical), feature("genres", K::kBag),
      feature("price", K::kNumeric),       feature("taste", K::kDense)};
  features[0].dimension = features[2].dimension = 16;
  features[1].dimension = 4;
  features[3].dimension = 8;
  features[0].context = features[1].context = true;
  features[4].transform = Transform::kLog1p;
  features[5].width = 8;
  return features;
}

inline std::vector<Task> contract_tasks() {
  std::vector<Task> tasks(4);
  tasks[0].name = "ctr";
  tasks[1].name = "cvr";
  tasks[1].given = 0;
  tasks[1].entire_space = true;
  tasks[2].name = "dwell";
  tasks[2].kind = TaskKind::kRegression;
  tasks[2].transform = Transform::kLog1p;
  tasks[2].given = 0;
  tasks[3].name = "like";
  tasks[3].given = 0;
  return tasks;
}

/// Weights as at the start of learning, and rows for the keys that are asked for.
inline Publication first_publication(const Schema& schema, const ModelOptions& options) {
  Publication publication;
  publication.complete = true;
  publication.tables.resize(schema.tables().size());
  const Model<float> model(schema, options);
  auto dense = std::make_shared<DenseWeights>();
  dense->parameters.resize(static_cast<std::size_t>(model.parameter_count()));
  model.initialise(3, dense->parameters);
  dense->numeric.assign(schema.numeric_features().size(), {1.5F, 0.7F});
  dense->labels.assign(schema.tasks().size(), {-5, 5});
  publication.dense = dense;
  return publication;
}

inline void put_row(const Schema& schema, std::string_view feature, std::string_view value,
                    Publication& publication) {
  const int table = schema.table_of(schema.find_feature(feature));
  const Table& known = schema.tables()[static_cast<std::size_t>(table)];
  TableUpdate& update = publication.tables[static_cast<std::size_t>(table)];
  const std::uint64_t key = feature_key(value, known.seed);
  update.keys.push_back(key);
  for (int d = 0; d < known.dimension; ++d) {
    const auto bits = philox(17, key, static_cast<std::uint64_t>(d));
    update.rows.push_back(static_cast<float>(to_normal(bits[0], bits[1])[0]));
  }
}

inline std::string contract_file(const std::string& name) {
  std::ifstream file(std::string(SOURCE_DIR) + "/tests/data/contract/" + name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// A running server over the contract's model. `options` may be changed before `start`.
struct ServingTest : ::testing::Test {
  ServingTest() : ServingTest(contract_features(), contract_tasks(), ModelOptions{}) {}
  ServingTest(std::vector<Feature> features, std::vector<Task> tasks, ModelOptions model_options_)
      : schema(std::move(features), std::move(tasks)),
        serving(schema),
        model_options(std::move(model_options_)) {
    options.listen = "127.0.0.1:0";
  }

  void publish_first() {
    Publication publication = first_publication(schema, model_options);
    if (schema.find_feature("item_id") >= 0) {
      put_row(schema, "user_id", "u7", publication);
      put_row(schema, "country", "DE", publication);
      put_row(schema, "item_id", "m3", publication);
      put_row(schema, "item_id", "m9", publication);
      for (const char* genre : {"drama", "crime", "comedy"}) {
        put_row(schema, "genres", genre, publication);
      }
    }
    publication.seen = EventTime{1'000'000};
    serving.apply(publication, {1287, 3});
  }

  ServeParts parts() {
    ServeParts parts;
    parts.model = "shop";
    parts.schema = &schema;
    parts.model_options = model_options;
    parts.serving = &serving;
    parts.formula = &*formula;
    parts.clock = [] { return EventTime{1'000'420}; };
    parts.metrics = [] { return std::string("# HELP millrace_up 1\nmillrace_up 1\n"); };
    parts.tasks = [] { return TrainerReport{}; };
    parts.snapshot = []() -> Result<SnapshotInfo> { return Error{"no store in this test"}; };
    return parts;
  }

  void start(ServeParts given) {
    auto started = Server::start(options, std::move(given));
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(started).value();
  }
  void start() { start(parts()); }

  void use_formula(const std::string& text) {
    std::vector<std::string> names;
    for (const Task& task : schema.tasks()) names.push_back(task.name);
    auto parsed = ScoreFormula::parse(text, names);
    ASSERT_TRUE(parsed) << parsed.error().message;
    formula = std::move(parsed).value();
  }
  void SetUp() override {
    use_formula(schema.find_task("cvr") >= 0 ? "ctr * cvr^0.5 * (1 + like)"
                                             : schema.tasks().front().name);
  }

  HttpReply post(const std::string& path, const std::string& body,
                 const std::string& headers = "Content-Type: application/json\r\n") {
    return fetch(server->port(), http_request("POST", path, body, headers));
  }
  HttpReply get(const std::string& path) {
    return fetch(server->port(), http_request("GET", path));
  }

  const Schema schema;
  ServingModel serving;
  const ModelOptions model_options;
  std::optional<ScoreFormula> formula;
  ServeOptions options;
  std::unique_ptr<Server> server;
};

}  // namespace millrace
