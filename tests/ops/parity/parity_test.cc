// Steps on files: what is written comes back, what does not fit is told by name, and a start from
// the written initial weights is the start of training.
#include "ops/parity/parity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "ops/config/load.h"
#include "ops/parity/gradients.h"
#include "ops/parity/weights.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

Config loaded_config(const std::string& features, const std::string& train,
                     const std::string& more) {
  const auto loaded = load_config_text(
      "events: {sample: {topic: samples}}\n"
      "features:\n"
      "  - {name: user, type: categorical, dimension: 2}\n"
      "  - {name: seen, type: bag, dimension: 2, table: user}\n"
      "  - {name: price, type: numeric}\n" +
          features +
          "tasks:\n"
          "  - {name: click}\n"
          "  - {name: stay, kind: regression, given: click}\n" +
          train + more,
      "F", {});
  EXPECT_TRUE(loaded) << loaded.error().message;
  return loaded->config;
}

Config config_of(const std::string& more = "", const std::string& train = "train: {batch: 2}\n") {
  return loaded_config("", train, more);
}

Config config_with(const std::string& features) {
  return loaded_config(features, "train: {batch: 2}\n", "");
}

std::string sample(const std::string& batch, const std::string& features,
                   const std::string& labels = "{\"click\":1}") {
  return R"({"type":"sample","time":1764000000000,)" + batch + R"("features":)" + features +
         R"(,"labels":)" + labels + "}\n";
}

const std::string kThreeRows =
    sample(R"("batch":0,)", R"({"user":"a","price":1})") +
    sample(R"("batch":0,)", R"({"user":7,"seen":["7",true]})", R"({"click":0,"stay":2})") +
    sample(R"("batch":4,)", R"({"user":"b"})", R"({"stay":1})");

struct ParityTest : ::testing::Test {
  TempFolder folder;

  Result<GivenBatches> batches_of(const std::string& text, const Config& config = config_of()) {
    std::ofstream(folder / "B") << text;
    return read_batches(folder / "B", config);
  }
};

TEST_F(ParityTest, BatchesCloseWhereTheirNumbersChange) {
  const auto given = batches_of(kThreeRows);
  ASSERT_TRUE(given) << given.error().message;
  ASSERT_EQ(given->batches.size(), 2U);
  EXPECT_EQ(given->batches[0].rows, 2);
  EXPECT_EQ(given->batches[1].rows, 1);
  EXPECT_EQ(given->batches[0].labels[3], 2);
  std::vector<std::string> texts;
  for (const auto& [key, text] : given->texts.at(0)) texts.push_back(text);
  EXPECT_THAT(texts, ::testing::UnorderedElementsAre("a", "7", "true", "b"));
}

// A number in buckets is named by its bucket; 7 is not a value of its own.
TEST_F(ParityTest, BucketsHaveRowsByTheirNumber) {
  const Config config =
      config_with("  - {name: age, type: numeric, boundaries: [18, 25], dimension: 2}\n");
  const auto given = batches_of(
      sample("", R"({"user":"a","age":7})") + sample("", R"({"user":"a","age":25})"), config);
  ASSERT_TRUE(given) << given.error().message;
  const auto initial = initial_weights(config, *given);
  ASSERT_TRUE(initial) << initial.error().message;
  ASSERT_NE(initial->find("embedding.age"), nullptr);
  EXPECT_EQ(initial->texts.at("embedding.age.keys"), R"(["0","2"])");
  ParityRun run{.config = config, .batches = *given, .weights = {}, .steps = 2};
  EXPECT_TRUE(run_parity(run));
}

