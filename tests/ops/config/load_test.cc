// What a user writes becomes what the program does, and every mistake is answered with its place,
// its key, what stands there and what was expected; all mistakes at once.
#include "ops/config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string contract_text() {
  std::ifstream file(SOURCE_DIR "/tests/data/contract/millrace.yaml");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The least that is a configuration; what `more` adds to it comes behind.
std::string smallest(const std::string& more = "") {
  return "events:\n"
         "  impression:\n"
         "  click: {window: 10m}\n"
         "features:\n"
         "  - {name: item, type: categorical, dimension: 4}\n"
         "tasks:\n"
         "  - {name: click}\n" +
         more;
}

Config loaded(const std::string& text, const std::vector<ConfigOverride>& overrides = {}) {
  const auto result = load_config_text(text, "f", overrides);
  EXPECT_TRUE(result) << result.error().message;
  return result ? result->config : Config{};
}

std::string errors(const std::string& text, const std::vector<ConfigOverride>& overrides = {}) {
  const auto result = load_config_text(text, "f", overrides);
  return result ? "" : result.error().message;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(LoadConfig, EvaluateNamesWhatThereIs) {
  const std::string known = smallest(
      "evaluate:\n  composite: {click: 2}\n  business: {clicks: 10 * click}\n"
      "  window: 1h\n  long_window: 24h\n  slices: {feature: item, values: {a: A}}\n"
      "  importance: {every: 50, measure: loss}\n");
  const EvaluateOptions options = loaded(known).learner.evaluate;
  EXPECT_EQ(options.composite.at("click"), 2);
  EXPECT_EQ(options.business.at("clicks"), "10 * click");
  EXPECT_EQ(options.long_window, Duration{86'400'000});
  EXPECT_EQ(options.slices.values.at("a"), "A");
  EXPECT_EQ(options.importance.measure, ImportanceMeasure::kLoss);

  const auto refused = [](const std::string& text) {
    return errors(smallest("evaluate: " + text));
  };
  EXPECT_THAT(refused("{composite: {cart: 1}}"), HasSubstr("f:8: evaluate.composite.cart"));
  EXPECT_THAT(refused("{composite: {click: 0}}"), HasSubstr("all tasks weigh 0"));
  EXPECT_THAT(refused("{business: {a: click * cart}}"), HasSubstr("f:8: evaluate.business.a"));
  EXPECT_THAT(refused("{business: {a: \"2\"}}"), HasSubstr("names no task"));
  EXPECT_THAT(refused("{slices: {feature: user}}"), HasSubstr("user is no feature; expected item"));
  EXPECT_THAT(refused("{long_window: 1h}"), HasSubstr("needs evaluate.window"));
  EXPECT_THAT(refused("{window: 2h, long_window: 1h}"), HasSubstr("no longer than"));
  EXPECT_THAT(refused("{gates: {even: 0.05}}"), HasSubstr("evaluate.gates.even"));
  EXPECT_THAT(errors(smallest("train: {delayed_feedback: {click: fnw}}\n"
                              "evaluate: {business: {a: click}}\n")),
              HasSubstr("before it is decided"));
}

TEST(LoadConfig, ABusinessFigureIsOfTasksThatAreKnownTogether) {
  const auto of = [](const std::string& formula) {
    return errors(contract_text() + "\nevaluate: {business: {a: \"" + formula + "\"}}\n");
  };
  EXPECT_EQ(of("ctr * cvr"), "") << "a click decides what follows";
  EXPECT_EQ(of("ctr * dwell + like"), "");
  EXPECT_THAT(of("cvr * dwell"), HasSubstr("never decided in one row"));
  EXPECT_THAT(of("ctr * (cvr + like)"), HasSubstr("never decided in one row"));
}

TEST(LoadConfig, CrossesAndBucketsAreReadAndPrinted) {
  const std::string text = replaced(
      contract_text(), "embeddings:",
      "  - {name: age, type: numeric, boundaries: [18, 25.5], dimension: 4, context: true}\n"
      "  - {name: hour, type: numeric, buckets: 4, range: [0, 24], table: age, dimension: 4}\n"
      "  - {name: who_x_when, type: cross, of: [user_id, age], dimension: 8}\n"
      "  - {name: who_x_what, type: cross, of: [hour, item_id, country], dimension: 8}\n"
      "embeddings:");
  const Config config = loaded(text);
  ASSERT_EQ(config.features.size(), 10u);
  EXPECT_EQ(config.features[6].boundaries, (std::vector<double>{18, 25.5}));
  EXPECT_EQ(config.features[9].of, (std::vector<std::string>{"hour", "item_id", "country"}));
  const Schema schema = config.schema();
  EXPECT_TRUE(schema.features()[8].context);
  EXPECT_FALSE(schema.features()[9].context);
  EXPECT_EQ(schema.table_of(6), schema.table_of(7));
  const std::string printed = print_config(config);
  EXPECT_THAT(printed, HasSubstr("boundaries: [18, 25.5]"));
  EXPECT_EQ(print_config(loaded(printed)), printed);
}

TEST(LoadConfig, ContractFileLoadsAndSaysTheDefaults) {
  const auto result = load_config(SOURCE_DIR "/tests/data/contract/millrace.yaml", {});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_THAT(result->warnings, ElementsAre());
  const Config& config = result->config;
  EXPECT_EQ(config.name, "shop");
  ASSERT_EQ(config.tasks.size(), 4u);
  EXPECT_EQ(config.tasks[1].given, 0);
  EXPECT_TRUE(config.tasks[1].entire_space);
  EXPECT_FALSE(config.tasks[0].entire_space);
  EXPECT_FALSE(config.tasks[2].entire_space);
  EXPECT_EQ(config.tasks[2].kind, TaskKind::kRegression);
  EXPECT_EQ(config.tasks[2].transform, Transform::kLog1p);
  ASSERT_EQ(config.events.outcomes.size(), 4u);
  for (const OutcomeType& outcome : config.events.outcomes) {
    EXPECT_EQ(outcome.needs_value, outcome.name == "dwell");
  }
  EXPECT_EQ(config.score, "ctr * cvr^0.5 * (1 + like)");
  EXPECT_EQ(config.learner.embeddings.expire_after, Duration{30LL * 86'400'000});
  EXPECT_EQ(config.schema().inputs(), 16 + 4 + 16 + 8 + 1 + 8);
}

TEST(LoadConfig, EverySectionWithDefaultsMayBeAbsentOrEmpty) {
  const std::string absent = print_config(loaded(smallest()));
  EXPECT_EQ(absent, print_config(loaded(smallest("train:\njoin:\nkafka: {}\nstore:\n"))));
  // The contract's file writes the defaults, so those of its sections come out of the smallest
  // too.
  const std::string contract = print_config(loaded(contract_text()));
  for (const char* line :
       {"  brokers: \"127.0.0.1:9092\"\n", "  batch: 256\n", "  batch_span: 250ms\n",
        "  commit_every: 500ms\n", "  quiet_after: 10s\n"}) {
    EXPECT_THAT(absent, HasSubstr(line));
    EXPECT_THAT(contract, HasSubstr(line));
  }
}

TEST(LoadConfig, DefaultsOfEntries) {
  const Config config = loaded(smallest());
  EXPECT_EQ(config.name, "default");
  EXPECT_EQ(config.score, "click");
  EXPECT_EQ(config.events.impression_topic, "impression");
  EXPECT_EQ(config.events.outcomes[0].topic, "click");
  EXPECT_EQ(config.labels[0].outcome, 0);
  EXPECT_EQ(config.labels[0].aggregate, Aggregate::kLast);
  EXPECT_FALSE(config.labels[0].absent.has_value());
  EXPECT_EQ(config.features[0].pooling, Pooling::kMean);
}

TEST(LoadConfig, CountsDurationsAndHuber) {
  const std::string text =
      "events: {impression: {}, click: {window: 1m}, items: {window: 1m}, watch: {window: 1m}}\n"
      "features: [{name: a, type: numeric}]\n"
      "tasks:\n"
      "  - {name: click}\n"
      "  - {name: items, kind: count, aggregate: count, absent: 0, given: click}\n"
      "  - {name: watch, kind: duration, loss: huber, delta: 0.5}\n"
      "  - {name: spent, label: items, kind: regression, aggregate: sum, transform: log1p}\n"
      "train:\n"
      "  dense: {optimizer: adamw, clip_norm: 10, schedule: {shape: step, length: 100}}\n"
      "  labels: {ratio: {click: 3}, oversample: {items: 2}, curriculum: {labels: 9}}\n"
      "  negative_sampling: {ratio: 2}\n";
  const Config config = loaded(text);
  EXPECT_EQ(config.tasks[1].kind, TaskKind::kCount);
  EXPECT_EQ(config.tasks[1].transform, Transform::kNone);
  EXPECT_EQ(config.tasks[2].transform, Transform::kLog1p);
  EXPECT_EQ(config.tasks[2].loss, RegressionLoss::kHuber);
  EXPECT_EQ(config.tasks[2].delta, 0.5);
  EXPECT_EQ(config.learner.train.dense.schedule.shape, ScheduleShape::kStep);
  EXPECT_EQ(config.learner.train.labels.ratio.at("click"), 3);
  EXPECT_EQ(config.learner.train.negative_sampling.ratio, 2);
  EXPECT_EQ(config.learner.train.labels.curriculum.labels, 9);
  EXPECT_TRUE(config.events.outcomes[1].needs_value);  // for what was spent
  const std::string printed = print_config(config);
  EXPECT_EQ(print_config(loaded(printed)), printed);
  EXPECT_EQ(config_identity(loaded(printed)), config_identity(config));
}

TEST(LoadConfig, SamplesAloneNeedNoOutcome) {
  const Config config = loaded(
      "events: {sample: {topic: samples}}\n"
      "features: [{name: age, type: numeric}]\n"
      "tasks: [{name: income}, {name: married, label: whatever}]\n");
  EXPECT_EQ(config.events.sample_topic, "samples");
  EXPECT_FALSE(config.events.has_impressions);
  EXPECT_EQ(config.labels[0].outcome, -1);
  EXPECT_EQ(config.labels[1].outcome, -1);
}

TEST(LoadConfig, OutcomesThatTasksUseComeFirstWhateverTheFilesOrder) {
  const std::string tasks =
      "features: [{name: a, type: numeric}]\n"
      "tasks: [{name: buy}, {name: click}]\n";
  const Config one = loaded(
      "events: {impression: {}, open: {window: 1m}, click: {window: 1m}, buy: {window: 1m}}\n" +
      tasks);
  const Config two = loaded(
      "events: {buy: {window: 1m}, click: {window: 1m}, impression: {}, open: {window: 1m}}\n" +
      tasks);
  for (const Config& config : {one, two}) {
    EXPECT_EQ(config.events.outcomes[0].name, "buy");
    EXPECT_EQ(config.events.outcomes[1].name, "click");
    EXPECT_EQ(config.events.outcomes[2].name, "open");
    EXPECT_EQ(config.labels[0].outcome, 0);
    EXPECT_EQ(config.labels[1].outcome, 1);
  }
  EXPECT_EQ(config_identity(one), config_identity(two));
}

TEST(LoadConfig, PrintedConfigurationLoadsBackToTheSame) {
  const std::string rich = smallest(
      "name: a.b-c\n"
      "kafka: {start: 2025-11-24T16:00:40Z, properties: {linger.ms: 5, client.id: \"a: "
      "\\\"b\\\"\"}}\n"
      "join: {quiet_after: off, late: accept}\n"
      "balance: {method: fixed, weights: {click: 0.1}}\n"
      "train: {batch_span: off, dense: {rate: 0.0012345678901234}, delayed_feedback: {click: "
      "fnw}}\n"
      "score: 2 * click - log(0.5)\n"
      "store: {path: \"/tmp/a b\", snapshots: {keep: 3}}\n");
  for (const std::string& text : {contract_text(), smallest(), rich}) {
    const std::string printed = print_config(loaded(text));
    EXPECT_EQ(print_config(loaded(printed)), printed);
    EXPECT_EQ(config_identity(loaded(printed)), config_identity(loaded(text)));
  }
  EXPECT_EQ(loaded(print_config(loaded(rich))).learner.train.dense.rate, 0.0012345678901234);
}

TEST(LoadConfig, SecretsAreRedacted) {
  const std::string printed = print_config(
      loaded(smallest("kafka: {properties: {sasl.password: hunter2, sasl.username: me}}\n")));
  EXPECT_EQ(printed.find("hunter2"), std::string::npos);
  EXPECT_THAT(printed, HasSubstr("me"));
}

TEST(LoadConfig, OverridesRise) {
  const std::vector<ConfigOverride> overrides{{"train.batch", "512", "MILLRACE_TRAIN__BATCH"},
                                              {"train.batch", "64", "--set"},
                                              {"features.item.dimension", "8", "--set"},
                                              {"features.0.context", "true", "--set"},
                                              {"tasks.click.label", "click", "--set"},
                                              {"events.click.window", "1h", "--set"},
                                              {"kafka.properties.linger.ms", "7", "--set"},
                                              {"model.gate_layers", "[8, 8]", "--set"},
                                              {"score", "2", "--set"}};
  const Config config = loaded(smallest("train: {batch: 128, seed: 9}\n"), overrides);
  EXPECT_EQ(config.learner.train.batch, 64);
  EXPECT_EQ(config.learner.train.seed, 9);
  EXPECT_EQ(config.features[0].dimension, 8);
  EXPECT_TRUE(config.features[0].context);
  EXPECT_EQ(config.events.outcomes[0].window, Duration{3'600'000});
  EXPECT_EQ(config.kafka.properties.at("linger.ms"), "7");
  EXPECT_EQ(config.learner.model.gate_layers, (std::vector<int>{8, 8}));
  EXPECT_EQ(config.score, "2");
}

TEST(LoadConfig, ErrorsOfOverridesNameTheirOrigin) {
  EXPECT_EQ(errors(smallest(), {{"train.batch", "many", "--set"}}),
            "--set: train.batch: many is not a whole number\n");
  EXPECT_EQ(errors(smallest(), {{"train.bacth", "3", "MILLRACE_TRAIN__BACTH"}}),
            "MILLRACE_TRAIN__BACTH: train.bacth: unknown key; did you mean batch?\n");
  EXPECT_EQ(errors(smallest(), {{"features.other.dimension", "3", "--set"}}),
            "--set: features.other.dimension: there is no entry other in the list\n");
  EXPECT_THAT(errors(smallest(), {{"train.batch", "[", "--set"}}),
              HasSubstr("--set: train.batch: no YAML"));
}

TEST(LoadConfig, EnvironmentNamesSectionsAndKeys) {
  std::string batch = "MILLRACE_TRAIN__DENSE__RATE=0.5", name = "MILLRACE_NAME=x";
  std::string other = "MILLRACE_HOME=/opt", foreign = "PATH=/bin";
  char* environment[] = {batch.data(), name.data(), other.data(), foreign.data(), nullptr};
  const auto overrides = overrides_from_environment(environment);
  ASSERT_EQ(overrides.size(), 2u);
  EXPECT_EQ(overrides[0].key, "name");
  EXPECT_EQ(overrides[1].key, "train.dense.rate");
  EXPECT_EQ(overrides[1].value, "0.5");
  EXPECT_EQ(overrides[1].origin, "MILLRACE_TRAIN__DENSE__RATE");
}

TEST(LoadConfig, AllProblemsComeAtOnceInTheOrderOfTheFile) {
  EXPECT_EQ(errors(smallest("train: {batch: 0, threads: two}\n"
                            "sotre: {path: x}\n"
                            "join: {late: never}\n")),
            "f:8: train.batch: 0 is less than 1\n"
            "f:8: train.threads: two is not a whole number\n"
            "f:9: sotre: unknown key; did you mean store?\n"
            "f:10: join.late: never is not known; expected drop or accept\n");
}

TEST(LoadConfig, WhatIsNoConfigurationSaysWhere) {
  EXPECT_THAT(errors(""), HasSubstr("f:1: nothing is not a configuration"));
  EXPECT_THAT(errors("# nothing but this\n"), HasSubstr("f:1: nothing is not a configuration"));
  EXPECT_THAT(errors("- a\n- b\n"), HasSubstr("f:1: a list is not a configuration"));
  EXPECT_THAT(errors("name: shop\nevents: [1, 2\n"), HasSubstr("f:3: no YAML"));
  EXPECT_THAT(errors("name: shop\n\tevents: 1\n"), HasSubstr("f:2: no YAML"));
  EXPECT_THAT(errors("name: shop\nkafka: caf\xe9\n"), HasSubstr("f:2: the byte 0xe9 is not UTF-8"));
  EXPECT_THAT(errors("name: shop\n# \x04\nstore: 1\n"),
              HasSubstr("f:2: the byte 0x04 is a control character"));
  EXPECT_THAT(errors(smallest() + "---\nname: b\n"), HasSubstr("f:8: a second document"));
  EXPECT_THAT(errors("name: shop\n---\n"), HasSubstr("f:2: a second document"));
  // Where nothing begins the library would find empty documents without end.
  for (const char* text : {", a", "], a", "}", "\n\n, a\n---\n"}) {
    EXPECT_THAT(errors(text), HasSubstr("no YAML")) << text;
  }
  EXPECT_THAT(errors(smallest("name: a\nname: b\n")),
              HasSubstr("f:9: name: the key stands here a second time; the first time at f:8"));
  EXPECT_THAT(errors(smallest("[1]: a\n")), HasSubstr("f:8: a key must be a word"));
}

TEST(LoadConfig, AliasesThatUnfoldWithoutEndAreRefused) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) text += (k > 0 ? ", " : "") + before;
    text += "]\n";
  }
  EXPECT_THAT(errors(text), HasSubstr("unfolds to too much"));
  EXPECT_NE(errors("a: &a [*a]\n"), "");
  EXPECT_NE(errors(std::string(5000, '[')), "");
}

