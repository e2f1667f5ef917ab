// What a user writes becomes what the program does, and every mistake is answered with its place,
// its key, what stands there and what was expected; all mistakes at once.
#include "ops/config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/ops/config/config_texts.h"
#include "tests/support/temp_folder.h"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

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

TEST(LoadConfig, PenaltiesOnGatesHaveNoPlaceInSurgery) {
  for (const std::string key : {"gate_entropy", "load_balance"}) {
    const std::string text =
        replaced(contract_text(), "backbone: mmoe", key + ": 0.1\n  backbone: mmoe");
    EXPECT_EQ(errors(text), "");
    EXPECT_THAT(
        errors(replaced(text, "method: uncertainty}", "method: uncertainty, surgery: pcgrad}")),
        HasSubstr("model." + key + ": cannot work with balance.surgery: pcgrad"));
  }
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
  // The contract's file writes the defaults, so those of its sections come out of the smallest too.
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

// What was changed of something that is off is said; what is on, or as usual, is not.
TEST(LoadConfig, OptionsOfWhatIsOffAreSaid) {
  const auto warnings = [](const std::string& more) {
    const auto result = load_config_text(smallest(more), "f", {});
    EXPECT_TRUE(result) << result.error().message;
    std::string all;
    for (const std::string& warning : result->warnings) all += warning + "\n";
    return all;
  };
  EXPECT_THAT(warnings("relations: {every: 0, neutral: 0.1}\n"),
              HasSubstr("relations.neutral: has no effect without relations.every above 0"));
  EXPECT_THAT(warnings("guardrails: {user_cap: {window: 2h}}\n"),
              HasSubstr("guardrails.user_cap.window: has no effect"));
  EXPECT_THAT(warnings("evaluate: {importance: {ids: 3}}\n"),
              HasSubstr("evaluate.importance.ids: has no effect"));
  EXPECT_THAT(
      warnings("train: {feedback: {layers: [8], forget_after: 1d}}\n"),
      HasSubstr("train.feedback.layers: has no effect without es_dfm, defer, defuse or dfm"));
  EXPECT_EQ(warnings("relations: {every: 3, neutral: 0.1}\nguardrails: {user_cap: {window: 1h}}\n"
                     "train: {feedback: {rate: 0.1}, delayed_feedback: {click: defuse}}\n"),
            "");
}

// Every key at its default is as good as none: what --print-config writes gives no warning.
TEST(LoadConfig, DefaultsThatAreWrittenOutAreNotWarnedOf) {
  const auto result = load_config_text(
      smallest("balance: {window: 100, temperature: 2, focus: 1, share: 0.1, cagrad_radius: 0.5, "
               "gradnorm: {alpha: 1.5}}\nevaluate: {slices: {values: {}, most: 16}}\n"),
      "f", {});
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_THAT(result->warnings, ::testing::IsEmpty());
  const auto changed =
      load_config_text(smallest("balance: {window: 10, gradnorm: {alpha: 1}}\n"), "f", {});
  EXPECT_EQ(changed->warnings.size(), 2u);
}

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