// A row of a cross is named by its parts; a missing part leaves none. Rows come back by these
// names.
TEST_F(ParityTest, CrossesHaveRowsByTheirParts) {
  const Config config = config_with(
      "  - {name: both, type: cross, of: [user, age], dimension: 2}\n"
      "  - {name: age, type: numeric, boundaries: [18, 25], dimension: 2}\n");
  const auto given = batches_of(sample("", R"({"user":7,"age":20})") +
                                    sample("", R"({"user":"a"})") + sample("", R"({"age":99})"),
                                config);
  ASSERT_TRUE(given) << given.error().message;
  ParityRun run{.config = config, .batches = *given, .weights = {}, .steps = 0};
  run.weights = *initial_weights(config, *given);
  std::erase_if(run.weights->tensors,
                [](const Tensor& t) { return t.name.starts_with("standard"); });
  EXPECT_EQ(run.weights->texts.at("embedding.both.keys"), R"(["{\"user\":\"7\",\"age\":\"1\"}"])");
  for (Tensor& tensor : run.weights->tensors) {
    if (tensor.name == "embedding.both") tensor.values = {0.25F, -4};
  }
  const auto none = run_parity(run);
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_EQ(none->weights.find("embedding.both")->values, (std::vector<float>{0.25F, -4}));
  EXPECT_EQ(none->weights.texts, run.weights->texts);
  run.steps = 1;  // and it is this row that the first sample teaches
  const auto one = run_parity(run);
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_NE(one->weights.find("embedding.both")->values, (std::vector<float>{0.25F, -4}));
}

TEST_F(ParityTest, AValueThatReadsLikeACrossIsRefusedInItsTable) {
  const Config config = config_with(
      "  - {name: both, type: cross, of: [user, item], dimension: 2, table: user}\n"
      "  - {name: item, type: categorical, dimension: 2}\n");
  const std::string text = R"({"user":"{\"user\":\"a\",\"item\":\"b\"}"})";
  const auto given = batches_of(sample("", text), config);
  ASSERT_FALSE(given);
  EXPECT_THAT(given.error().message, HasSubstr("is the name of a row of a cross"));
}

// Given weights have no z; a start from the seed has.
TEST_F(ParityTest, SparseFtrlDoesNotStartFromGivenWeights) {
  const Config config =
      config_of("  embedding: {optimizer: ftrl, rate: 0.1, l1: 0.5}\n", "train:\n  batch: 2\n");
  ParityRun run{.config = config, .batches = *batches_of(kThreeRows, config), .weights = {}};
  const auto free = run_parity(run);
  ASSERT_TRUE(free) << free.error().message;
  run.weights = *initial_weights(config, run.batches);
  std::erase_if(run.weights->tensors,
                [](const Tensor& t) { return t.name.starts_with("standard"); });
  const auto result = run_parity(run);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("train.embedding.l1"));
}

TEST_F(ParityTest, LinesWithoutANumberFillBatches) {
  std::string text;
  for (int i = 0; i < 5; ++i) text += sample("", R"({"user":"a"})");
  const auto given = batches_of(text);
  ASSERT_TRUE(given) << given.error().message;
  ASSERT_EQ(given->batches.size(), 3U);
  EXPECT_EQ(given->batches[2].rows, 1);
}

TEST_F(ParityTest, LinesThatAreNoRowsAreNamed) {
  const auto fault = [&](const std::string& line) {
    const auto given = batches_of(kThreeRows + line);
    return given ? std::string("none") : given.error().message;
  };
  EXPECT_THAT(fault("{}\n"), HasSubstr("B:4: "));
  EXPECT_THAT(fault(sample("", R"({"price":"dear"})")), HasSubstr("B:4: field \"features.price\""));
  EXPECT_THAT(fault(sample("", "{}", "{}")), HasSubstr("B:4: has no label"));
  EXPECT_THAT(fault(sample(R"("batch":"x",)", "{}")), HasSubstr("is no number"));
  std::string crowd;
  for (int i = 0; i < 3; ++i) crowd += sample(R"("batch":9,)", "{}");
  EXPECT_THAT(fault(crowd), HasSubstr("B:6: batch 9 has more rows than train.batch"));
}

TEST_F(ParityTest, FilesComeBackAsTheyWereWritten) {
  TensorFile file;
  file.tensors = {{"a", {2, 3}, {1, 2, 3, 4, 5, 1e-20F}}, {"none", {0, 4}, {}}, {"b", {1}, {-7}}};
  file.texts = {{"a.keys", "[\"ü\\\"\"]"}};
  ASSERT_TRUE(write_tensor_file(folder / "W", file));
  const auto read = read_tensor_file(folder / "W");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->texts, file.texts);
  ASSERT_EQ(read->tensors.size(), 3U);
  for (const Tensor& tensor : file.tensors) {
    ASSERT_NE(read->find(tensor.name), nullptr);
    EXPECT_EQ(read->find(tensor.name)->shape, tensor.shape);
    EXPECT_EQ(read->find(tensor.name)->values, tensor.values);
  }
}