TEST(LoadConfig, AMissingFileIsAnErrorWithItsName) {
  const TempFolder folder;
  const auto missing = load_config(folder / "none.yaml", {});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("none.yaml:1: cannot be read: No such file"));
  const auto directory = load_config(folder.path().string(), {});
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.error().message, HasSubstr("it is a folder"));
}

TEST(LoadConfig, Warnings) {
  const auto result =
      load_config_text(smallest("join: {allowed_lateness: 1s}\nmodel: {levels: 3}\n"), "f", {});
  ASSERT_TRUE(result) << result.error().message;
  ASSERT_EQ(result->warnings.size(), 2u);
  EXPECT_THAT(result->warnings[0], HasSubstr("f:8: join.max_skew: 10s is above"));
  EXPECT_THAT(result->warnings[1], HasSubstr("f:9: model.levels: has no effect"));
}

// One mistake in the contract's file, and the line that answers it.
struct Mistake {
  const char* name;
  const char* from;
  const char* to;
  const char* answer;
};

class ContractMistakes : public ::testing::TestWithParam<Mistake> {};

TEST_P(ContractMistakes, IsAnsweredInOneLine) {
  const Mistake& mistake = GetParam();
  const std::string message = errors(replaced(contract_text(), mistake.from, mistake.to));
  EXPECT_THAT(message, HasSubstr(mistake.answer));
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 1) << message;
  EXPECT_TRUE(message.starts_with("f:")) << message;
}

