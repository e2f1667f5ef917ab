// check-config says what a configuration means, in words and in bytes.
#include "ops/config/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "learner/model/model.h"
#include "ops/config/load.h"
#include "ops/config/memory.h"
#include "ops/config/models.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ExplainConfig, SaysWhatTheContractsFileMeans) {
  const auto loaded = load_config(SOURCE_DIR "/tests/data/contract/millrace.yaml", {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const std::string text = explain_config(loaded->config);
  for (const char* part :
       {"click       topic clicks; counts up to 10m after its impression",
        "cvr    binary: whether there was a conversion; the product with ctr is trained over all "
        "impressions; decided 1d after the impression",
        "dwell  regression: the last dwell, learned as log1p; trained where ctr is 1",
        "53 inputs (20 from the context), 4 experts [64, 64]",
        "join.memory; beyond it impressions lie in the store, for about 8 bytes of memory each",
        "table item_id               1.5 GiB", "records read ahead          256 MiB"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

// A condition that matures later holds its tasks back.
TEST(ExplainConfig, ALabelIsDecidedNoEarlierThanItsCondition) {
  const auto loaded = load_config_text(
      "events: {impression: {}, slow: {window: 2h}, fast: {window: 1m}}\n"
      "features: [{name: a, type: numeric}]\n"
      "tasks: [{name: slow}, {name: fast, given: slow}]\n"
      "train: {delayed_feedback: {slow: fnw}}\n",
      "f", {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const std::string text = explain_config(loaded->config);
  EXPECT_THAT(text, HasSubstr("fast  binary: whether there was a fast; the product with slow is "
                              "trained over all impressions; decided 2h after the impression"));
  EXPECT_THAT(text, HasSubstr("trained at once as 0"));
}

TEST(ExplainConfig, TheUserCapTakesMemory) {
  const auto explain = [](const std::string& more) {
    const auto loaded = load_config_text(
        "events: {impression: {}, click: {window: 1m}}\n"
        "features: [{name: a, type: numeric}]\n"
        "tasks: [{name: click}]\n" +
            more,
        "f", {});
    EXPECT_TRUE(loaded) << loaded.error().message;
    return explain_config(loaded->config);
  };
  EXPECT_THAT(explain(""), Not(HasSubstr("user cap")));
  EXPECT_THAT(explain("guardrails: {user_cap: {rows: 200}}\n"),
              HasSubstr("at 1,000,000 users in a window of each stream"));
}

// What the store holds before it writes counts, and a commit of everything at once.
TEST(ExplainConfig, TheStoreTakesMemory) {
  const auto load = [](const std::string& more) {
    auto loaded = load_config_text(
        "events: {sample: {}}\n"
        "features: [{name: a, type: categorical, dimension: 16}]\n"
        "tasks: [{name: x}]\n"
        "embeddings: {max_rows: 1000000}\n" +
            more,
        "f", {});
    EXPECT_TRUE(loaded) << loaded.error().message;
    return std::move(loaded).value().config;
  };
  const Config off = load("store: {commit_every: off}\n");
  const std::string text = explain_config(off);
  EXPECT_THAT(text, HasSubstr("store's write buffers       256 MiB"));
  // 21 bytes, 16 weights and 16 values of Adagrad a row: as it is handed over, and as it is
  // written.
  EXPECT_THAT(text, HasSubstr("a commit                    284 MiB   of all rows at once"));
  // Half a second's rows alone.
  EXPECT_THAT(explain_config(load("store: {commit_every: 500ms}\n")),
              HasSubstr("a commit                    23 MiB"));
  EXPECT_THAT(text, Not(HasSubstr("join state"))) << "samples need none";
  // With fewer rows, what is made of them is as much less.
  const std::string few = explain_config(off, 1'000);
  EXPECT_THAT(few, HasSubstr("memory with 1,000 rows in each table, at most"));
  EXPECT_THAT(few, HasSubstr("at 1,000 rows of 16"));
  EXPECT_THAT(few, HasSubstr("a commit                    291 KiB"));
  EXPECT_THAT(few, HasSubstr("store's write buffers       146 KiB"));
  // No table has more than its limit.
  EXPECT_THAT(explain_config(off, 5'000'000), HasSubstr("at 1,000,000 rows of 16"));
}

// Threads fill a gradient for each part of a batch beside each other; one needs two in all.
TEST(ExplainConfig, ThreadsTakeMemory) {
  const auto dense = [](const std::string& more) {
    const auto loaded = load_config_text(
        "events: {sample: {}}\n"
        "features: [{name: a, type: dense, width: 40}]\n"
        "tasks: [{name: x}]\n" +
            more,
        "f", {});
    EXPECT_TRUE(loaded) << loaded.error().message;
    double bytes = 0;
    for (const MemoryPart& part :
         estimate_memory(loaded->config, model_plans(loaded->config), {}).parts) {
      if (part.what.starts_with("dense weights")) bytes += part.bytes;
    }
    const Model<float> model(loaded->config.schema(), loaded->config.learner.model);
    return bytes / static_cast<double>(model.parameter_count());
  };
  const double one = dense("train: {batch: 512, threads: 1}\n");
  EXPECT_NEAR(dense("train: {batch: 512, threads: 2}\n") - one, 2 * sizeof(float), 1e-6);
  EXPECT_NEAR(dense("train: {batch: 200, threads: 1}\n"),
              dense("train: {batch: 200, threads: 8}\n"), 1e-6);
  // Models that learn beside each other have a thread each.
  EXPECT_NEAR(dense("train: {batch: 512, threads: 2}\nmodels: [{name: p}, {name: q}]\n"), 2 * one,
              1e-6);
  // SGD has one value a weight, Adam two.
  EXPECT_NEAR(one - dense("train: {batch: 512, dense: {optimizer: sgd}}\n"), sizeof(float), 1e-6);
}

TEST(ExplainConfig, TheExactAucTakesMemory) {
  const auto explain = [](const std::string& more) {
    const auto loaded = load_config_text(
        "events: {impression: {}, click: {window: 1m}, buy: {window: 1d}, dwell: {window: 1m}}\n"
        "features: [{name: a, type: numeric}]\n"
        "tasks: [{name: click}, {name: buy, given: click}, {name: dwell, kind: regression}]\n" +
            more,
        "f", {});
    EXPECT_TRUE(loaded) << loaded.error().message;
    return explain_config(loaded->config);
  };
  EXPECT_THAT(explain(""), Not(HasSubstr("exact AUC")));
  // click, buy, and the product of both: 80 bytes a row.
  EXPECT_THAT(
      explain("evaluate: {exact_auc_rows: 100000}\n"),
      HasSubstr("exact AUC                   23 MiB    evaluate.exact_auc_rows of 3 outputs"));
}

// The first model is served where none has every task.
TEST(ExplainConfig, AModelWithAPartOfTheTasksIsServedWhereItIsAlone) {
  const auto loaded = load_config_text(
      "events: {impression: {}, click: {window: 1m}, like: {window: 1m}}\n"
      "features: [{name: a, type: categorical, dimension: 4}]\n"
      "tasks: [{name: click}, {name: like}]\n"
      "models: [{name: half, tasks: [click]}]\n",
      "f", {});
  ASSERT_TRUE(loaded) << loaded.error().message;
  const std::string text = explain_config(loaded->config);
  EXPECT_THAT(text, HasSubstr("served tables, two copies"));
  EXPECT_THAT(text, Not(HasSubstr("served tables, two copies   0 B"))) << text;
}

TEST(ExplainConfig, RoughBytes) {
  EXPECT_EQ(rough_bytes(512), "512 B");
  EXPECT_EQ(rough_bytes(1536), "1.5 KiB");
  EXPECT_EQ(rough_bytes(256.0 * (1 << 20)), "256 MiB");
  EXPECT_EQ(rough_bytes(1e18), "909495 TiB");
}

}  // namespace
}  // namespace millrace