// As other programs write them: doubles, and offsets in any order.
TEST_F(ParityTest, DoublesAreRounded) {
  const std::string header = R"({"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})";
  const std::uint64_t length = header.size();
  const double value = 0.1;
  std::string bytes(reinterpret_cast<const char*>(&length), 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(&value), 8);
  std::ofstream(folder / "W", std::ios::binary) << bytes;
  const auto read = read_tensor_file(folder / "W");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->find("x")->values, std::vector<float>{0.1F});
}

TEST_F(ParityTest, DamagedFilesAreRefused) {
  const auto fault = [&](std::uint64_t length, const std::string& header, std::size_t bytes) {
    std::string text(reinterpret_cast<const char*>(&length), 8);
    text += header + std::string(bytes, '\0');
    std::ofstream(folder / "W", std::ios::binary) << text;
    const auto read = read_tensor_file(folder / "W");
    return read ? std::string("none") : read.error().message;
  };
  const auto of = [&](const std::string& header, std::size_t bytes) {
    return fault(header.size(), header, bytes);
  };
  EXPECT_THAT(fault(1000, "{}", 0), HasSubstr("too short"));
  EXPECT_THAT(of("nonsense", 0), HasSubstr("no safetensors file"));
  EXPECT_THAT(of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4),
              HasSubstr("x is beyond the end"));
  EXPECT_THAT(of(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
              HasSubstr("another number of values"));
  EXPECT_THAT(of(R"({"x":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", 8),
              HasSubstr("dtype I64"));
  EXPECT_THAT(
      of(R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8),
      HasSubstr("x is too large"));
}

TEST_F(ParityTest, WeightsThatDoNotFitAreNamed) {
  const auto given = batches_of(kThreeRows);
  const auto initial = initial_weights(config_of(), *given);
  ASSERT_TRUE(initial) << initial.error().message;
  const auto fault = [&](auto&& change) {
    TensorFile file = *initial;
    change(file);
    const auto read = read_weights(file, config_of());
    return read ? std::string("none") : read.error().message;
  };
  const auto named = [](TensorFile& file, std::string_view name) -> Tensor& {
    return *std::find_if(file.tensors.begin(), file.tensors.end(),
                         [&](const Tensor& tensor) { return tensor.name == name; });
  };
  const auto drop_statistics = [&](TensorFile& file) {
    std::erase_if(file.tensors, [](const Tensor& t) { return t.name.starts_with("standard"); });
  };
  EXPECT_EQ(fault(drop_statistics), "none");
  EXPECT_THAT(fault([&](TensorFile& file) { file.tensors.erase(file.tensors.begin()); }),
              HasSubstr("is missing"));
  EXPECT_THAT(fault([&](TensorFile& file) {
                named(file, "tower.0.layer.0.bias").shape = {1, 32};
              }),
              HasSubstr("tower.0.layer.0.bias is [1,32]; expected [32]"));
  EXPECT_THAT(fault([&](TensorFile& file) { file.texts.clear(); }),
              HasSubstr("embedding.user.keys"));
  EXPECT_THAT(
      fault([&](TensorFile& file) { file.texts["embedding.user.keys"] = R"(["a","a","b","c"])"; }),
      HasSubstr("has \"a\" twice"));
  EXPECT_THAT(fault([&](TensorFile& file) {
                drop_statistics(file);
                file.tensors.push_back({"more", {1}, {0}});
              }),
              HasSubstr("more is no weight"));
}

// Given weights, rows included, are where the steps begin, and none of them is set from labels.
TEST_F(ParityTest, NoStepsGiveBackWhatWasGiven) {
  ParityRun run{.config = config_of(), .batches = *batches_of(kThreeRows), .weights = {}};
  TensorFile start = *initial_weights(run.config, run.batches);
  std::erase_if(start.tensors, [](const Tensor& t) { return t.name.starts_with("standard"); });
  float next = 0.25F;
  for (Tensor& tensor : start.tensors) {
    for (float& value : tensor.values) value = next += 0.125F;
  }
  run.weights = start;
  const auto result = run_parity(run);
  ASSERT_TRUE(result) << result.error().message;
  for (const Tensor& tensor : start.tensors) {
    EXPECT_EQ(result->weights.find(tensor.name)->values, tensor.values) << tensor.name;
  }
  EXPECT_EQ(result->weights.texts, start.texts);
}