const Mistake kMistakes[] = {
    {"UnknownTop", "name: shop", "nmae: shop", "f:1: nmae: unknown key; did you mean name?"},
    {"UnknownKey", "prefetch:", "prefetcc:", "kafka.prefetcc: unknown key; did you mean prefetch?"},
    {"NameForm", "name: shop", "name: my shop", "name: \"my shop\" is no name"},
    {"NumberAsText", "name: shop", "name: 7", "name: 7 is not text; put it in quotes"},
    {"Start", "start: earliest", "start: yesterday", "kafka.start: \"yesterday\" is neither"},
    {"SizeForm", "prefetch: 256MiB", "prefetch: 256MB", "kafka.prefetch: 256MB is not a size"},
    {"SizeLimit", "prefetch: 256MiB", "prefetch: 1KiB", "kafka.prefetch: 1KiB is less than 1MiB"},
    {"Brokers", "brokers: 127.0.0.1:9092", "brokers: \"host:99999\"", "kafka.brokers:"},
    {"Properties", "properties: {}", "properties: [a]",
     "kafka.properties: a list is not a mapping"},
    {"PropertyOurs", "properties: {}", "properties: {enable.auto.commit: true}",
     "kafka.properties.enable.auto.commit: Millrace sets it itself"},
    {"PropertyUnknown", "properties: {}", "properties: {no.such.thing: 1}",
     "f:7: kafka.properties.no.such.thing: "},
    {"PropertyValue", "properties: {}", "properties: {socket.timeout.ms: soon}",
     "f:7: kafka.properties.socket.timeout.ms: "},
    {"NoWindow", "{topic: clicks, window: 10m}", "{topic: clicks}",
     "events.click.window: is missing"},
    {"WindowForm", "window: 10m}", "window: 10}", "events.click.window: 10 is not a duration"},
    {"WindowZero", "window: 10m}", "window: 0s}", "events.click.window: 0ms is less than 1ms"},
    {"WindowHere", "impression: {topic: impressions}", "impression: {topic: i, window: 1m}",
     "events.impression.window: unknown key"},
    {"TopicForm", "topic: clicks", "topic: \"a b\"", "events.click.topic: \"a b\" is no topic"},
    {"TopicShared", "topic: millrace.dead-letters", "topic: clicks",
     "dead_letters.topic: clicks is also"},
    {"DurationNegative", "allowed_lateness: 30s", "allowed_lateness: -30s", "is not a duration"},
    {"OffHere", "idle_after: 5s", "idle_after: off", "join.idle_after: off is not a duration"},
    {"Word", "late: drop", "late: keep", "join.late: keep is not known; expected drop or accept"},
    {"FeatureType", "type: bag,", "type: set,", "features.genres.type: set is not known"},
    {"NoDimension", "type: categorical, dimension: 16}", "type: categorical}",
     "features.item_id.dimension: is missing"},
    {"DimensionLimit", "dimension: 4,", "dimension: 0,",
     "features.country.dimension: 0 is less than 1"},
    {"DimensionHere", "type: numeric, ", "type: numeric, dimension: 4,",
     "features.price.dimension: does not belong to a numeric feature"},
    {"PoolingHere", "dimension: 4,", "dimension: 4, pooling: sum,",
     "features.country.pooling: does not belong"},
    {"TransformHere", "width: 8", "width: 8, transform: log1p",
     "features.taste.transform: does not belong"},
    {"NoWidth", ",       width: 8}", "}", "features.taste.width: is missing"},
    {"SharedTable", "dimension: 8, pooling", "dimension: 8, table: item_id, pooling",
     "features.genres.dimension: 8 is not the dimension of the table item_id, which is 16"},
    {"TwoFeatures", "name: taste, ", "name: price,", "is the name of two features"},
    {"TwoTasks", "  - {name: like,", "  - {name: ctr, label: click}\n  - {name: like,",
     "is the name of two tasks"},
    {"Label", "label: click}", "label: clicks}",
     "tasks.ctr.label: clicks is no outcome under events"},
    {"Given", "label: conversion, given: ctr", "label: conversion, given: ctl",
     "tasks.cvr.given: ctl is no task"},
    {"GivenItself", "label: conversion, given: ctr", "label: conversion, given: cvr",
     "cannot be its own condition"},
    {"GivenRegression", "label: like,  given: ctr", "label: like, given: dwell",
     "dwell is a regression; expected a binary task"},
    {"EntireAlone", "label: click}", "label: click, entire_space: true}",
     "tasks.ctr.entire_space: true is only for a task with a condition"},
    {"EntireRegression", "given: ctr, entire_space: false}", "given: ctr, entire_space: true}",
     "tasks.dwell.entire_space: true is only for binary tasks"},
    {"TransformBinary", "label: click}", "label: click, transform: log1p}",
     "tasks.ctr.transform: log1p does not belong to a binary task"},
    {"TaskName", "  - {name: like,", "  - {name: li-ke, label: click}\n  - {name: like,",
     "is no task name"},
    {"Kind", "kind: regression", "kind: number", "tasks.dwell.kind: number is not known"},
    {"CountTransform", "kind: regression", "kind: count",
     "tasks.dwell.transform: log1p does not belong to a count task"},
    {"DurationTransform", "kind: regression, transform: log1p", "kind: duration, transform: none",
     "tasks.dwell.transform: none does not belong to a duration task"},
    {"DurationAbsent", "kind: regression, transform: log1p", "kind: duration, absent: -1",
     "tasks.dwell.absent: -1 is less than 0"},
    {"HuberBinary", "label: click}", "label: click, loss: huber}",
     "tasks.ctr.loss: huber does not belong to a binary task"},
    {"Score", "score: ctr *", "score: ctl *", "score: "},
    {"ScoreForm", "(1 + like)", "(1 + like", "score: "},
    {"BackboneOption", "backbone: mmoe", "shared_gate: none\n  backbone: mmoe",
     "model.shared_gate: needs the backbone ple; it is mmoe"},
    {"BackboneUnknown", "backbone: mmoe", "backbone: moe", "model.backbone: moe is not known"},
    {"ExpertsReal", "experts: 4 ", "experts: 4.5 ", "model.experts: 4.5 is not a whole number"},
    {"ExpertsText", "experts: 4 ", "experts: \"4\" ", "model.experts: \"4\" is not a whole number"},
    {"ExpertsMany", "experts: 4 ", "experts: 4000 ", "model.experts: 4000 is more than 64"},
    {"NoExpertLayer", "expert_layers: [64, 64]", "expert_layers: []",
     "model.expert_layers: [] has no layer"},
    {"LayerZero", "tower_layers: [32, 16]", "tower_layers: [32, 0]",
     "model.tower_layers: [32, 0] has a layer of 0 units"},
    {"LayerForm", "tower_layers: [32, 16]", "tower_layers: 32",
     "model.tower_layers: 32 is not a list"},
    {"Method", "method: uncertainty", "method: gradnrom", "balance.method: gradnrom"},
    {"Decay", "method: uncertainty}", "method: uncertainty, decay: {ctr: 0.9}}",
     "balance.decay: needs `method: fixed`"},
    {"DecayTask", "method: uncertainty}", "method: fixed, decay: {ctl: 0.9}}",
     "balance.decay.ctl: there is no such task"},
    {"DecayRatio", "method: uncertainty}", "method: fixed, decay: {ctr: 0}}",
     "balance.decay.ctr: 0 is no ratio of two windows"},
    {"Radius", "method: uncertainty}", "method: fixed, surgery: cagrad, cagrad_radius: 1.5}",
     "balance.cagrad_radius: 1.5 is more than 0.999"},
    {"Weights", "method: uncertainty}", "method: uncertainty, weights: {ctr: 2}}",
     "balance.weights: needs `method: fixed`"},
    {"WeightsTask", "method: uncertainty}", "method: fixed, weights: {ctl: 2}}",
     "balance.weights.ctl: there is no such task"},
    {"Cuda", "device: auto", "device: cuda", "train.device: cuda is not built yet"},
    {"Optimizer", "optimizer: adam,", "optimizer: lion,",
     "train.dense.optimizer: lion is not known; expected sgd, adagrad, adam or adamw"},
    {"Momentum", "optimizer: adam,", "optimizer: adam, momentum: 0.9,",
     "train.dense.momentum: has no effect; expected `optimizer: sgd` beside it"},
    {"Decay", "optimizer: adam,", "optimizer: adam, weight_decay: 0.1,",
     "train.dense.weight_decay: has no effect; expected `optimizer: adamw` beside it"},
    {"DecayAll", "optimizer: adam, rate: 0.003", "optimizer: adamw, rate: 1, weight_decay: 1",
     "train.dense.weight_decay: 1 times the rate (1) is 1 or more"},
    {"ScheduleLength", "optimizer: adam,", "optimizer: adam, schedule: {length: 5},",
     "train.dense.schedule.length: has no effect; expected another `shape` than constant"},
    {"ScheduleFactor", "optimizer: adam,",
     "optimizer: adam, schedule: {shape: cosine, factor: 0.7},",
     "train.dense.schedule.factor: has no effect; expected `shape: exponential` or step"},
    {"Ratio", "optimizer: adam, rate: 0.003}", "optimizer: adam}\n  labels: {ratio: {dwell: 3}}",
     "train.labels.ratio.dwell: a ratio is of 1s and 0s; dwell is a regression"},
    {"RatioZero", "optimizer: adam, rate: 0.003}", "optimizer: adam}\n  labels: {ratio: {ctr: 0}}",
     "train.labels.ratio.ctr: 0 is not more than 0"},
    {"Oversample", "optimizer: adam, rate: 0.003}",
     "optimizer: adam}\n  labels: {oversample: {buy: 2}}",
     "train.labels.oversample.buy: there is no such task"},
    {"Curriculum", "optimizer: adam, rate: 0.003}",
     "optimizer: adam}\n  labels: {curriculum: {steps: {ctr: 1, cvr: 1, dwell: 1, like: 1}}}",
     "train.labels.curriculum.steps: every task waits for its step"},
    {"SamplingRatio", "optimizer: adam, rate: 0.003}",
     "optimizer: adam}\n  negative_sampling: {ratio: 2, correct: serving}",
     "train.negative_sampling.correct: serving makes up for one rate"},
    {"SamplingBoth", "optimizer: adam, rate: 0.003}",
     "optimizer: adam}\n  negative_sampling: {ratio: 2, rate: 0.5}",
     "train.negative_sampling.ratio: stands for a rate"},
    {"RowOptimizer", "optimizer: adagrad,", "optimizer: lion,",
     "train.embedding.optimizer: lion is not known"},
    {"RowBeta", "optimizer: adagrad,", "optimizer: adagrad, beta1: 0.8,",
     "train.embedding.beta1: belongs to adam; the optimizer is adagrad"},
    {"RowL1", "optimizer: adagrad,", "optimizer: adam, l1: 2,",
     "train.embedding.l1: belongs to ftrl; the optimizer is adam"},
    {"RowDecay", "optimizer: adagrad,", "optimizer: sgd, l2: 0.1, decay: 0.1,",
     "train.embedding.decay: does not go together with l2"},
    {"RowDecayFtrl", "optimizer: adagrad,", "optimizer: ftrl, decay: 0.1,",
     "train.embedding.decay: does not go together with ftrl"},
    {"RowSchedule", "optimizer: adagrad,", "optimizer: ftrl, l1: 1, schedule: {shape: cosine},",
     "train.embedding.schedule: does not go together with l1"},
    {"RowScheduleLength", "optimizer: adagrad,", "optimizer: adagrad, schedule: {length: 5},",
     "train.embedding.schedule.length: has no effect"},
    {"Bloom", "admit_after: 1,", "admission: bloom, admit_after: 1,",
     "embeddings.admission: bloom counts to 15; expected admit_after from 2 to that, not 1"},
    {"BloomMost", "admit_after: 1,", "admission: bloom, admit_after: 16,",
     "embeddings.admission: bloom counts to 15"},
    {"Evict", "admit_after: 1,", "evict: newest, admit_after: 1,",
     "embeddings.evict: newest is not known; expected none or oldest"},
    {"CrossPart",
     "embeddings:", "  - {name: x, type: cross, of: [user_id, nobody], dimension: 4}\nembeddings:",
     "features.x.of: nobody is no feature"},
    {"CrossTwice",
     "embeddings:", "  - {name: x, type: cross, of: [user_id, user_id], dimension: 4}\nembeddings:",
     "features.x.of: user_id is there twice"},
    {"CrossOfOne",
     "embeddings:", "  - {name: x, type: cross, of: [user_id], dimension: 4}\nembeddings:",
     "features.x.of: [user_id] is no cross; expected 2 to 16 features"},
    {"CrossBag",
     "embeddings:", "  - {name: x, type: cross, of: [user_id, genres], dimension: 4}\nembeddings:",
     "features.x.of: genres is a bag feature"},
    {"CrossNumber",
     "embeddings:", "  - {name: x, type: cross, of: [user_id, price], dimension: 4}\nembeddings:",
     "features.x.of: price is a numeric feature; expected categorical features, or numeric ones "
     "with boundaries or buckets"},
    {"CrossContext", "embeddings:",
     "  - {name: x, type: cross, of: [user_id, item_id], dimension: 4, context: "
     "true}\nembeddings:",
     "features.x.context: does not belong to a cross feature"},
    {"CrossWithoutParts", "embeddings:", "  - {name: x, type: cross, dimension: 4}\nembeddings:",
     "features.x.of: is missing; expected the names of its parts"},
    {"CrossDimension", "embeddings:",
     "  - {name: x, type: cross, of: [user_id, item_id], table: item_id, dimension: "
     "4}\nembeddings:",
     "features.x.dimension: 4 is not the dimension of the table item_id, which is 16"},
    {"BucketsDimension", "transform: log1p}", "boundaries: [1, 2]}",
     "features.price.dimension: is missing"},
    {"BucketsOrder", "transform: log1p}", "boundaries: [1, 1], dimension: 4}",
     "features.price.boundaries: expected 1 to 65535 ascending numbers"},
    {"BucketsTransform", "transform: log1p}", "transform: log1p, boundaries: [1, 2], dimension: 4}",
     "features.price.transform: does not go together with boundaries"},
    {"BucketsRange", "transform: log1p}", "buckets: 8, dimension: 4}",
     "features.price.range: is missing; expected the least and the greatest number"},
    {"BucketsRangeOrder", "transform: log1p}", "buckets: 8, range: [3, 3], dimension: 4}",
     "features.price.range: expected two ascending numbers"},
    {"BucketsStandardize", "transform: log1p}",
     "standardize: false, boundaries: [1], dimension: 4}",
     "features.price.standardize: does not belong to a number in buckets"},
    {"NumberDimension", "transform: log1p}", "dimension: 4}",
     "features.price.dimension: does not belong to a numeric feature; expected only where the "
     "type "
     "is categorical, bag or cross, or with boundaries or buckets"},
    {"RateNan", "rate: 0.003", "rate: .nan", "train.dense.rate: .nan is not a number"},
    {"RateLarge", "rate: 0.003", "rate: 1e999", "train.dense.rate: 1e999 is not a finite number"},
    {"Policy", "{cvr: wait}", "{cvr: soon}",
     "train.delayed_feedback.cvr: soon is not known; expected wait, fnw, fnc, es_dfm or defer"},
    {"PolicyKey", "{cvr: wait}", "{cvr: {policy: es_dfm, wait: 1h}}",
     "train.delayed_feedback.cvr: wait: unknown key; expected policy or short_wait"},
    {"PolicyMissing", "{cvr: wait}", "{cvr: {short_wait: 1h}}",
     "train.delayed_feedback.cvr: the mapping has no policy"},
    {"PolicyShortWait", "{cvr: wait}", "{cvr: {policy: fnw, short_wait: 1h}}",
     "train.delayed_feedback.cvr: short_wait belongs to es_dfm and defer; the policy is fnw"},
    {"PolicyShortWaitForm", "{cvr: wait}", "{cvr: {policy: defer, short_wait: soon}}",
     "train.delayed_feedback.cvr: short_wait: soon is not a duration"},
    {"PolicyShortWaitLong", "{cvr: wait}", "{cvr: {policy: es_dfm, short_wait: 24h}}",
     "train.delayed_feedback.cvr: short_wait 1d is no shorter than the label's window (1d)"},
    {"SamplingTask", "seed: 1", "negative_sampling: {rate: 0.1, task: buy}",
     "train.negative_sampling.task: buy is no task"},
    {"SamplingCondition", "seed: 1", "negative_sampling: {rate: 0.1, task: cvr}",
     "train.negative_sampling.task: cvr is no binary task without a condition"},
    {"SamplingPolicy", "{cvr: wait}", "{ctr: fnw}\n  negative_sampling: {rate: 0.1}",
     "train.negative_sampling: the negatives of ctr are known when its label is decided"},
    {"SamplingServing", "{cvr: wait}",
     "{cvr: es_dfm}\n  negative_sampling: {rate: 0.1, correct: serving}",
     "train.negative_sampling.correct: serving needs every other task to be given ctr and to "
     "wait"},
    {"SamplingRate", "seed: 1", "negative_sampling: {rate: 0}",
     "train.negative_sampling.rate: 0 is less than 1e-06"},
    {"UserCap", "seed: 1", "seed: 1\nguardrails: {user_cap: {rows: -1}}",
     "guardrails.user_cap.rows: -1 is less than 0"},
    {"UserCapWindow", "seed: 1", "seed: 1\nguardrails: {user_cap: {rows: 5, window: 10ms}}",
     "guardrails.user_cap.window: 10ms is less than 1s"},
    {"UserCapUsers", "seed: 1", "seed: 1\nguardrails: {user_cap: {users: 0}}",
     "guardrails.user_cap.users: 0 is less than 1"},
    {"UserCapForm", "seed: 1", "seed: 1\nguardrails: {user_cap: 200}", "guardrails.user_cap: "},
    {"Shed", "seed: 1", "shed: 1.5", "train.shed: 1.5 is more than 1"},
    {"PolicyRegression", "{cvr: wait}", "{dwell: fnw}",
     "train.delayed_feedback.dwell: fnw is only for binary tasks"},
    {"PolicyTask", "{cvr: wait}", "{buy: wait}",
     "train.delayed_feedback.buy: there is no such task"},
    {"Seed", "seed: 1", "seed: -1", "train.seed: -1 is less than 0"},
    {"BatchHuge", "batch: 256", "batch: 99999999999999999999",
     "train.batch: 99999999999999999999 is too large"},
    {"StorePath", "path: ./state", "path: ''", "store.path: is empty"},
    {"CommitEvery", "commit_every: 500ms", "commit_every: 1ms",
     "store.commit_every: 1ms is less than 10ms"},
    {"Keep", "keep: 24", "keep: 0", "store.snapshots.keep: 0 is less than 1"},
    {"Listen", "listen: 127.0.0.1:8080", "listen: 8080", "serve.listen: 8080 is not text"},
    {"ListenPort", "listen: 127.0.0.1:8080", "listen: 127.0.0.1:80800",
     "serve.listen: \"127.0.0.1:80800\" is no address"},
    {"ListenHost", "listen: 127.0.0.1:8080", "listen: localhost",
     "serve.listen: \"localhost\" is no address"},
    {"JoinQueue", "listen: 127.0.0.1:8080", "max_join_queue: 0",
     "serve.max_join_queue: 0 is less than 1"},
    {"JoinTimeout", "listen: 127.0.0.1:8080", "join_timeout: 2m",
     "serve.join_timeout: 2m is more than 1m"},
    {"MissingValue", "batch: 256", "batch:", "train.batch: nothing is not a whole number"},
    {"SectionForm", "balance: {method: uncertainty}", "balance: equal",
     "balance: equal is not a mapping of keys to values"},
};