// With the biases that training sets from the first labels put into the file, a run from the file
// is the run from the seed, bit by bit.
TEST_F(ParityTest, InitialWeightsAreTheStartOfTraining) {
  ParityRun run{
      .config = config_of(), .batches = *batches_of(kThreeRows), .weights = {}, .steps = 7};
  const auto from_seed = run_parity(run);
  ASSERT_TRUE(from_seed) << from_seed.error().message;
  TensorFile start = *initial_weights(run.config, run.batches);
  std::erase_if(start.tensors, [](const Tensor& t) { return t.name.starts_with("standard"); });
  for (Tensor& tensor : start.tensors) {
    if (tensor.name == "tower.0.layer.2.bias") tensor.values = {0};  // one of each: log(1.5 / 1.5)
    // The condition of its only row does not hold in the first batch, and is unknown in the second.
    if (tensor.name == "tower.1.layer.2.bias") tensor.values = {0};
  }
  run.weights = start;
  const auto from_file = run_parity(run);
  ASSERT_TRUE(from_file) << from_file.error().message;
  for (const Tensor& tensor : from_seed->weights.tensors) {
    EXPECT_EQ(from_file->weights.find(tensor.name)->values, tensor.values) << tensor.name;
  }
  EXPECT_EQ(from_file->trace, from_seed->trace);
  EXPECT_EQ(std::count(from_file->trace.begin(), from_file->trace.end(), '\n'), 7);
}

TEST_F(ParityTest, WhatCannotBeComparedIsRefused) {
  const Config config = config_of("embeddings: {admit_after: 2}\n");
  const auto result = initial_weights(config, *batches_of(kThreeRows, config));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("embeddings.admit_after: 2"));
}

// The gradients of a chain and other heads, gates with everything, in double and in float.
TEST_F(ParityTest, GradientsAreCentralDifferences) {
  const Config config = config_of(
      "model: {backbone: ple, task_experts: 1, expert_layers: [4, 3], tower_layers: [3], "
      "gate_layers: [3], gate_bias: true, learn_temperature: true, gate_dropout: 0.3, "
      "expert_norm: true}\n");
  const auto given = batches_of(
      kThreeRows + sample(R"("batch":5,)", R"({"user":"b","price":3})") +
          sample(R"("batch":5,)", R"({"user":"a","price":2})", R"({"click":1,"stay":2})"),
      config);
  ASSERT_TRUE(given) << given.error().message;
  const auto result = check_gradients({.config = config, .batches = *given, .weights = {}});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_LT(result->left_out, result->compared / 10);
  for (const ArrayGradient& array : result->arrays) {
    EXPECT_LT(array.in_double, 1e-6) << array.array << ' ' << array.loss;
    EXPECT_LT(array.in_float, 1e-3) << array.array;
  }
  EXPECT_EQ(result->arrays.back().array, "x");
  EXPECT_GT(result->arrays.back().in_float, 0);
}

// Rows that tell their delays: of a task by itself and of a product, by the rates that their nets
// start with.
TEST_F(ParityTest, DelaysAreReadAndHaveGradients) {
  const auto loaded = load_config_text(
      "events: {sample: {topic: samples}}\n"
      "features:\n"
      "  - {name: price, type: numeric}\n"
      "tasks:\n"
      "  - {name: click}\n"
      "  - {name: buy, given: click}\n"
      "  - {name: like}\n"
      "model: {experts: 2, expert_layers: [3], tower_layers: [2]}\n"
      "train: {batch: 4, delayed_feedback: {buy: {policy: dfm, short_wait: 10s}, like: dfm}}\n",
      "F", {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const Config& config = loaded->config;
  const auto row = [](const char* price, const char* labels, const char* delays) {
    return sample(std::string(R"("batch":0,"delays":)") + delays + ",",
                  std::string(R"({"price":)") + price + "}", labels);
  };
  const std::string rows =
      row("1", R"({"click":1,"buy":1,"like":0})",
          R"({"buy":{"until":9000},"like":{"until":900000}})") +
      row("2", R"({"click":1,"buy":0,"like":1})",
          R"({"buy":{"until":"never","since":4000},"like":{"until":2e6,"since":9e5}})") +
      row("3", R"({"click":0,"buy":0,"like":0})", R"({"buy":{"until":4000,"since":0}})");
  const auto given = batches_of(rows, config);
  ASSERT_TRUE(given) << given.error().message;
  const Batch& batch = given->batches.at(0);
  EXPECT_EQ(batch.until[1], 9000);
  EXPECT_EQ(batch.since[4], 4000);
  EXPECT_EQ(batch.until[4], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(batch.until[8]));  // like, as it is
  EXPECT_EQ(batch.origin[8], Origin::kFinal);
  const auto result = check_gradients({.config = config, .batches = *given, .weights = {}});
  ASSERT_TRUE(result) << result.error().message;
  for (const ArrayGradient& array : result->arrays) {
    EXPECT_LT(array.in_double, 1e-6) << array.array << ' ' << array.loss;
    EXPECT_LT(array.in_float, 1e-3) << array.array;
  }
  for (const auto& [delays, fault] : std::vector<std::pair<const char*, const char*>>{
           {R"({"click":{"until":1}})",
            "delays.click: expected a task whose train.delayed_feedback policy is dfm"},
           {R"({"wish":{"until":1}})",
            "delays.wish: expected a task whose train.delayed_feedback policy is dfm"},
           {R"({"buy":{"since":1}})", R"(delays.buy {"since":1} has no until)"},
           {R"({"buy":{"until":"never"}})", R"(delays.buy.until "never" is not when it came)"},
           {R"({"buy":{"until":-1}})", "delays.buy.until -1 is not when it came"},
           {R"({"buy":{"until":5,"since":"x"}})", R"(delays.buy.since "x" is no time)"}}) {
    const auto bad = batches_of(row("1", R"({"buy":1})", delays), config);
    ASSERT_FALSE(bad) << delays;
    EXPECT_THAT(bad.error().message, HasSubstr(fault));
  }
}

/// Of a network whose weights are all `value`.
Result<GradientResult> gradients_at(float value, const Config& config, const GivenBatches& given) {
  GradientRun run{.config = config, .batches = given, .weights = *initial_weights(config, given)};
  std::erase_if(run.weights->tensors,
                [](const Tensor& t) { return t.name.starts_with("standard"); });
  for (Tensor& tensor : run.weights->tensors) {
    std::fill(tensor.values.begin(), tensor.values.end(), value);
  }
  return check_gradients(run);
}

// Of given weights, too, where every slope but a tower's last bias is 0.
TEST_F(ParityTest, GradientsAreOfGivenWeights) {
  const Config config = config_of("model: {experts: 2, expert_layers: [2], tower_layers: []}\n");
  const auto given = batches_of(kThreeRows, config);
  ASSERT_TRUE(given) << given.error().message;
  const auto result = gradients_at(0.0F, config, *given);
  ASSERT_TRUE(result) << result.error().message;
  for (const ArrayGradient& array : result->arrays) {
    if (array.array.starts_with("tower")) continue;
    EXPECT_EQ(array.in_double, 0) << array.array;
  }
}

TEST_F(ParityTest, GradientsWhereTheLossIsNoNumberAreRefused) {
  const Config config = config_of("model: {experts: 2, expert_layers: [2], tower_layers: []}\n");
  const auto given = batches_of(kThreeRows, config);
  ASSERT_TRUE(given) << given.error().message;
  const auto result = gradients_at(std::numeric_limits<float>::infinity(), config, *given);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("is not finite"));
}

TEST_F(ParityTest, GradientsThatDifferencesCannotTellAreRefused) {
  const auto refusal = [&](const std::string& model) {
    const Config config = config_of(model);
    return check_gradients({.config = config, .batches = *batches_of(kThreeRows), .weights = {}})
        .error()
        .message;
  };
  EXPECT_THAT(refusal("model: {backbone: stem, stem_levels: 2}\n"),
              HasSubstr("model.stem_levels: 2"));
  EXPECT_THAT(refusal("model: {load_balance: 0.1}\n"), HasSubstr("expected 0"));
}

}  // namespace
}  // namespace millrace