INSTANTIATE_TEST_SUITE_P(One, ContractMistakes, ::testing::ValuesIn(kMistakes),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(LoadConfig, RequiredSectionsAreAskedFor) {
  const std::string message = errors("name: a\n");
  EXPECT_THAT(message, HasSubstr("f:1: events: is missing"));
  EXPECT_THAT(message, HasSubstr("f:1: features: is missing"));
  EXPECT_THAT(message, HasSubstr("f:1: tasks: is missing"));
  EXPECT_THAT(errors(replaced(smallest(), "  - {name: click}\n", "  []\n")),
              HasSubstr("tasks: an empty list is not a list of tasks"));
}

TEST(LoadConfig, CirclesOfConditionsAreRefused) {
  const std::string message = errors(
      "events: {impression: {}, a: {window: 1m}}\n"
      "features: [{name: x, type: numeric}]\n"
      "tasks:\n"
      "  - {name: one, label: a, given: two}\n"
      "  - {name: two, label: a, given: three}\n"
      "  - {name: three, label: a, given: one}\n"
      "  - {name: four, label: a, given: three}\n");
  EXPECT_THAT(message, HasSubstr("f:4: tasks.one.given: two is itself given one"));
  EXPECT_THAT(message, HasSubstr("f:6: tasks.three.given"));
  EXPECT_EQ(message.find("tasks.four"), std::string::npos);
}

TEST(ConfigIdentity, ChangesWithWhatAStoreDependsOnAndWithNothingElse) {
  const std::string text = contract_text();
  const std::string identity = config_identity(loaded(text));
  const std::pair<const char*, const char*> fixed[] = {
      {"name: shop", "name: store"},      {"seed: 1", "seed: 2"},
      {"window: 10m", "window: 11m"},     {"name: like,", "name: heart,"},
      {"dimension: 4,", "dimension: 8,"}, {"pooling: mean", "pooling: sum"},
      {"experts: 4 ", "experts: 3 "},     {"method: uncertainty", "method: fixed"},
      {"{cvr: wait}", "{ctr: fnw}"},      {"tower_layers: [32, 16]", "tower_layers: [16]"}};
  for (const auto& [from, to] : fixed) {
    std::string other = replaced(text, from, to);
    if (std::string(to) == "name: heart,") other = replaced(other, "+ like)", "+ heart)");
    EXPECT_NE(config_identity(loaded(other)), identity) << to;
  }
  const std::pair<const char*, const char*> free[] = {
      {"method: uncertainty}", "method: uncertainty, surgery: cagrad, warmup_steps: 9}"},
      {"allowed_lateness: 30s", "allowed_lateness: 20s"},
      {"topic: clicks", "topic: other"},
      {"batch: 256", "batch: 128"},
      {"score: ctr *", "score: 2 * ctr *"},
      {"rate: 0.003", "rate: 0.001"},
      {"threads: 1", "threads: 2"},
      {"method: uncertainty}", "method: uncertainty, surgery: none}"},
      {"publish_every: 500ms", "publish_every: 200ms"}};
  for (const auto& [from, to] : free) {
    EXPECT_EQ(config_identity(loaded(replaced(text, from, to))), identity) << to;
  }
}

TEST(ConfigIdentity, DifferenceNamesKeyAndBothValues) {
  const Config config = loaded(contract_text());
  Config other = config;
  other.learner.train.seed = 7;
  other.features.pop_back();
  const std::string a = config_identity(config), b = config_identity(other);
  EXPECT_EQ(identity_difference(a, a), "");
  const std::string difference = identity_difference(a, b);
  EXPECT_THAT(difference, HasSubstr("train.seed: the store has 1, the configuration says 7\n"));
  EXPECT_THAT(difference,
              HasSubstr("features.taste.width: the store has 8, the configuration says nothing\n"));
}

}  // namespace
}  // namespace millrace
